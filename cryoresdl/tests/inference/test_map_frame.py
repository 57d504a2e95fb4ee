"""The answer turns, mirrors and moves with the map, voxel by voxel, and padding changes nothing."""

import numpy as np
import pytest

from cryoresdl.models.inference import local_resolution
from cryoresdl.models.inference.bands import map_frame
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.tests.helpers.small_maps import atoms_at, save_local_model


def cropped(volume):
    return volume[5:-5, 5:-5, 5:-5]


TURNS = {
    "mirrored": (lambda v: v[::-1], lambda v: v[::-1]),
    "turned": (lambda v: np.rot90(v, 1, (0, 1)), lambda v: np.rot90(v, -1, (0, 1))),
    "rolled by a voxel": (lambda v: np.roll(v, 1, 0), lambda v: np.roll(v, -1, 0)),
    "rolled over the face": (
        lambda v: np.roll(v, (9, -3, 20), (0, 1, 2)),
        lambda v: np.roll(v, (-9, 3, -20), (0, 1, 2)),
    ),
    "padded with zeros": (lambda v: np.pad(v, 5), cropped),
    "padded with its faces": (lambda v: np.pad(v, 5, "edge"), cropped),
    "padded periodically": (lambda v: np.pad(v, 5, "wrap"), cropped),
    "turned and mirrored": (lambda v: v.transpose(2, 0, 1)[:, ::-1], lambda v: v[:, ::-1].transpose(1, 2, 0)),
}


@pytest.fixture(scope="module")
def simulated():
    xyz = np.random.default_rng(3).normal(0, (5.0, 7.0, 9.0), (400, 3)) + [0, 2, 4]
    conditions = imaging_conditions.ImagingConditions(b_base=40.0)
    return realistic_map.simulate(atoms_at(xyz), 5.0, 50, 1.5, 1, conditions)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_local_model(tmp_path_factory.mktemp("model") / "tiny.cryoresdl")


@pytest.mark.parametrize("halves", [False, True], ids=["one map", "half maps"])
@pytest.mark.parametrize("name", sorted(TURNS))
def test_the_answer_turns_with_the_map(simulated, model, name, halves, monkeypatch):
    monkeypatch.setenv("CRYORESDL_BACKEND", "numpy")
    there, back = TURNS[name]
    volumes = [simulated.map, simulated.half1, simulated.half2] if halves else [simulated.map]

    def answer(change):
        maps = [DensityMap(np.ascontiguousarray(change(volume)), 1.5) for volume in volumes]
        mask = np.ascontiguousarray(change(simulated.mask))
        return local_resolution.localres(*maps, mask=mask, model=model)

    plain, moved = answer(lambda volume: volume), answer(there)
    assert np.ptp(plain.resolution[plain.mask]) > 0.01
    np.testing.assert_allclose(back(moved.resolution), plain.resolution, atol=1e-3)
    np.testing.assert_allclose(back(moved.halfwidth), plain.halfwidth, atol=1e-3)
    np.testing.assert_allclose(moved.profile, plain.profile, atol=1e-3)


@pytest.mark.parametrize("name", sorted(TURNS))
def test_what_a_frame_shows_goes_back_to_where_it_was(simulated, name):
    there, _ = TURNS[name]
    volume, mask = there(simulated.map), there(simulated.mask)
    frame = map_frame.frame_of([volume], mask)
    seen = frame.view(volume)
    assert np.array_equal(frame.back(seen, volume.shape)[mask], volume[mask])
    plain = map_frame.frame_of([simulated.map], simulated.mask).view(simulated.map)
    offsets = np.argwhere(seen == plain.max())[0] - np.argwhere(plain == plain.max())[0]
    assert np.array_equal(np.roll(plain, offsets, (0, 1, 2)), seen)


def test_a_molecule_with_two_fold_axes_is_seen_with_the_same_hand(simulated):
    half = simulated.map.astype(np.float64)
    half = half + half[::-1, ::-1]
    volume = half + half[::-1, :, ::-1]
    mask = volume > np.quantile(volume, 0.9)
    seen = []
    for name in ("mirrored", "turned", "turned and mirrored"):
        for change in (lambda v: v, TURNS[name][0]):
            each = change(volume).astype(np.float32)
            seen.append(map_frame.frame_of([each], change(mask)).view(each))
    for other in seen[1:]:
        np.testing.assert_allclose(other, seen[0], atol=1e-5 * np.abs(volume).max())


def test_padding_that_a_mask_covers_is_not_left_out(simulated):
    padded = np.pad(simulated.map, 5, "edge")
    assert map_frame.frame_of([padded], np.ones(padded.shape, bool)).view(padded).shape == padded.shape


def test_a_map_without_density_in_its_mask_keeps_its_axes():
    mask = np.zeros((8, 8, 8), bool)
    mask[2:5, 2:5, 2:5] = True
    frame = map_frame.frame_of([np.zeros((8, 8, 8), np.float32)], mask)
    assert frame.order == (0, 1, 2) and not frame.flipped
