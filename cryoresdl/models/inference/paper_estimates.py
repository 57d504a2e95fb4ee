"""Local resolution and class by the paper's networks."""

from __future__ import annotations

import time
from typing import Any, Dict, Optional

import numpy as np

from ..base import resolution_terms
from ..base.errors import InputError
from ..maps.density_map import DensityMap
from .answers import LocalResult, _entry, _finish


def _paper_localres(
    density: DensityMap, mask: np.ndarray, model: Any, timings: Dict[str, float]
) -> LocalResult:
    """The paper's U-Net: whole map min-max scaled, masked, 16^3 patches; class centres as angstroms."""
    from ..networks import paper_networks, paper_predictors

    if model.card["network"]["name"] != paper_networks.UNET:
        raise InputError(
            f"The model {model.card['name']} has the unknown network {model.card['network']['name']}."
        )
    clock = time.perf_counter()
    scaled = paper_predictors.scale01(density.data) * mask
    network = paper_networks.from_weights(
        paper_networks.build_paper_network(model.card["network"]), model.weights
    )
    timings["load"] += time.perf_counter() - clock
    clock = time.perf_counter()
    side = 16
    padded = np.pad(scaled, [(0, -n % side) for n in scaled.shape])
    classes = np.full(padded.shape, -1, np.int8)
    certainty = np.zeros(padded.shape, np.float32)
    corners = [
        (z, y, x)
        for z in range(0, padded.shape[0], side)
        for y in range(0, padded.shape[1], side)
        for x in range(0, padded.shape[2], side)
        if padded[z : z + side, y : y + side, x : x + side].any()
    ]
    for start in range(0, len(corners), 32):
        chosen = corners[start : start + 32]
        batch = np.stack([padded[z : z + side, y : y + side, x : x + side] for z, y, x in chosen])
        probabilities = np.asarray(network(batch[..., None], training=False), np.float32)
        for (z, y, x), p in zip(chosen, probabilities):
            classes[z : z + side, y : y + side, x : x + side] = p.argmax(-1)
            certainty[z : z + side, y : y + side, x : x + side] = p.max(-1)
    crop = tuple(slice(0, n) for n in mask.shape)
    inside = mask & (classes[crop] >= 0)
    middles = np.array(resolution_terms.LOCAL_CENTRES_A, np.float32)
    values = np.where(inside, middles[np.maximum(classes[crop], 0)], 0).astype(np.float32)
    values[inside] = np.maximum(values[inside], 2 * density.voxel_size)
    widths = np.where(inside, 0.5 / np.maximum(certainty[crop], 0.1), 0).astype(np.float32)
    timings["network"] = time.perf_counter() - clock
    result = _finish(values, widths, mask, density, model)
    result.info["warnings"].append(
        "The paper's U-Net gives classes only: angstroms are class centres, intervals half a class over certainty."
    )
    return result


def _paper_classify(density: DensityMap, claimed: Optional[float], loaded: Any) -> Dict[str, Any]:
    from ..networks import paper_predictors

    probabilities = paper_predictors.paper_predict(loaded, [density.data])[0]
    entry = _entry(density, loaded, probabilities)
    entry["warnings"].append(
        "The paper's networks read the central 64^3 voxels, ignore the voxel size and learned from noiseless maps; "
        "on real maps the paper measured 57-60 % agreement."
    )
    if claimed is not None:
        same = resolution_terms.global_class(claimed) == entry["class"]
        text = f"The claim of {claimed:g} A falls in the class {resolution_terms.global_class(claimed)}"
        entry["claim"] = {
            "claimed_A": claimed,
            "verdict": "supported" if same else "cannot tell",
            "reasons": [text + (", as predicted." if same else f"; the network says {entry['class']}.")],
        }
    return entry
