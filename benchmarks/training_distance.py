"""How far the simulated training maps are from experimental ones, by what the networks read of them.

Usage: python benchmarks/training_distance.py --shared SHARED --features SET.h5 [...] [--limit N]

A classifier is to tell real maps from simulated ones by ``Features.summary`` alone: a random forest and logistic regression,
every real map told by one that has not seen it (simulated ones in ten folds). AUC 0.5 means that they are alike. Then, for each
real map, the distance to its fifth nearest simulated one in standard deviations of the simulated maps, and which maps those are:
the share of real maps that lie beyond what 90 % of the simulated ones have from their own fifth neighbour. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Dict, List, Tuple

import h5py
import numpy as np
from common import heading
from real_maps import published
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from cryoresdl.models.features import map_features
from cryoresdl.models.maps import automatic_mask
from cryoresdl.models.maps.mrc import mrc_reader

FOLDS = 10
NEIGHBOUR = 5
USUAL_SHARE = 0.9


def simulated(paths: List[Path], limit: int) -> Tuple[np.ndarray, List[Dict[str, Any]]]:
    """Summaries of single maps of feature sets, noiseless ones left out, and what is known of them."""
    rows, infos = [], []
    for path in paths:
        with h5py.File(path, "r") as handle:
            for split in handle:
                for name in sorted(handle[split]):
                    entry = handle[split][name]
                    info = json.loads(entry.attrs["info"])
                    if info.get("kind") == "realistic" and len(rows) < limit:
                        rows.append(entry["summary_single"][()])
                        infos.append(info)
    return np.stack(rows), infos


def real(shared: Path) -> Tuple[np.ndarray, List[str]]:
    """Summaries of the experimental maps, and their names."""
    rows, names = [], []
    for one in published(shared):
        density = mrc_reader.read(one.path)
        if one.claim and one.claim < 2 * density.voxel_size:
            continue
        mask = automatic_mask.auto_mask(density)[0]
        rows.append(map_features.compute(density.data, mask, density.voxel_size).summary)
        names.append(one.path.name.split(".")[0])
    return np.stack(rows), names


def told_apart(ours: np.ndarray, theirs: np.ndarray, make: Any) -> float:
    """AUC of a classifier on maps that it has not seen."""
    x = np.concatenate([ours, theirs])
    y = np.r_[np.zeros(len(ours)), np.ones(len(theirs))]
    order = np.random.default_rng(0).permutation(len(ours))
    scores = np.zeros(len(x))
    for fold in range(max(FOLDS, len(theirs))):
        left_out = np.zeros(len(x), bool)
        left_out[order[fold :: max(FOLDS, len(theirs))]] = True
        if fold < len(theirs):
            left_out[len(ours) + fold] = True
        scores[left_out] = make().fit(x[~left_out], y[~left_out]).predict_proba(x[left_out])[:, 1]
    return float(roc_auc_score(y, scores))


def main() -> None:
    """Print both AUCs, the share beyond, and where every real map lies."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", required=True, type=Path)
    parser.add_argument("--features", required=True, nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=600)
    args = parser.parse_args()
    heading("Real against simulated maps", "scikit-learn")
    ours, infos = simulated(args.features, args.limit)
    theirs, names = real(args.shared)
    print(f"{len(theirs)} real and {len(ours)} simulated maps")
    makers = {
        "random forest": lambda: RandomForestClassifier(300, class_weight="balanced", random_state=0),
        "logistic regression": lambda: make_pipeline(
            StandardScaler(), LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
        ),
    }
    for name, make in makers.items():
        print(f"{name}: AUC {told_apart(ours, theirs, make):.3f}")
    scale = StandardScaler().fit(ours)
    a, b = (np.clip(scale.transform(rows), -6, 6) for rows in (ours, theirs))

    def distances(rows: np.ndarray) -> np.ndarray:
        return np.sqrt(((rows[:, None] - a[None]) ** 2).mean(-1))

    usual = np.quantile(np.sort(distances(a), 1)[:, NEIGHBOUR], USUAL_SHARE)  # itself is the nearest
    found = distances(b)
    away = np.sort(found, 1)[:, NEIGHBOUR - 1]
    print(
        f"beyond what {100 * USUAL_SHARE:.0f} % of the simulated maps have: {100 * np.mean(away > usual):.0f} %"
    )
    print(
        "\n| real map | distance over usual | nearest simulated: resolution, voxel, background |\n|---|---|---|"
    )
    for k in np.argsort(-away):
        near = [infos[n] for n in np.argsort(found[k])[:3]]
        words = "; ".join(
            f"{i['global_fsc0143_A']:.1f} A, {i['voxel_size_A']:.1f} A, {i['options']['background']}"
            for i in near
        )
        print(f"| {names[k]} | {away[k] / usual:.2f} | {words} |")


if __name__ == "__main__":
    main()
