"""What a regressor without a neighbourhood makes of the same features: the baseline of the local network.

Usage: python benchmarks/regressor_baseline.py --train SET.h5 [SET.h5 ...] --test SET.h5 [...] [--splits test] [--cells 150]

Gradient boosting (scikit-learn's HistGradientBoostingRegressor, absolute error) on the band energies of one cell and the map's own
profile predicts log2(resolution / voxel size), as the network does. Sets are those of `cryoresdl dataset features`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from scipy.stats import spearmanr
from sklearn.ensemble import HistGradientBoostingRegressor

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.datasets.feature_sets.feature_set_file import FeatureItem, read_items


def rows_of(item: FeatureItem, inside: np.ndarray) -> np.ndarray:
    """(cells, features): the cell's channels beside the map's profile and voxel size."""
    local = item.local["single"][:, inside].T.astype(np.float32)
    profile = np.broadcast_to(item.summary["single"], (len(local), item.summary["single"].size))
    return np.concatenate([local[:, :-1], profile], 1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--splits", nargs="+", default=["test"])
    parser.add_argument("--cells", type=int, default=150, help="of every training map")
    parser.add_argument("--limit", type=int, help="training maps of every set")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    x, y = [], []
    for path in args.train:
        for item in read_items(path, "train", args.limit):
            chosen = np.zeros(item.truth.shape, bool)
            cells = np.flatnonzero(item.truth > 0)
            chosen.flat[rng.choice(cells, min(args.cells, cells.size), replace=False)] = True
            x.append(rows_of(item, chosen))
            y.append(np.log2(item.truth[chosen] / item.info["voxel_size_A"]))
    begun = time.process_time()
    model = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=300, learning_rate=0.08, max_leaf_nodes=63, random_state=0
    )
    model.fit(np.concatenate(x), np.concatenate(y))
    print(f"{len(x)} maps, {sum(map(len, x))} cells, fitted in {time.process_time() - begun:.0f} CPU s")
    for path in args.test:
        found = []
        for split in args.splits:
            for item in read_items(path, split):
                inside = item.truth > 0
                truth = item.truth[inside]
                answer = (
                    np.exp2(np.maximum(model.predict(rows_of(item, inside)), 1.0)) * item.info["voxel_size_A"]
                )
                near = (
                    np.abs(resolution_terms.class_of(answer).astype(int) - resolution_terms.class_of(truth))
                    <= 1
                )
                rho = spearmanr(answer, truth)[0] if np.ptp(truth) > 0.01 else np.nan
                found.append([np.abs(answer - truth).mean(), rho, near.mean()])
        mae, rho, near = np.nanmean(found, 0)
        print(
            f"{path}: {len(found)} maps, MAE {mae:.3f} A, Spearman {rho:.3f}, within one class {100 * near:.1f} %"
        )


if __name__ == "__main__":
    main()
