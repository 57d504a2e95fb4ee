"""A folder for ChimeraX: a script that colours a map by its local resolution, in the figures' colours, and its volumes.

The script opens the volumes beside it by their names (ChimeraX runs a script in its own folder), so that the folder works
on any machine. The commands are those of ChimeraX's user guide (``open``, ``volume``, ``color sample``, ``key``,
``2dlabels``). Voxel size and origin are set for both volumes, so that models fit the map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from ...base.errors import InputError
from ...base.resolution_terms import RESOLUTION_RANGE_A, estimated
from ...base.runs.atomic_files import PathLike, make_folder, write_text
from ...maps import density_map
from ...maps.mrc import mrc_writer
from .. import result_files
from ..figures import colours
from ..results_folder import ResultsFolder
from ..volume_filling import fill

SCRIPT, SHOWN_MAP, FILLED = "chimerax.cxc", "map.mrc", "local_resolution.mrc"
CHIMERAX_FILES = tuple(f"{result_files.CHIMERAX}/{name}" for name in (SHOWN_MAP, FILLED, SCRIPT))
OUTSIDE = "#b0b0b0"
CONTOUR_PERCENTILE = 55
"""The contour encloses a bit less than half of the estimated voxels: side chains show, solvent does not."""


def write_chimerax_script(
    folder: PathLike, origin: Sequence[float] | None = None, *, span: colours.ColourRange = None
) -> Path:
    """Write the folder for ChimeraX into a results folder.

    Args:
        folder: what ``validate`` or ``localres`` wrote.
        origin: position (x, y, z) of the first voxel in A; by default the header's.
        span: range of the colours in A.

    Returns:
        Path of the script.

    Raises:
        InputError: the local resolution or the input map is missing, or they are not of one box.
    """
    results = ResultsFolder(folder)
    resolution, density = results.resolution, results.density
    if resolution is None or density is None:
        lost = result_files.LOCAL_RESOLUTION if resolution is None else "the input map"
        raise InputError(f"There is nothing to colour: {results.missing(lost)}")
    if resolution.shape != density.shape:
        raise InputError(f"{density.path} is not the map of these results: its box is another one.")
    x, y, z = (float(v) for v in (origin if origin is not None else resolution.origin))
    place = (x, y, z)
    inside = estimated(resolution.data)
    if not inside.any():
        raise InputError(f"{resolution.path} holds no estimated voxel to colour with.")
    like = density_map.DensityMap(np.asarray(resolution.data, np.float32), resolution.voxel_size, place)
    target = results.folder / result_files.CHIMERAX
    make_folder(target)
    mrc_writer.write_volume(target / FILLED, fill(like.data, inside), like)
    mrc_writer.write_volume(target / SHOWN_MAP, density.data, like)
    level = float(np.percentile(density.data[inside], CONTOUR_PERCENTILE))
    write_text(target / SCRIPT, script(resolution.voxel_size, place, level, span))
    return target / SCRIPT


def script(
    voxel_size: float, origin: Tuple[float, ...], level: float, span: colours.ColourRange = None
) -> str:
    """The commands.

    Args:
        voxel_size: A.
        origin: position (x, y, z) of the first voxel in A.
        level: contour level of the map, in its own units.
        span: range of the colours in A.
    """
    place = ",".join(f"{value:.4f}" for value in origin)
    low, high = span or RESOLUTION_RANGE_A
    stops = sorted({low, *colours.resolution_ticks(span), high})
    painted = [f"{value:g},{colours.resolution_color(value, span)}" for value in stops]
    # Below the finest resolution lies "not estimated": grey instead of the colour of the best voxels.
    grey = min(1.0, 0.7 * low)
    painted = [f"0,{OUTSIDE}", f"{grey:g},{OUTSIDE}", *painted]
    labels = [f"{colours.resolution_color(v, span)}:{v:.3g}" for v in stops]
    lines = [
        "# Map coloured by local resolution; made by CryoResDL. Open with ChimeraX.",
        f"open {SHOWN_MAP} id 1",
        f"open {FILLED} id 2",
        *(f"volume #{number} voxelSize {voxel_size:.6g} origin {place}" for number in (1, 2)),
        f"volume #1 style surface step 1 level {level:.6g}",
        "hide #2 models",
        f'color sample #1 map #2 palette "{":".join(painted)}"',
        f"key {' '.join(labels)} pos 0.90,0.15 size 0.03,0.6 fontSize 18 numericLabelSpacing equal",
        '2dlabels text "local resolution (Å)" xpos 0.72 ypos 0.79 size 18',
        f'2dlabels text "not estimated" color {OUTSIDE} xpos 0.72 ypos 0.08 size 16',
        "set bgColor white",
        "view #1",
    ]
    return "\n".join(lines) + "\n"
