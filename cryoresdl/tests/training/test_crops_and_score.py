"""What the local network learns from, step by step: crops of maps, and the score of an answer."""

import numpy as np
import pytest

from cryoresdl.models.features import network_inputs
from cryoresdl.models.networks import resolution_bins
from cryoresdl.models.training import (
    crop_batches,
    held_out_answers,
    probability_score,
)
from cryoresdl.models.training.crop_batches import LocalNetworkRecipe
from cryoresdl.tests.helpers.small_maps import (
    make_item,
)
from cryoresdl.tests.helpers.small_training import TINY


def logits_of(p):
    return np.log(np.maximum(p, 1e-12)).astype(np.float32)


def test_the_score_is_the_ranked_probability_score(tf):
    """A sure and right answer scores near 0, a wrong one its distance; worse in between."""
    edges = resolution_bins.bin_edges()
    k = 15
    u = np.float32((edges[k] + edges[k + 1]) / 2)
    scores = []
    for shift in (0, 1, 2, 8):
        p = np.zeros((1, resolution_bins.N_BINS))
        p[0, k + shift] = 1
        scores.append(
            float(probability_score._loss_of(tf, logits_of(p), tf.constant([u]), tf.constant([1.0]), 0.0)[0])
        )
    assert scores[0] == pytest.approx(0, abs=1e-6)
    assert np.allclose(scores[1:], np.array([1, 2, 8]) * resolution_bins.BIN_STEP, rtol=1e-3)
    # In angstroms the same miss costs more where bins are wider.
    p = np.zeros((1, resolution_bins.N_BINS))
    p[0, k + 1] = 1
    args = (tf, logits_of(p), tf.constant([u]), tf.constant([1.0]))
    extra = float(probability_score._loss_of(*args, 1.0)[0]) - scores[1]
    width = np.log(2) * resolution_bins.BIN_STEP * 2 ** edges[k + 1]
    assert extra == pytest.approx(width / np.sqrt(1 + (2**u / 10) ** 2), rel=1e-3)


def test_the_score_prefers_honest_spreads(tf):
    """Proper: averaged over truths drawn from a distribution, that distribution itself scores best."""
    rng = np.random.default_rng(0)
    centres = resolution_bins.centres()

    def gaussian(sigma):
        p = np.exp(-0.5 * ((centres - 3.0) / sigma) ** 2)
        return p / p.sum()

    u = tf.constant(rng.normal(3.0, 0.4, 4000).astype(np.float32))
    mean = {
        sigma: float(
            np.mean(
                probability_score._loss_of(
                    tf, np.tile(logits_of(gaussian(sigma)), (4000, 1)), u, tf.ones(4000), 0.0
                )
            )
        )
        for sigma in (0.15, 0.4, 1.0)
    }
    assert mean[0.4] < mean[0.15] and mean[0.4] < mean[1.0]


def test_only_estimated_cells_count(tf):
    truth = np.zeros((1, 4, 4, 4), np.float32)
    truth[0, :2] = 4.0
    logits = np.random.default_rng(0).normal(size=(1, 4, 4, 4, resolution_bins.N_BINS)).astype(np.float32)
    voxel = tf.constant([1.0])
    loss, error = probability_score._loss(tf, tf.constant(logits), tf.constant(truth), voxel, 0.3)
    logits[0, 2:] = 99.0
    again, same = probability_score._loss(tf, tf.constant(logits), tf.constant(truth), voxel, 0.3)
    assert float(loss) == float(again) and float(error) == float(same)
    # The error is that of the median.
    p = np.exp(logits[0, :2].reshape(-1, resolution_bins.N_BINS).astype(np.float64))
    exact = np.abs(resolution_bins.quantile(p / p.sum(-1, keepdims=True), 0.5) - 2.0).mean()
    assert float(error) == pytest.approx(exact, abs=0.06)


def test_a_small_molecule_is_heard_beside_a_large_one(tf):
    truth = np.zeros((2, 8, 8, 8), np.float32)
    truth[0], truth[1, :1, :1] = 4.0, 4.0
    right = np.full((2, 8, 8, 8, resolution_bins.N_BINS), -20.0, np.float32)
    right[..., int((2.0 - resolution_bins.BIN_LOW) / resolution_bins.BIN_STEP)] = 20.0
    wrong = right.copy()
    wrong[1] = wrong[1, ..., ::-1]
    voxels = tf.constant([1.0, 1.0])

    def error(logits):
        return float(probability_score._loss(tf, tf.constant(logits), tf.constant(truth), voxels, 0.3)[1])

    every = error(np.ascontiguousarray(wrong[1:].repeat(2, 0)))
    share = (error(wrong) - error(right)) / (every - error(right))
    assert share == pytest.approx(np.sqrt(8) / (np.sqrt(8) + np.sqrt(512)), rel=0.05)


def test_crops_keep_features_and_truth_together():
    item = make_item(0)
    rng = np.random.default_rng(0)
    for size in (8, 16):  # 16 is larger than the item: padded
        for _ in range(10):
            x, t, _, voxel = crop_batches.draw_crop(item, "single", size, rng)
            assert x.shape == (size, size, size, network_inputs.N_LOCAL) and t.shape == (size,) * 3
            inside = t > 0
            assert inside.any() and voxel == 1.0
            assert np.array_equal(x[..., -1] > 0, inside)
            assert np.allclose(np.log2(t[inside]), 1 + 3 * x[..., 0][inside], atol=5e-3)


def test_batches_do_not_depend_on_where_a_run_began():
    items = [make_item(k) for k in range(3)]
    first, again, other = (crop_batches.crop_batch(items, TINY, step) for step in (2, 2, 0))
    assert all(np.array_equal(u, v) for u, v in zip(first, again))
    assert not np.array_equal(first[0], other[0])
    x, t, s, v = first
    assert x.shape == (2, 8, 8, 8, network_inputs.N_LOCAL) and t.shape == (2, 8, 8, 8)
    assert s.shape == (2, network_inputs.summary_length()) and v.shape == (2,)
    assert {a.dtype for a in (x, t, s, v)} == {np.dtype(np.float32)}


def test_both_variants_are_drawn_by_their_share():
    item = make_item(0)
    item.local["halves"] = item.local["halves"] + np.float16(0)
    item.local["halves"][1] = 7
    item.local["single"][1] = -7
    always = crop_batches.crop_batch([item], LocalNetworkRecipe(crop=8, batch=4, halves_share=1.0), 0)
    never = crop_batches.crop_batch([item], LocalNetworkRecipe(crop=8, batch=4, halves_share=0.0), 0)
    assert always[0][..., 1].max() == 7 and never[0][..., 1].min() == -7


def test_padding_to_four():
    x = held_out_answers.pad_to_four(np.ones((3, 5, 8, 9), np.float16))
    assert x.shape == (1, 8, 8, 12, 3) and x.dtype == np.float32
    assert x.sum() == 3 * 5 * 8 * 9
