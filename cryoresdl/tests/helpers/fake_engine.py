"""A stand-in for ``cryoresdl.models.inference``: instant, without networks, and breakable on purpose.

The local resolution is 4 A inside the mask. What the map's name holds decides what happens: ``crash`` kills the
process, ``boom`` raises, ``hungry`` runs out of memory, ``slow`` takes its time.
"""

import os
import signal
import time

import numpy as np

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.inference import claim_verdict
from cryoresdl.models.inference.answers import LocalResult
from cryoresdl.models.maps import automatic_mask


def localres(
    density, half1=None, half2=None, mask=None, model="truth", seed=0, watched=False, soft_mask=None
):
    """Every voxel of the mask has 4 A."""
    _misbehave(os.path.basename(density.path or ""))
    if mask is None:
        mask, info = automatic_mask.auto_mask(density)
    else:
        info = {"source": "given"}
    values = np.where(mask, 4.0, 0.0).astype(np.float32)
    summary = dict(resolution_terms.summarize(values, mask))
    summary.update(
        voxel_size_A=density.voxel_size,
        box_zyx=list(density.data.shape),
        mask=dict(info, voxels=int(mask.sum())),
        timings_s={"total": 0.0},
        peak_memory_mb=1.0,
        warnings=list(density.warnings),
        model={"name": model, "digest": "0" * 64},
        map=density.path,
        half_maps=half1 is not None,
        seed=seed,
        version="0",
        nyquist_A=2 * density.voxel_size,
    )
    halfwidth = np.where(mask, 0.5, 0.0).astype(np.float32)
    return LocalResult(values, resolution_terms.class_of(values), halfwidth, mask, summary)


def classify(
    density,
    mask=None,
    claimed=None,
    model="default",
    local=None,
    half1=None,
    half2=None,
    criterion="0.143",
):
    """High resolution, 4 A, 3.5 to 4.6."""
    _misbehave(os.path.basename(density.path or ""))
    chances = {"high": 0.8, "medium": 0.15, "low": 0.05}
    claim = None
    if claimed is not None:
        summary = local.info if local is not None else None
        claim = claim_verdict.verdict(
            claimed,
            4.0,
            (3.5, 4.6),
            chances,
            True,
            2 * density.voxel_size,
            summary,
            criterion=criterion,
        )
    return {
        "map": density.path,
        "voxel_size_A": density.voxel_size,
        "criterion": criterion,
        "class": "high",
        "probabilities": chances,
        "resolution_A": 4.0,
        "interval_A": [3.5, 4.6],
        "in_distribution": True,
        "warnings": [],
        "claim": claim,
        "model": {"name": model, "digest": "0" * 64},
    }


def _misbehave(name):
    if "crash" in name:
        os.kill(os.getpid(), signal.SIGKILL)
    if "boom" in name:
        raise RuntimeError("boom\nsecond line")
    if "hungry" in name:
        raise MemoryError
    if "slow" in name:
        time.sleep(0.2)
