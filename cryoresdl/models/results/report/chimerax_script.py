"""A ChimeraX script that colours a map by its local resolution, in the figures' colours.

The commands are those of ChimeraX's user guide (``open``, ``volume``, ``color sample``, ``key``, ``2dlabels``).
Voxel size and origin are set for both volumes, whatever their headers say, so that models fit the map.
"""

from __future__ import annotations

from pathlib import Path
from typing import Sequence, Tuple

import numpy as np

from ...base.errors import InputError
from ...base.resolution_terms import estimated
from ...base.runs.atomic_files import PathLike, atomic_path
from ...maps import density_map
from ...maps.mrc import mrc_writer
from .. import result_files
from ..figures import colours
from ..results_folder import ResultsFolder
from ..volume_filling import fill

SCRIPT = "chimerax.cxc"
FILLED = "local_resolution_chimerax.mrc"
OUTSIDE = "#b0b0b0"
CONTOUR_PERCENTILE = 55
"""The contour encloses a bit less than half of the estimated voxels: side chains show, solvent does not."""


def write_chimerax_script(folder: PathLike, origin: Sequence[float] | None = None) -> Path:
    """Write the script, and the volume that it colours with, into a results folder.

    Args:
        folder: what ``validate`` or ``localres`` wrote.
        origin: position (x, y, z) of the first voxel in A; by default the header's.

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
    filled = results.folder / FILLED
    mrc_writer.write_volume(filled, fill(like.data, inside), like)
    level = float(np.percentile(density.data[inside], CONTOUR_PERCENTILE))
    target = results.folder / SCRIPT
    with atomic_path(target) as temporary:
        text = script(density.path, str(filled), resolution.voxel_size, place, level)
        temporary.write_text(text, encoding="utf-8")
    return target


def script(density: str, resolution: str, voxel_size: float, origin: Tuple[float, ...], level: float) -> str:
    """The commands.

    Args:
        density: path of the map.
        resolution: path of the local-resolution volume on the same grid.
        voxel_size: A.
        origin: position (x, y, z) of the first voxel in A.
        level: contour level of the map, in its own units.
    """
    place = ",".join(f"{value:.4f}" for value in origin)
    stops = [*colours.RESOLUTION_TICKS_A]
    palette = ":".join(f"{value:g},{colours.resolution_color(value)}" for value in stops)
    # Below the finest resolution lies "not estimated": grey instead of the colour of the best voxels.
    nothing = f"0,{OUTSIDE}:1,{OUTSIDE}"
    labels = [f"{colours.resolution_color(v)}:{v:g}" for v in stops]
    lines = [
        "# Map coloured by local resolution; made by CryoResDL. Open with ChimeraX.",
        f"open {quoted(density)} id 1",
        f"open {quoted(resolution)} id 2",
        *(f"volume #{number} voxelSize {voxel_size:.6g} origin {place}" for number in (1, 2)),
        f"volume #1 style surface step 1 level {level:.6g}",
        "hide #2 models",
        f'color sample #1 map #2 palette "{nothing}:{palette}"',
        f"key {' '.join(labels)} pos 0.90,0.15 size 0.03,0.6 fontSize 18 numericLabelSpacing equal",
        '2dlabels text "local resolution (Å)" xpos 0.72 ypos 0.79 size 18',
        f'2dlabels text "not estimated" color {OUTSIDE} xpos 0.72 ypos 0.08 size 16',
        "set bgColor white",
        "view #1",
    ]
    return "\n".join(lines) + "\n"


def quoted(path: str) -> str:
    """A path as one ChimeraX word: absolute, in double quotes, with its escapes."""
    text = str(Path(path).absolute())
    for plain, escaped in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\r", "\\r"), ("\t", "\\t")):
        text = text.replace(plain, escaped)
    return f'"{text}"'
