import base64
import json

import numpy as np
import pytest

from cryoresdl.models.results import result_files, results_folder, volume_filling
from cryoresdl.models.results.figures import figure_catalogue
from cryoresdl.models.results.figures.surface import molecule_surface, ray_caster
from cryoresdl.models.results.figures.surface.surface_figure import surface_figure
from cryoresdl.models.results.report import build_report, html_page
from cryoresdl.models.results.report.charts import surface_view
from cryoresdl.tests.helpers import made_results

BOX = 40


@pytest.fixture(scope="module")
def ball():
    """Distance from the middle, and a ball of radius 12 voxels as a density that falls outwards."""
    grids = np.meshgrid(*[np.arange(BOX) - (BOX - 1) / 2] * 3, indexing="ij")
    radius = np.sqrt(sum(g**2 for g in grids))
    return radius, (20 - radius).astype(np.float32)


@pytest.mark.parametrize(
    "rotation", [rotation for _, rotation in ray_caster.VIEWS] + [ray_caster.turned(33, -20)]
)
def test_a_ball_is_a_disc_from_every_side_and_its_points_lie_on_it(ball, rotation):
    seen = ray_caster.look(ball[1], 8.0, rotation, 90)
    distance = np.linalg.norm(seen.points - (BOX - 1) / 2, axis=1)
    assert np.abs(distance - 12).max() < 0.15
    rows, columns = (np.flatnonzero(seen.hit.any(axis=axis)) for axis in (1, 0))
    assert abs(len(rows) - len(columns)) <= 2 and seen.hit.sum() == pytest.approx(
        np.pi / 4 * len(rows) ** 2, rel=0.04
    )
    towards = (seen.points - (BOX - 1) / 2) @ rotation[0]
    assert (towards < 1.0).all(), "only the half that faces the viewer"
    assert seen.shade.min() > 0.2 and np.ptp(seen.shade) > 0.3


def test_what_lies_in_front_hides_what_lies_behind():
    volume = np.zeros((30, 30, 30), np.float32)
    volume[5:8, 10:20, 10:20] = 1
    volume[20:24, 8:22, 8:22] = 1
    seen = ray_caster.look(volume, 0.5, ray_caster.turned(0, 0), 80)
    middle = np.abs(seen.points[:, 1:] - 14.5).max(axis=1) < 4
    assert np.abs(seen.points[middle, 0] - 23.5).max() < 0.2 and seen.points[:, 0].min() > 15
    other = ray_caster.look(volume, 0.5, ray_caster.turned(180, 0), 80)
    middle = np.abs(other.points[:, 1:] - 14.5).max(axis=1) < 4
    assert np.abs(other.points[middle, 0] - 4.5).max() < 0.2
    assert (other.points[:, 0] > 15).any(), "the larger one behind shows around it"


def test_a_molecule_is_seen_with_its_own_hand():
    volume = np.zeros((31, 31, 31), np.float32)
    volume[12:18, 12:18, 12:18] = 1  # near the middle
    volume[24:27, 24:27, 24:27] = 1  # high z, y, x: towards the viewer, above, to the right
    volume[4:7, 14:17, 14:17] = 1
    seen = ray_caster.look(volume, 0.5, ray_caster.turned(0, 0), 100)
    rows, columns = np.nonzero(seen.hit)
    corner = seen.points.min(axis=1) > 20
    assert columns[corner].mean() > columns.mean() + 5 and rows[corner].mean() < rows.mean() - 5
    assert seen.points[:, 0].min() > 10, "what lies behind at low z is hidden"
    for angles in ((0, 0), (90, 0), (0, 90), (40, -70)):
        depth, up, right = ray_caster.turned(*angles)[:, ::-1]
        assert np.cross(right, up) == pytest.approx(-depth)


def test_noise_around_the_molecule_is_no_surface():
    density, mask, values, _ = made_results.volumes((40, 40, 40))
    density = density + 2 * np.random.default_rng(0).standard_normal(density.shape)
    made = molecule_surface.surface_of(density, values, values, 1.5, made_results.ORIGIN, 64)
    z, y, x = np.nonzero(made.density > made.level)
    place = [o + made.voxel_size * i for o, i in zip(made.corner, (x.mean(), y.mean(), z.mean()))]
    middle = [o + 1.5 * 19.5 for o in made_results.ORIGIN]
    assert place == pytest.approx(middle, abs=1.5)
    assert 0.15 < (made.density > made.level).sum() / mask.sum() < 0.4
    half = molecule_surface.surface_of(density, values, values, 1.5, made_results.ORIGIN, 20)
    assert half.factor == 2 and half.voxel_size == 3.0 and max(half.density.shape) <= 25


def test_figure_says_so_where_nothing_is_estimated(tmp_path):
    folder = made_results.validation(tmp_path / "run", compared=False)
    figure = figure_catalogue.from_folder("surface", folder)
    picture = np.asarray(figure.axes[0].images[0].get_array())
    assert 0.1 < (picture.min(axis=2) < 0.95).mean() < 0.9
    (folder / "input.mrc").unlink()
    text = " ".join(
        t.get_text()
        for t in figure_catalogue.from_folder("surface", folder).findobj(lambda a: hasattr(a, "get_text"))
    )
    assert "local_resolution.mrc" in text or "no longer" in text


def test_the_picture_needs_no_calculated_layout_and_everything_lies_inside_it(ball):
    """Laying out and drawing twice took longer than the surface itself."""
    resolution = np.where(ball[0] < 14, 4.0, 0.0).astype(np.float32)
    figure = surface_figure(ball[1], resolution, 1.5)
    assert figure.get_layout_engine() is None and len(figure.axes) == 4
    width, height = figure.bbox.size
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1


def test_page_holds_the_volumes_as_bytes_with_x_slowest(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    data = surface_view.surface(results_folder.ResultsFolder(folder))
    codes = np.frombuffer(base64.b64decode(data.density), np.uint8).reshape(data.size)
    layer = data.layers[0]
    values = np.frombuffer(base64.b64decode(layer.codes), np.uint8).reshape(data.size)
    bottom, top = surface_view.SURFACE_CODE_RANGE_A
    read = bottom * (top / bottom) ** ((values.astype(float) - 1) / 254)
    middle = tuple(n // 2 for n in data.size)
    assert codes[middle] > data.level > codes[0, 0, 0]
    assert read[middle] == pytest.approx(3.0, rel=0.1) and len(data.layers) == 3
    assert layer.low < layer.own_low < layer.own_high < layer.high
    html = build_report.write_report(folder).read_text(encoding="utf-8")
    told = json.loads(html.split('id="surface-data">')[1].split("</script>")[0])
    assert told["size"] == data.size and (html_page.TEMPLATES / "3Dmol-LICENSE.txt").is_file()
    (folder / result_files.LOCAL_RESOLUTION).unlink()
    assert "3Dmol" not in build_report.write_report(folder).read_text(encoding="utf-8")


def test_values_are_continued_beyond_the_mask_and_kept_inside():
    values = np.zeros((12, 12, 12), np.float32)
    values[4:8, 4:8, 4:8] = 5
    filled = volume_filling.fill(values, values > 0)
    assert np.array_equal(filled[values > 0], values[values > 0]) and filled[2, 6, 6] == pytest.approx(5)


def test_the_pages_contour_makes_up_for_what_its_smoothing_takes_from_thin_parts(ball):
    radius, density = ball
    shell = np.clip(250 - 100 * np.abs(radius - 12), 0, 250).round()  # 2.5 voxels thick at half height
    solid = np.clip(density * 12, 0, 250).round()
    thin, thick = (surface_view._drawn_level(codes, 125.0) for codes in (shell, solid))
    assert 2 < thin < 110 < thick <= 125
