"""Local-resolution volumes of other programs: what is background, what is no resolution in angstroms."""

import shutil

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.base.resolution_terms import estimated
from cryoresdl.models.maps import density_map, foreign_volumes
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.tests.helpers.places import sample

SIDE, VOXEL = 24, 1.25


def ball(radius=8.0):
    z, y, x = np.indices((SIDE, SIDE, SIDE)) - SIDE // 2
    return x**2 + y**2 + z**2 < radius**2


MASK = ball()


def values(seed=0):
    """Estimates between 3 and 7 A, smooth enough to look like some."""
    return np.random.default_rng(seed).uniform(3, 7, MASK.shape).astype(np.float32)


def density(seed=1):
    noise = np.random.default_rng(seed).normal(size=MASK.shape)
    return density_map.DensityMap((MASK * (1 + noise)).astype(np.float32), VOXEL)


def write(path, data, voxel=VOXEL):
    mrc_writer.write_volume(path, np.asarray(data, np.float32), density_map.DensityMap(data, voxel))
    return path


@pytest.mark.parametrize("mark", [0, -1, 100, 999, 99, 50, 3.6, 8.863673, np.nan])
@pytest.mark.parametrize("known", [True, False])
def test_every_programs_background_is_left_out(mark, known, tmp_path):
    truth = values()
    path = write(tmp_path / "v.mrc", np.where(MASK, truth, mark))
    found = foreign_volumes.read_resolution(path, density(), mask=MASK if known else None)
    assert np.array_equal(estimated(found.data), MASK)
    assert np.array_equal(found.data[MASK], truth[MASK])


def test_relions_fill_inside_the_given_mask_is_no_estimate(tmp_path):
    """The mask is wider than what RELION estimated: the rest of it holds the global value."""
    small = ball(4)
    path = write(tmp_path / "relion_locres.mrc", np.where(small, values(), np.float32(8.863673)))
    found = foreign_volumes.read_resolution(path, density(), mask=MASK)
    assert np.array_equal(estimated(found.data), small) and "8.86" in found.warnings[0]


def test_levels_of_monores_stay_in_its_volume_for_chimera(tmp_path):
    """Outside is the median, which is a level inside too: no voxel is lost with a mask, few without one."""
    levels = np.array([3.0, 4.0, 5.0], np.float32)[np.random.default_rng(0).integers(0, 3, MASK.shape)]
    path = write(tmp_path / "chimera.mrc", np.where(MASK, levels, 4))
    with_mask = foreign_volumes.read_resolution(path, density(), mask=MASK).data
    assert np.array_equal(with_mask, np.where(MASK, levels, 0))
    without = foreign_volumes.read_resolution(path, density()).data
    inner = ball(6)
    assert np.array_equal(without[inner], levels[inner])
    assert (estimated(without) & ~MASK).sum() < 0.02 * MASK.sum()


def test_the_estimates_beside_are_read_for_monores_chimera_volume(tmp_path):
    truth = np.where(MASK, values(), 0)
    write(tmp_path / "monoresResolutionMap.mrc", truth, 1.0)
    path = write(tmp_path / "monoresResolutionChimera.mrc", np.where(MASK, truth, 5), 1.0)
    found = foreign_volumes.read_resolution(path, density())
    assert np.array_equal(found.data, truth.astype(np.float32)) and "beside it" in found.warnings[0]


def test_relions_filtered_density_leads_to_the_resolution_beside_it(tmp_path):
    truth = np.where(MASK, values(), 0)
    path = write(tmp_path / "relion_locres_filtered.mrc", density().data)
    with pytest.raises(InputError, match=r"relion_locres\.mrc, in the folder"):
        foreign_volumes.read_resolution(path, density(2))
    write(tmp_path / "relion_locres.mrc", truth)
    found = foreign_volumes.read_resolution(f"{path}:mrc", density())
    assert np.array_equal(found.data, truth.astype(np.float32))
    assert "relion_locres.mrc" in found.warnings[0] and found.path == str(tmp_path / "relion_locres.mrc")


UNITS = {
    "nm": lambda a: a / 10,
    "1/A": lambda a: 1 / a,
    "1/voxel": lambda a: VOXEL / a,
    "pm": lambda a: 100 * a,
}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("map_known", [True, False])
def test_other_units_are_refused(unit, map_known, tmp_path):
    path = write(tmp_path / "v.mrc", np.where(MASK, UNITS[unit](values()), 0))
    with pytest.raises(InputError, match="density or" if unit != "pm" else "another unit") as refused:
        foreign_volumes.read_resolution(path, density() if map_known else None)
    assert "\n" not in str(refused.value)
    if unit != "pm":
        assert unit in str(refused.value)


def test_voxels_for_a_unit_are_refused_where_no_map_could_reach_them(tmp_path):
    path = write(tmp_path / "v.mrc", np.where(MASK, values() / 3.5, 0), 3.5)
    coarse = density_map.DensityMap(density().data, 3.5)
    with pytest.raises(InputError, match="voxels"):
        foreign_volumes.read_resolution(path, coarse)
    assert (
        "finer than two voxels"
        in foreign_volumes.read_resolution(
            write(tmp_path / "w.mrc", np.where(MASK, values(), 0), 3.5)
        ).warnings[0]
    )


@pytest.mark.parametrize("scale, offset", [(1, 0), (1e-3, 0), (40, 0), (1, 10), (20, 60), (1e4, 0)])
@pytest.mark.parametrize("masked", [True, False])
def test_densities_of_any_grey_scale_are_refused(scale, offset, masked, tmp_path):
    like = density()
    data = scale * like.data + offset
    path = write(tmp_path / "v.mrc", np.where(MASK, data, 0) if masked else data)
    with pytest.raises(InputError, match="density|follows"):
        foreign_volumes.read_resolution(path, like)


def test_the_sample_map_and_its_half_are_refused_and_its_truth_is_read():
    like = mrc_reader.read(sample("map"))
    for part in ("map", "half1"):
        with pytest.raises(InputError, match="density"):
            foreign_volumes.read_resolution(sample(part), like)
    truth = foreign_volumes.read_resolution(sample("truth"), like)
    assert np.median(truth.data[truth.data > 0]) == pytest.approx(3.96, abs=0.01) and not truth.warnings


def test_real_volumes_of_monores_and_resmap_are_read_whole(shared):
    """No estimate of theirs is lost or doubted, on simulated maps and on a real one."""
    checked = 0
    for folder in sorted((shared / "local_resolution").iterdir())[:8]:
        if not folder.is_dir():
            continue
        like = mrc_reader.read(folder / "map.mrc.gz")
        for name in ("monores", "monores_halfmaps", "resmap", "truth"):
            path = folder / f"{name}.mrc.gz"
            if path.is_file():
                raw = mrc_reader.read_values(path, like).data
                found = foreign_volumes.read_resolution(path, like)
                assert np.array_equal(
                    np.where(estimated(raw), raw, 0), np.where(estimated(found.data), found.data, 0)
                )
                checked += 1
    assert checked > 20


def test_the_median_of_relions_beta_galactosidase_is_no_fill(shared):
    folder = shared / "maps"
    like = mrc_reader.read(folder / "relion_betagal.map.gz")
    wide = np.ones(like.data.shape, bool)
    found = foreign_volumes.read_resolution(folder / "relion_betagal_locres.map.gz", like, mask=wide)
    assert np.median(found.data[found.data > 0]) == pytest.approx(8.68, abs=0.01)
    assert (found.data > 0).sum() == 20256 and "8.86" in found.warnings[0]


def test_every_kind_of_compressed_or_renamed_sibling_is_found(tmp_path):
    for name in ("run1_locres", "relion_locres"):
        for suffix in (".mrc", ".map", ".mrc.gz"):
            (tmp_path / (name + suffix)).touch()
            shutil.copy(tmp_path / (name + suffix), tmp_path / (name + "_filtered" + suffix))
            assert foreign_volumes.estimates_beside(tmp_path / (name + "_filtered" + suffix)) == str(
                tmp_path / (name + suffix)
            )
    assert foreign_volumes.estimates_beside(tmp_path / "run1_locres.mrc") == str(tmp_path / "run1_locres.mrc")
