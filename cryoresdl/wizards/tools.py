"""What the wizards compute, apart from their windows."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import numpy as np

from ..models.base import machine
from ..models.maps.density_map import DensityMap, mask_box
from ..models.networks import paper_networks

DALTON_PER_A3 = 0.81
"""Of protein, packed (Matthews' partial specific volume of 0.74 ml/g)."""
START_BYTES, BYTES_PER_BOX_VOXEL, BYTES_PER_REGION_VOXEL, REGION_MARGIN = 200e6, 28, 40, 16
"""Upper bound of the memory of a validation, as ``benchmarks/inference_speed.py`` measures it."""
USABLE = 0.7
"""Part of the free memory that a training may plan with."""


def sampling_report(density: DensityMap, rate: float, mask: np.ndarray) -> List[str]:
    """Sentences by which a user sees whether a sampling rate can be right.

    Args:
        density: the map, with the voxel size of its header.
        rate: the sampling rate that Scipion has, A/voxel.
        mask: bool (z, y, x), the molecule.
    """
    header = density.voxel_size
    if abs(header - rate) <= 0.01 * rate:
        lines = [f"Scipion and the file's header agree: {rate:g} Å/voxel."]
    else:
        lines = [
            f"Scipion has {rate:g} Å/voxel, the file's header says {header:g}. Every resolution is measured with "
            f"Scipion's number: if it is wrong, the results are wrong by a factor of {header / rate:.3g}. "
            "(Some programs write 1 into every header.)"
        ]
    depth, height, width = (n * rate for n in density.data.shape)
    lines.append(
        f"The box is {width:.0f} x {height:.0f} x {depth:.0f} Å; the finest resolution it can hold is {2 * rate:g} Å."
    )
    volume = float(mask.sum()) * rate**3
    lines.append(
        f"What stands out of the noise fills {volume / 1e3:.0f} nm³: as packed protein, about "
        f"{volume * DALTON_PER_A3 / 1000:.0f} kDa (with its envelope: expect up to twice the true mass). A mass that "
        "is wrong by a factor of eight means a sampling rate that is wrong by two."
    )
    return lines


def memory_report(shape: Sequence[int], mask: np.ndarray, free: int | None) -> str:
    """Whether a validation fits into the free memory, and by how much to bin the map if not.

    The map is worked on in tiles of a fixed size, so that there is no tile to choose: what counts is the box, and
    the region around the molecule.

    Args:
        shape: box (z, y, x) in voxels.
        mask: bool (z, y, x), the molecule.
        free: bytes of memory that are free; None: unknown.
    """
    sides = [edge.stop - edge.start for edge in mask_box(mask, REGION_MARGIN)] if mask.any() else shape
    box, region = float(np.prod(shape)), float(np.prod(sides))
    need = START_BYTES + BYTES_PER_BOX_VOXEL * box + BYTES_PER_REGION_VOXEL * region
    text = f"Validating it needs up to {need / 1e9:.1f} GB of memory"
    if free is None:
        return text + "; how much is free here is not known."
    text += f"; {free / 1e9:.1f} GB are free here"
    if need <= free:
        return text + ": it fits, tile by tile."
    factor = 2
    while factor < 16 and START_BYTES + (need - START_BYTES) / factor**3 > free:
        factor += 1
    return text + f": bin the map {factor} times or cut the box closer, or use a larger machine."


def batch_suggestion(network: str, width: float, side: int | None, free: int | None) -> Dict[str, Any]:
    """The largest batch, up to the paper's, that the free memory bears.

    Args:
        network: name of one of the paper's networks.
        width: factor on its filters.
        side: of the input cubes in voxels; None: the network's own.
        free: bytes of memory that are free; None: unknown.

    Returns:
        ``batch`` (0: not even one fits) and ``text``, the reason in a sentence.
    """
    description = paper_networks.describe_network(network, width, side)
    fixed, each = paper_networks.training_memory(description)
    most = paper_networks.PAPER_BATCH[network]
    if free is None:
        return {"batch": most, "text": f"The free memory is not known; the paper used {most}."}
    fits = int((USABLE * free - fixed) // each)
    batch = max(0, min(most, fits))
    need = (fixed + each * batch) / 1e9
    if not batch:
        text = f"The network alone needs {fixed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free: choose a smaller width."
    else:
        text = f"{batch} examples per step need about {need:.1f} GB; {free / 1e9:.1f} GB are free here."
        text += " That is the paper's number." if batch == most else f" The paper used {most}."
    return {"batch": batch, "text": text}


def free_memory() -> int | None:
    """Bytes that may still be used."""
    return machine.memory_left()
