"""Large maps are answered tile by tile, without a seam."""

import numpy as np
import pytest

from cryoresdl.models.features import map_features, network_inputs
from cryoresdl.models.inference.bands import cell_estimates
from cryoresdl.models.networks import network_runners, resolution_bins

pytestmark = pytest.mark.usefixtures("without_tensorflow")


@pytest.mark.parametrize("length", [1, 40, 88, 89, 150, 400])
def test_tiles_cover_an_axis(length):
    pieces = cell_estimates.axis_tiles(length)
    assert pieces[0][0] == 0 and pieces[-1][1] == length
    for (_, stop), (start, _) in zip(pieces, pieces[1:]):
        assert stop - start >= 2 * cell_estimates.TILE_HALO
    assert max(stop - start for start, stop in pieces) <= 88


def small_tiles(monkeypatch, core, halo):
    original = cell_estimates.axis_tiles
    monkeypatch.setattr(cell_estimates, "TILE_HALO", halo)
    monkeypatch.setattr(cell_estimates, "axis_tiles", lambda length: original(length, core, halo))


def test_tiles_without_mask_are_left_out_and_all_cells_are_covered(monkeypatch):
    small_tiles(monkeypatch, 8, 4)
    mask = np.zeros((40, 30, 20), bool)
    mask[2:6, 3:9, 4:8] = True
    mask[36, 28, 18] = True
    chosen = list(cell_estimates.tiles(mask))
    covered = np.zeros(mask.shape, bool)
    for tile in chosen:
        assert mask[tile].any()
        covered[tile] = True
    assert covered[mask].all() and not covered.all()


def test_blending_weights_never_vanish_and_fall_to_inner_borders_only():
    whole = (100, 88, 88)
    tile = (slice(0, 88), slice(0, 88), slice(0, 88))
    weight = cell_estimates._blend_weights((88, 88, 88), tile, whole)
    assert weight.min() > 0 and (weight[: -cell_estimates.TILE_HALO] == 1).all()
    assert np.all(np.diff(weight[-cell_estimates.TILE_HALO :, 0, 0]) < 0)


def features_of(shape, seed=0):
    rng = np.random.default_rng(seed)
    local = rng.normal(size=(network_inputs.N_LOCAL,) + shape).astype(np.float32) * 0.3
    mask = np.zeros(shape, bool)
    mask[3:-3, 3:-3, 3:-3] = True
    summary = rng.normal(size=network_inputs.summary_length()).astype(np.float32) * 0.3
    return map_features.Features(local, summary, mask, True, 0.0)


def test_tiled_equals_untiled(models, monkeypatch):
    """Far-sighted enough halos, tiles that start on the pooling grid: the same answer but for the blended borders."""
    model = network_runners.load_model(models["local"], "local")
    feats = features_of((60, 20, 20))
    whole = cell_estimates.cell_estimates(model, feats)
    small_tiles(monkeypatch, 20, 10)
    assert len(list(cell_estimates.tiles(feats.mask_cells))) == 2
    tiled = cell_estimates.cell_estimates(model, feats)
    inside = feats.mask_cells
    for a, b in zip(tiled[:2], whole[:2]):
        assert (a[~inside] == 0).all()
        gap = np.abs(a - b)[inside] / b[inside].mean()
        assert np.quantile(gap, 0.95) < 0.01 and gap.max() < 0.1
    assert np.allclose(tiled[2], whole[2], atol=2e-3)


def test_a_constant_network_shows_no_seams(models, monkeypatch):
    """Weights of the overlaps sum to one whatever the tiles: a network that always says the same is seen to."""
    model = network_runners.load_model(models["local"], "local")
    logits = np.random.default_rng(3).normal(size=resolution_bins.N_BINS).astype(np.float32)
    monkeypatch.setattr(
        cell_estimates,
        "_run",
        lambda _: lambda v: np.broadcast_to(logits, v["x"].shape[:4] + (resolution_bins.N_BINS,)).copy(),
    )
    small_tiles(monkeypatch, 8, 4)
    feats = features_of((37, 30, 21))
    median, spread, mean = cell_estimates.cell_estimates(model, feats)
    p = np.exp(logits) / np.exp(logits).sum()
    low, middle, high = (resolution_bins.quantile(p[None], q)[0] for q in (0.16, 0.5, 0.84))
    assert np.allclose(median[feats.mask_cells], middle, atol=1e-5)
    assert np.allclose(spread[feats.mask_cells], (high - low) / 2, atol=1e-5)
    assert np.allclose(mean, p, atol=1e-5)


def test_cells_become_voxels_by_linear_interpolation():
    ramp = np.arange(10, dtype=np.float32)[:, None, None] * np.ones((10, 4, 4), np.float32)
    voxels = cell_estimates._expand(ramp, np.ones(ramp.shape, bool), (20, 7, 8))
    assert voxels.shape == (20, 7, 8)
    expected = np.clip((np.arange(20) - 0.5) / 2, 0, 9)  # a cell sits between its two voxels
    assert np.allclose(voxels[:, 3, 3], expected, atol=1e-5)
    # Cells outside the mask hold no estimate and lend none.
    mask = np.ones((10, 4, 4), bool)
    mask[5:] = False
    emptied = np.where(mask, 3.0, 0.0).astype(np.float32)
    assert np.allclose(cell_estimates._expand(emptied, mask, (20, 8, 8)), 3.0)


def empty_features(cells):
    """Features of cells (z, y, x) that hold nothing yet."""
    local = np.zeros((network_inputs.N_LOCAL, *cells.shape), np.float32)
    return map_features.Features(local, np.zeros(1, np.float32), cells, True, 0.0)


def test_overlaps_of_tiles_count_once_in_the_mean_distribution(monkeypatch):
    """One answer left of the overlap's middle, another right of it: half of the cells each."""
    cells = np.zeros((4, 4, 128), bool)
    cells[..., 52:76] = True
    feats = empty_features(cells)
    feats.local[0, ..., 64:] = 1.0

    def run(inputs):
        right = inputs["x"][..., :1] > 0.5
        return np.where(
            right,
            20.0 * (np.arange(resolution_bins.N_BINS) == 9),
            20.0 * (np.arange(resolution_bins.N_BINS) == 4),
        )[None][0]

    monkeypatch.setattr(cell_estimates, "_run", lambda model: run)
    _, _, mean = cell_estimates.cell_estimates(None, feats)
    assert mean[4] == pytest.approx(0.5, abs=0.01) and mean[9] == pytest.approx(0.5, abs=0.01)


def test_tiles_of_a_large_map_are_counted_where_someone_watches(monkeypatch, capsys):
    cells = np.ones((4, 4, 128), bool)
    feats = empty_features(cells)
    monkeypatch.setattr(
        cell_estimates,
        "_run",
        lambda model: lambda inputs: np.zeros((1, *inputs["x"].shape[1:4], resolution_bins.N_BINS)),
    )
    cell_estimates.cell_estimates(None, feats)
    assert capsys.readouterr().err == ""
    cell_estimates.cell_estimates(None, feats, watched=True)
    assert "2/2 tiles (100 %)" in capsys.readouterr().err


def test_tiles_of_an_axis_share_it_evenly():
    for length in (30, 88, 89, 100, 152, 153, 400):
        pieces = cell_estimates.axis_tiles(length)
        assert pieces[0][0] == 0 and pieces[-1][1] == length
        sizes = {stop - start for start, stop in pieces}
        assert len(sizes) == 1 and sizes.pop() <= cell_estimates.TILE_CELLS + 2 * cell_estimates.TILE_HALO
        overlaps = [before[1] - after[0] for before, after in zip(pieces, pieces[1:])]
        assert all(overlap >= 2 * cell_estimates.TILE_HALO - 1 for overlap in overlaps)
    assert sum(stop - start for start, stop in cell_estimates.axis_tiles(89)) <= 120
