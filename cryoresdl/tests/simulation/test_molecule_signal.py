"""Atoms on the grid, solvent, mask and orientation."""

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.simulation import molecule_signal
from cryoresdl.models.structures import atoms
from cryoresdl.tests.helpers.small_maps import ball


def test_spline_deposit_keeps_weight_and_centre():
    rng = np.random.default_rng(0)
    positions = rng.uniform(6, 14, (50, 3))
    weights = rng.uniform(1, 8, 50)
    grid = molecule_signal.spline_deposit(positions, weights, (20, 22, 24))
    assert grid.shape == (20, 22, 24)
    assert grid.sum() == pytest.approx(weights.sum())
    for axis, n in enumerate(grid.shape):
        profile = grid.sum(tuple(a for a in range(3) if a != axis))
        centre = (np.arange(n) * profile).sum() / grid.sum()
        assert centre == pytest.approx((weights * positions[:, axis]).sum() / weights.sum())
    # A cubic B-spline at a grid point is (1, 4, 1) / 6 along every axis; the box is periodic.
    one = molecule_signal.spline_deposit(np.array([[0.0, 5.0, 5.0]]), np.array([216.0]), (20, 20, 20))
    assert np.allclose(one[[19, 0, 1], 5, 5], [16, 64, 16])


def test_signal_is_a_sum_of_gaussians():
    """One atom against the same Gaussians summed in real space."""
    b = 150.0  # coarser than the grid: what lies beyond Nyquist cannot be drawn
    volume = molecule_signal.signal_volume(
        np.array([[15.3, 16.1, 16.9]]), np.array([6.0]), np.array([b]), (32,) * 3, 1.0, 0.0
    )
    z, y, x = np.mgrid[:32, :32, :32]
    r2 = (x - 15.3) ** 2 + (y - 16.1) ** 2 + (z - 16.9) ** 2
    expected = sum(
        6.0 * share * (4 * np.pi / (b + width)) ** 1.5 * np.exp(-4 * np.pi**2 * r2 / (b + width))
        for share, width in ((0.45, 30.0), (0.35, 8.0), (0.2, 1.5))
    )
    assert np.abs(volume - expected).max() < 5e-3 * expected.max()


def test_solvent_lowers_the_contrast_of_a_molecule_but_not_its_detail():
    atoms = ball(600, 12.0)
    xyz = atoms.xyz + 20

    def make(solvent):
        ones = np.ones(len(xyz))
        return molecule_signal.signal_volume(xyz, 6 * ones, 30 * ones, (40, 40, 40), 1.0, solvent)

    vacuum, solvent = make(0.0), make(0.5)
    assert solvent.sum() == pytest.approx(0.5 * vacuum.sum(), rel=0.02)
    f = fourier_shells.frequency_grid(vacuum.shape)
    power = [fourier_shells.shell_power(sf.rfftn(v), f, 20) for v in (vacuum, solvent)]
    assert power[1][1] < 0.5 * power[0][1]
    assert power[1][12:18].mean() == pytest.approx(power[0][12:18].mean(), rel=0.1)


def test_mask_follows_the_atoms_and_has_no_holes():
    xyz = np.array([[10.0, 12.0, 14.0]])
    mask = molecule_signal.mask_around(xyz, (24, 24, 24), 1.0, 4.0)
    assert mask[14, 12, 10] and mask[14, 12, 14] and not mask[14, 12, 15]
    assert (
        mask.sum()
        == (np.add.outer(np.add.outer(*[np.arange(-4, 5) ** 2] * 2), np.arange(-4, 5) ** 2) <= 16).sum()
    )
    shell = ball(900, 10.0).xyz
    shell = shell[np.linalg.norm(shell, axis=1) > 7] + 12
    assert molecule_signal.mask_around(shell, (24, 24, 24), 1.0, 3.0)[12, 12, 12]


def test_soft_edge_falls_from_one_to_zero():
    mask = np.zeros((20, 20, 20), bool)
    mask[8:12, 8:12, 8:12] = True
    edge = fourier_shells.soft_edge(mask, 4.0)
    line = edge[10, 10, 10:]
    assert (edge[mask] == 1).all() and np.all(np.diff(line) <= 0) and line[-1] == 0
    assert line[3] == pytest.approx(0.5)  # two voxels outside, half of the width


def test_random_rotation_is_a_rotation():
    turns = [atoms.random_rotation(np.random.default_rng(k)) for k in range(200)]
    for turn in turns[:5]:
        assert np.allclose(turn @ turn.T, np.eye(3)) and np.linalg.det(turn) == pytest.approx(1)
    assert np.abs(np.mean(turns, axis=0)).max() < 0.15
