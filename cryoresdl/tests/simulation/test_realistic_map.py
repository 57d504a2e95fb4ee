"""Realistic maps: what they promise, every option, and what is refused."""

import json

import numpy as np
import pytest
import scipy.fft as sf
from scipy import ndimage

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import band_energies
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.simulation import molecule_signal, realistic_map
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.tests.helpers.small_maps import atoms_at, ball, quick_map


@pytest.fixture(scope="module")
def simulated():
    return quick_map(b_base=30.0, b_range=40.0)


def test_a_simulated_map_keeps_its_promises(simulated):
    info = simulated.info
    for volume in (simulated.map, simulated.half1, simulated.half2, simulated.truth):
        assert volume.shape == (40, 40, 40) and volume.dtype == np.float32 and np.isfinite(volume).all()
    assert (simulated.truth[~simulated.mask] == 0).all() and (simulated.truth[simulated.mask] >= 2).all()
    assert info["global_fsc0143_A"] == pytest.approx(4.0, rel=0.02)
    assert info["measured_fsc0143_masked_A"] == pytest.approx(4.0, rel=0.2)
    # The mask given out is the molecule's own here.
    assert info["measured_fsc0143_given_mask_A"] == info["measured_fsc0143_masked_A"]
    assert info["truth_quartiles_A"][0] <= info["truth_median_A"] <= info["truth_quartiles_A"][1]
    assert info["mask_voxels"] == simulated.mask.sum()
    json.dumps(info)
    # The final map is the mean of the halves but for scale.
    mean = (simulated.half1 + simulated.half2) / 2
    assert np.corrcoef(simulated.map.ravel(), mean.ravel())[0, 1] > 0.999999
    assert simulated.map.std() == pytest.approx(1, abs=1e-3)


def test_noise_of_the_halves_is_independent_and_as_strong_as_stated(simulated):
    outside = ~ndimage.binary_dilation(simulated.mask, iterations=4)
    one, two = simulated.half1[outside], simulated.half2[outside]
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    level = (simulated.half1 - simulated.half2).var() / 2
    assert level == pytest.approx(simulated.info["noise_power_per_voxel"], rel=0.03)


def test_the_same_seed_gives_the_same_bytes(simulated):
    again = quick_map(b_base=30.0, b_range=40.0)
    other = quick_map(b_base=30.0, b_range=40.0, seed=2)
    for name in ("map", "half1", "half2", "mask", "truth"):
        assert getattr(again, name).tobytes() == getattr(simulated, name).tobytes()
        assert getattr(other, name).tobytes() != getattr(simulated, name).tobytes()
    assert again.info == simulated.info


@pytest.mark.parametrize(
    "options",
    [
        {"b_source": "none"},
        {"b_source": "radial"},
        {"b_source": "file"},
        {"noise_slope": 1.0, "noise_bump": (0.8, 0.2)},
        {"noise_profile": 0.3},
        {"noise_inside": 2.0},
        {"noise_fall": 0.8},
        {"weighting": True, "b_sharpen": -60.0},
        {"low_pass": 8.0},
        {"copies": 3, "mask_margin": 3.0},
        {"auto_mask": True},
    ],
    ids=str,
)
def test_every_option_changes_the_map_and_leaves_a_valid_truth(options, simulated):
    atoms = ball(300, 9.0, b_factor=30.0)
    atoms.b_factor[:] = 20 + 3 * atoms.xyz[:, 0]
    box = 56 if "copies" in options else 40
    result = quick_map(atoms, box=box, **options)
    plain = quick_map(atoms, box=box)
    changed = "mask" if "auto_mask" in options else "map"
    assert not np.array_equal(getattr(result, changed), getattr(plain, changed))
    inside = result.truth[result.mask]
    assert (inside >= 2).all() and np.isfinite(inside).all()


def test_backgrounds():
    maps = {name: quick_map(background=name) for name in ("noise", "soft", "hard", "zone", "clipped")}
    mask = maps["noise"].mask
    assert (maps["noise"].map[~mask] != 0).all()
    assert (maps["hard"].map[~mask] == 0).all() and (maps["hard"].map[mask] != 0).all()
    soft = maps["soft"].map
    far = ndimage.distance_transform_edt(~mask) > 4.5
    assert (soft[far] == 0).all() and (soft[mask] != 0).all() and (soft[~mask & ~far] != 0).any()
    assert maps["clipped"].map.min() == 0
    zone = maps["zone"].map
    assert 0.02 < (zone != 0).mean() < 0.9 and (zone[far] == 0).all()
    # What a user does to the map changes neither the halves nor the truth.
    for result in maps.values():
        assert np.array_equal(result.half1, maps["noise"].half1)
        assert np.array_equal(result.truth, maps["noise"].truth)


def test_sharpening_is_the_filter_that_it_says():
    plain, sharp = quick_map(), quick_map(b_sharpen=-100.0)
    f = fourier_shells.frequency_grid(plain.map.shape)
    ratio = np.sqrt(
        fourier_shells.shell_power(sf.rfftn(sharp.map), f, 20)
        / fourier_shells.shell_power(sf.rfftn(plain.map), f, 20)
    )
    shell = np.arange(21) / 40.0
    slope = np.polyfit(shell[3:18] ** 2, np.log(ratio[3:18]), 1)[0]
    assert slope == pytest.approx(25.0, rel=0.05)


def test_file_b_factors_order_the_truth():
    atoms = ball(900, 13.0)
    atoms.b_factor[:] = np.where(atoms.xyz[:, 0] > 0, 10.0, 200.0)
    rigid = molecule_signal.flexibility(
        atoms.xyz, atoms.b_factor, atoms.chain, ImagingConditions(b_source="file"), np.random.default_rng(0)
    )
    assert rigid[atoms.xyz[:, 0] > 0].max() < rigid[atoms.xyz[:, 0] < 0].min()
    field = molecule_signal.flexibility(
        atoms.xyz, atoms.b_factor, atoms.chain, ImagingConditions(), np.random.default_rng(0)
    )
    assert (field >= ImagingConditions().b_base).all() and np.ptp(field) > 30
    # Smooth: neighbours differ far less than strangers.
    distance = np.linalg.norm(atoms.xyz[:, None] - atoms.xyz[None], axis=-1)
    gap = np.abs(field[:, None] - field[None])
    assert gap[(distance > 0) & (distance < 3)].mean() < 0.4 * gap[distance > 18].mean()


def test_stride_gives_the_same_truth_on_a_coarser_grid():
    fine = quick_map()
    coarse = realistic_map.simulate(ball(400, 11.0), 4.0, 40, 1.0, 1, ImagingConditions(), truth_stride=2)
    assert coarse.truth.shape == (20, 20, 20)
    assert np.array_equal(coarse.truth > 0, band_energies.cells_of_mask(fine.mask, 2))
    blocks = fine.truth.reshape(20, 2, 20, 2, 20, 2)
    full = (blocks > 0).all((1, 3, 5))
    assert np.quantile(np.abs(blocks.mean((1, 3, 5))[full] / coarse.truth[full] - 1), 0.9) < 0.05


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"resolution": 1.9}, "A resolution of 1.9 A needs voxels of at most 0.95 A"),
        ({"resolution": float("nan")}, "needs voxels"),
        ({"voxel_size": 0.0}, "--voxel-size"),
        ({"voxel_size": float("inf")}, "--voxel-size"),
        ({"box": 24}, "give --box"),
    ],
    ids=["beyond Nyquist", "nan", "zero voxel", "infinite voxel", "does not fit"],
)
def test_impossible_maps_are_refused_with_a_remedy(arguments, words):
    with pytest.raises(InputError, match=words):
        quick_map(**{"resolution": 4.0, **arguments})


def test_structures_without_atoms_are_refused():
    for structure in (
        atoms_at(np.zeros((2, 3)) + [[0], [5]]),
        atoms_at(ball(50, 8.0).xyz, occupancy=0.0),
        atoms_at(ball(50, 8.0).xyz, z_number=1),
        atoms_at(np.full((50, 3), np.nan)),
    ):
        with pytest.raises(InputError, match="fewer than 3 usable atoms"):
            quick_map(structure)


def test_a_training_map_may_be_a_piece_of_a_large_molecule():
    result = realistic_map.simulate(
        ball(3000, 30.0), 4.0, 40, 1.0, 1, ImagingConditions(), truth_stride=2, crop=True
    )
    assert result.map.shape == (40, 40, 40) and result.truth.shape == (20, 20, 20)
    assert result.mask.mean() > 0.3


def test_the_box_is_chosen_to_fit_when_none_is_given():
    result = realistic_map.simulate(ball(200, 9.0), 4.0, None, 1.0, 1, ImagingConditions())
    edge = result.map.shape[0]
    assert edge >= 32 and edge == sf.next_fast_len(edge, real=True)
    assert not result.mask[[0, -1]].any() and not result.mask[:, [0, -1]].any()
