"""The folder for the EMDB: every file on the map's grid, and what would be sent back said in words."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from cryoresdl.models.inference.answers import LocalResult
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.fsc import half_map_fsc, half_maps
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.results import deposition, result_files
from cryoresdl.tests.helpers import places

SHAPE, VOXEL, ORIGIN = (40, 44, 48), 1.5, (3.0, -4.0, 5.0)
Z, Y, X = np.ogrid[:40, :44, :48]
DISTANCE = np.sqrt((Z - 20) ** 2 + (Y - 22) ** 2 + (X - 24) ** 2)
MASK = DISTANCE <= 13
NOISE = np.random.default_rng(2).normal(size=(3, *SHAPE)).astype(np.float32)
BODY = ndimage.gaussian_filter((DISTANCE <= 10).astype(np.float32), 1.5)
SIGNAL = BODY * (12 * ndimage.gaussian_filter(NOISE[2], 1.5) + 3)
FIRST, SECOND = (SIGNAL + 0.5 * noise for noise in NOISE[:2])


def grid(data, origin=ORIGIN, path="a.mrc"):
    return DensityMap(np.asarray(data, np.float32), VOXEL, origin, path=path)


def maps(first=FIRST, second=SECOND, density=None, **changes):
    density = grid((first + second) / 2) if density is None else density
    soft = half_map_fsc.with_soft_edge(MASK, VOXEL)
    values = np.where(MASK, 4.0, 0).astype(np.float32)
    info = {"median_A": 4.0, "quartiles_A": [3.5, 4.5], "version": "1", "model": {"name": "truth"}}
    local = LocalResult(values, values.astype(np.int8), values, MASK, info)
    fsc = half_map_fsc.half_map_curves(first, second, soft, VOXEL, DISTANCE <= 11)
    made = deposition.DepositedMaps(density, (grid(first), grid(second)), soft, local, fsc)
    return replace(made, **changes)


def stops(**changes):
    return [check.name for check in deposition.checked(maps(**changes)).checks if not check.in_order]


def test_every_file_lies_on_the_grid_of_the_map_and_holds_what_was_read(tmp_path):
    found = deposition.write_deposition(maps(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == set(deposition.DEPOSITION_FILES)
    contents = {
        deposition.MAP: (FIRST + SECOND) / 2,
        deposition.HALVES[0]: FIRST,
        deposition.HALVES[1]: SECOND,
    }
    for name in (*contents, deposition.MASK, deposition.ADDITIONAL):
        volume = mrc_reader.read_values(tmp_path / name)
        assert volume.voxel_size == VOXEL and volume.origin == ORIGIN and volume.data.shape == SHAPE
        assert name not in contents or np.array_equal(volume.data, contents[name])
    readme = (tmp_path / deposition.README).read_text()
    assert found.stops == [] and "Do not upload" not in readme
    for name in deposition.DEPOSITION_FILES[:6]:
        assert name in readme
    assert "median 4.00 A" in readme and f"{found.contour:.4g}" in readme
    assert f"{maps().fsc.crossing():.2f} A (FSC 0.143 CUT-OFF)" in readme
    told = json.loads((tmp_path / result_files.DEPOSITION_JSON).read_text())
    assert told["contour"] == found.contour and all(check["in_order"] for check in told["checks"])


def test_half_maps_that_were_masked_or_filtered_are_named(tmp_path):
    assert stops(first=FIRST * MASK, second=SECOND * MASK)[:1] == ["as reconstructed"]
    blurred = [ndimage.gaussian_filter(half, 2.0) for half in (FIRST, SECOND)]
    assert "as reconstructed" in stops(first=blurred[0], second=blurred[1])
    deposition.write_deposition(maps(first=blurred[0], second=blurred[1]), tmp_path)
    assert "Do not upload yet" in (tmp_path / deposition.README).read_text()


def test_half_maps_with_one_noise_or_of_another_map_are_named():
    assert stops(second=FIRST + 0.05 * NOISE[1])[:1] == ["independent"]
    other = grid(12 * ndimage.gaussian_filter(NOISE[0], 1.5) * BODY + 0.3 * NOISE[2])
    assert stops(density=other)[0] == "map of the halves"


def test_a_half_map_at_another_place_is_named():
    shifted = (grid(FIRST, (0.0, 0.0, 0.0), "h1.mrc"), grid(SECOND))
    found = deposition.checked(maps(halves=shifted))
    assert [check.name for check in found.checks if not check.in_order] == ["grid"]
    assert "h1.mrc" in found.stops[0]


@pytest.mark.parametrize("contour,word", [(0.05, "a higher one"), (1e3, "a lower one")])
def test_a_contour_that_shows_noise_or_nothing_is_named(contour, word):
    found = deposition.checked(maps(contour=contour))
    assert word in found.stops[0] and f"{contour:.4g}" in found.stops[0]


def test_the_contour_that_is_found_shows_the_molecule_and_little_else():
    made = maps()
    above = made.density.data > deposition.found_contour(made)
    assert (above & MASK).sum() > 0.15 * MASK.sum() and (above & ~MASK).sum() < 0.1 * above.sum()


def test_the_bundled_samples_own_half_maps_are_as_the_emdb_wants_them():
    """They are whole numbers, in which a good part of the neighbours in the background are equal."""
    halves = [mrc_reader.read(places.sample(name)) for name in ("half1", "half2")]
    mask = mrc_reader.read_values(places.sample("mask")).data > 0
    both = [half.data for half in halves]
    assert half_maps.alterations(*both, mask, halves[0].voxel_size) == []
    loose = ndimage.binary_dilation(mask, iterations=6)
    masked = [data * loose for data in both]
    assert "masked" in half_maps.alterations(*masked, mask, halves[0].voxel_size)[0]
