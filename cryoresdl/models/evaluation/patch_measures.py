"""Accuracy of a local network on the patches of the paper's split, beside baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Sequence

import numpy as np

from ..base import accuracy_measures, resolution_terms
from ..base.errors import InputError
from ..base.runs.atomic_files import shown
from ..networks import paper_networks, paper_predictors
from ..networks.model_files import model_archive
from .class_measures import _percent, _round


@dataclass
class PatchSet:
    """Evaluation patches of a paper-mode data set, and what the baselines learn from its training patches.

    ``values`` are the labels in A (0: not estimated), ``masks`` bool, ``source`` numbers each patch's map.
    """

    maps: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    masks: np.ndarray
    source: np.ndarray
    majority: int
    medians: Dict[int, float]

    @classmethod
    def of(cls, data: Any, split: str = "test", map_splits: Sequence[str] | None = None) -> PatchSet:
        """Read one split; majority class and each map's median come from its training patches.

        Args:
            data: an opened data set.
            split: of the patches.
            map_splits: only patches of the maps that a list of maps gives to these splits; None: of all maps.

        Raises:
            InputError: no such patches, or no training patches.
        """
        rows, train = data.rows(split), data.rows("train")
        if map_splits is not None:
            kept = np.array([one.get("split") in map_splits for one in data.sources()])[data.column("source")]
            rows = rows[kept[rows]]
        if not len(rows) or not len(train):
            raise InputError(f"{shown(data.path)} lacks {split} or training patches.")
        source = data.column("source")
        values, labels = data.read("values", train), data.read("labels", train)
        medians = {
            int(number): float(np.median(found))
            if (found := _inside(values[source[train] == number])).size
            else 0.0
            for number in np.unique(source[rows])
        }
        counts = np.bincount(
            labels[labels >= 0].ravel().astype(int), minlength=len(resolution_terms.LOCAL_CLASSES)
        )
        return cls(
            data.read("maps", rows).astype(np.float32),
            data.read("labels", rows),
            data.read("values", rows),
            data.read("masks", rows).astype(bool),
            source[rows],
            int(counts.argmax()),
            medians,
        )


def _inside(values: np.ndarray) -> np.ndarray:
    return values[resolution_terms.estimated(values)]


def predict_patches(model: model_archive.Model, patches: np.ndarray) -> np.ndarray:
    """Classes (n, z, y, x) int8 that a paper U-Net gives to prepared patches."""
    network = model.card["network"]
    if network["name"] != paper_networks.UNET:
        raise InputError(f"The model {model.name} is not a U-Net of the paper; Table 6 compares those.")
    predict = paper_predictors.classifier(model)
    parts = [predict(patches[n : n + 64]).argmax(-1).astype(np.int8) for n in range(0, len(patches), 64)]
    return np.concatenate(parts)


def baselines(sets: PatchSet) -> Dict[str, np.ndarray]:
    """Predictions that need no network: the commonest class, and each map's median resolution in its mask."""
    majority = np.full(sets.labels.shape, sets.majority, np.int8)
    constant = np.zeros(sets.labels.shape, np.int8)
    for number, median in sets.medians.items():
        chosen = sets.source == number
        code = max(int(resolution_terms.class_of(np.array([median]))[0]), 0)
        # The paper's background is class 0, and a map scaled and masked to 0 shows where it is.
        constant[chosen] = np.where(sets.maps[chosen] > 0, code, 0)
    return {"majority class": majority, "one resolution per map": constant}


def patch_metrics(predicted: np.ndarray, sets: PatchSet) -> Dict[str, Any]:
    """The paper's metric (every voxel counts, background is class 0) and honest ones inside the mask.

    Angstroms of a predicted class are its centre; the means over maps have a 95 % bootstrap interval.
    """
    counted = sets.labels >= 0
    inside = sets.masks & resolution_terms.estimated(sets.values)
    said = np.asarray(resolution_terms.LOCAL_CENTRES_A)[np.clip(predicted, 0, 9)]
    pooled = accuracy_measures.agreement(sets.values[inside], said[inside])
    per_map = [
        accuracy_measures.agreement(sets.values[chosen][inside[chosen]], said[chosen][inside[chosen]])
        for chosen in (sets.source == number for number in np.unique(sets.source))
    ]
    exact = accuracy_measures.mean_over_maps([row["exact_class"] for row in per_map])
    error = accuracy_measures.mean_over_maps([row["mae_A"] for row in per_map])
    return {
        "accuracy_all_voxels_%": _percent(float((predicted == sets.labels)[counted].mean())),
        "in_mask_accuracy_%": _percent(pooled["exact_class"]),
        "within_one_class_%": _percent(pooled["within_one_class"]),
        "MAE_A": _round(pooled["mae_A"]),
        "spearman": _round(pooled["spearman"]),
        "per_map_accuracy_%": _percent(exact["mean"]),
        "per_map_95%": ""
        if exact["interval"] is None
        else "-".join(f"{100 * v:.1f}" for v in exact["interval"]),
        "per_map_MAE_A": _round(error["mean"]),
        "maps": exact["maps"],
        "voxels_in_mask": pooled["n_voxels"],
    }
