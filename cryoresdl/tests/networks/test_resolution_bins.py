"""Distributions over bins: quantiles, cumulative probabilities and classes, exactly."""

import numpy as np
import pytest

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.networks import resolution_bins
from cryoresdl.models.networks.resolution_bins import BIN_HIGH, BIN_LOW, BIN_STEP, N_BINS, bin_edges


def one_hot(k):
    p = np.zeros((1, N_BINS))
    p[0, k] = 1.0
    return p


def test_edges_and_centres():
    edges = bin_edges()
    assert len(edges) == N_BINS + 1 and edges[0] == BIN_LOW and edges[-1] == pytest.approx(BIN_HIGH)
    assert np.allclose(resolution_bins.centres(), (edges[1:] + edges[:-1]) / 2)


@pytest.mark.parametrize("k", [0, 17, N_BINS - 1])
def test_all_mass_in_one_bin_is_uniform_inside_it(k):
    p = one_hot(k)
    for q in (0.1, 0.5, 0.84):
        assert resolution_bins.quantile(p, q)[0] == pytest.approx(BIN_LOW + BIN_STEP * (k + q), abs=1e-6)


def test_quantiles_of_a_uniform_distribution_are_straight():
    p = np.full((3, N_BINS), 1 / N_BINS)
    for q in (0.16, 0.25, 0.5, 0.84):
        expected = BIN_LOW + (BIN_HIGH - BIN_LOW) * q
        assert np.allclose(resolution_bins.quantile(p, q), expected, atol=1e-5)


def test_quantiles_rise_with_q_and_stay_inside():
    p = np.random.default_rng(0).dirichlet(np.full(N_BINS, 0.3), 200)
    values = [resolution_bins.quantile(p, q) for q in (0.01, 0.16, 0.5, 0.84, 0.99)]
    assert np.all(np.diff(values, axis=0) >= 0)
    assert np.min(values) >= BIN_LOW and np.max(values) <= BIN_HIGH + 1e-6
    assert values[0].dtype == np.float32


def test_quantile_and_cumulative_are_inverse():
    p = np.random.default_rng(1).dirichlet(np.full(N_BINS, 2.0), 50)
    for q in (0.2, 0.5, 0.9):
        level = resolution_bins.quantile(p, q)
        back = [resolution_bins.cumulative_at(row[None], [u])[0, 0] for row, u in zip(p, level)]
        assert np.allclose(back, q, atol=1e-4)


def test_rounding_below_one_never_loses_the_last_bin():
    p = one_hot(N_BINS - 1) * (1 - 1e-7)
    assert resolution_bins.quantile(p, 1.0)[0] == pytest.approx(BIN_HIGH, abs=1e-5)


def test_the_input_is_left_alone():
    p = one_hot(3) * 0.999
    before = p.copy()
    resolution_bins.quantile(p, 0.5)
    resolution_bins.class_probabilities(p, [3.0], 1.0)
    assert np.array_equal(p, before)


def test_cumulative_is_linear_inside_a_bin_and_held_beyond_the_ends():
    p = one_hot(10)
    low = BIN_LOW + BIN_STEP * 10
    levels = [0.0, low, low + 0.25 * BIN_STEP, low + BIN_STEP, 99.0]
    assert np.allclose(resolution_bins.cumulative_at(p, levels), [[0, 0, 0.25, 1, 1]])


def test_class_probabilities_are_the_mass_between_the_edges():
    # All mass in one bin that the edge cuts at a quarter.
    k = 12
    edge = 2.0 ** (BIN_LOW + BIN_STEP * (k + 0.25)) * 1.3
    assert np.allclose(resolution_bins.class_probabilities(one_hot(k), [edge], 1.3), [[0.25, 0.75]])
    p = np.random.default_rng(2).dirichlet(np.ones(N_BINS), 20)
    for edges in (resolution_terms.GLOBAL_EDGES_A, resolution_terms.LOCAL_EDGES_A):
        for voxel in (0.5, 1.0, 3.5):
            classes = resolution_bins.class_probabilities(p, edges, voxel)
            assert classes.shape == (20, len(edges) + 1)
            assert np.allclose(classes.sum(1), 1) and (classes >= 0).all()
    # At 3.5 A/voxel nothing is finer than 7 A.
    coarse = resolution_bins.class_probabilities(p, resolution_terms.LOCAL_EDGES_A, 3.5)
    assert np.allclose(coarse[:, :6], 0)
