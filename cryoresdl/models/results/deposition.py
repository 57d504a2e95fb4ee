"""A folder with what the EMDB asks for of a map, on one grid, and a checklist of what would be sent back.

The EMDB takes a primary map, two half maps, the mask of the FSC, the FSC as XML and additional maps, all of one box and
voxel size. README.txt says which file goes into which field of the deposition, with the sentence for each, and whether the
files hold what the EMDB expects of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, Sequence

import numpy as np

from ..base.resolution_terms import estimated
from ..base.runs.atomic_files import PathLike, write_json, write_text
from ..maps.density_map import DensityMap
from ..maps.fsc import half_maps
from ..maps.fsc.half_map_fsc import HalfMapFsc, mask_doubts
from ..maps.mrc import mrc_writer
from .fsc_files import FSC_XML, emdb_xml
from .result_files import DEPOSITION_JSON, LocalVolumes

MAP, HALVES, MASK = "map.mrc", ("half_map_1.mrc", "half_map_2.mrc"), "mask.mrc"
ADDITIONAL, README = "additional_map_local_resolution.mrc", "README.txt"
DEPOSITION_FILES = (MAP, *HALVES, MASK, FSC_XML, ADDITIONAL, README, DEPOSITION_JSON)
CONTOUR_PERCENTILES = (75, 80, 85, 90, 93, 95, 97)
"""The contour encloses a quarter of the estimated voxels, as the report's surface does, or less where noise would show."""
MOST_NOISE = 0.2
"""More of what lies above the contour outside the mask than this part: the contour shows noise."""
LEAST_FILLED, MOST_FILLED = 0.02, 0.95
"""A contour that encloses less, or more, of the mask shows no molecule."""
SAME_PLACE_A = 0.01


@dataclass(frozen=True)
class UploadCheck:
    """One thing that the EMDB looks at: what it is, whether it is in order, and a sentence."""

    name: str
    in_order: bool
    sentence: str


@dataclass(frozen=True)
class UploadFindings:
    """What is said beside the files; resolution in A (None where the curve does not fall to 0.143), contour in map units."""

    resolution_A: float | None
    contour: float
    checks: Sequence[UploadCheck]

    @property
    def stops(self) -> List[str]:
        """Sentences about what is not in order."""
        return [check.sentence for check in self.checks if not check.in_order]


@dataclass(frozen=True)
class DepositedMaps:
    """What goes into the folder.

    Attributes:
        density: the primary map.
        halves: the half maps, as they were read.
        soft_mask: float32 (z, y, x), what the FSC was measured in.
        local: local resolution on the map's grid.
        fsc: curves of the half maps.
        contour: recommended contour in the map's units, or None for one that is found here.
    """

    density: DensityMap
    halves: Sequence[DensityMap]
    soft_mask: np.ndarray
    local: LocalVolumes
    fsc: HalfMapFsc
    contour: float | None = None


def write_deposition(maps: DepositedMaps, folder: PathLike) -> UploadFindings:
    """Write the folder; its ``deposition.json`` comes last and means that all of it is whole.

    Args:
        maps: what goes into it.
        folder: where; it exists.
    """
    folder = Path(folder)
    found = checked(maps)
    mrc_writer.write_volume(folder / MAP, maps.density.data, maps.density)
    for name, half in zip(HALVES, maps.halves):
        mrc_writer.write_volume(folder / name, half.data, maps.density)
    mrc_writer.write_volume(folder / MASK, maps.soft_mask, maps.density)
    mrc_writer.write_volume(folder / ADDITIONAL, maps.local.resolution, maps.density)
    write_text(folder / FSC_XML, emdb_xml(maps.fsc))
    write_text(folder / README, _readme(maps, found))
    sources = {"map": maps.density.path, "half1": maps.halves[0].path, "half2": maps.halves[1].path}
    said = {"voxel_size_A": maps.density.voxel_size, "box_zyx": list(maps.density.data.shape)}
    checks = [asdict(check) for check in found.checks]
    told = {"resolution_A": found.resolution_A, "contour": found.contour, "checks": checks}
    write_json(folder / DEPOSITION_JSON, {"from": sources, **said, **told})
    return found


def checked(maps: DepositedMaps) -> UploadFindings:
    """Look at the maps as the EMDB does; grid and pixel of half maps of another box were refused when they were read."""
    contour = found_contour(maps) if maps.contour is None else maps.contour
    crossing = maps.fsc.crossing()
    checks = [_grid(maps), *_half_maps(maps), _contour(maps, contour), _mask(maps.fsc)]
    return UploadFindings(None if crossing is None else round(crossing, 3), contour, checks)


def found_contour(maps: DepositedMaps) -> float:
    """The lowest of some levels that shows little outside the mask, in the map's units."""
    data, mask = maps.density.data, maps.local.mask
    levels = np.percentile(data[estimated(maps.local.resolution)], CONTOUR_PERCENTILES)
    clean = (float(level) for level in levels if _outside(data > level, mask) < MOST_NOISE / 2)
    return next(clean, float(levels[-1]))


def _outside(above: np.ndarray, mask: np.ndarray) -> float:
    """The part of what lies above a contour that lies outside the mask."""
    return float(np.count_nonzero(above & ~mask)) / max(1, np.count_nonzero(above))


def _grid(maps: DepositedMaps) -> UploadCheck:
    density = maps.density
    box = " x ".join(str(n) for n in reversed(density.data.shape))
    size = f"{box} voxels of {density.voxel_size:.4g} A"
    away = [
        half
        for half in maps.halves
        if max(abs(a - b) for a, b in zip(half.offset(), density.offset())) > SAME_PLACE_A
    ]
    if not away:
        return UploadCheck("grid", True, f"All maps have one grid: {size}, one origin.")
    places = " and ".join(", ".join(f"{x:.1f}" for x in each.offset()) for each in (away[0], density))
    return UploadCheck(
        "grid",
        False,
        f"{away[0].path or 'A half map'} and the map say other places (x, y, z: {places} A); here all have the map's: make "
        "sure that the molecule lies on the same voxels in both.",
    )


def _half_maps(maps: DepositedMaps) -> List[UploadCheck]:
    first, second = (half.data for half in maps.halves)
    density, mask = maps.density, maps.local.mask
    whole = (slice(None),) * 3
    pair = half_maps.matched_half_maps(density.data, first, second, mask, whole, density.voxel_size)
    alike, same = pair.background_correlation, pair.likeness or 0.0
    altered = [*pair.doubts, *half_maps.alterations(first, second, mask, density.voxel_size)]
    found = []
    if alike is not None and alike > half_maps.ALIKE_BACKGROUND:
        found.append(
            UploadCheck(
                "independent",
                False,
                f"The half maps correlate by {alike:.2f} outside the molecule: they share their noise; give two halves that "
                "were refined apart.",
            )
        )
    else:
        found.append(UploadCheck("independent", True, "The half maps are not identical, nor is their noise."))
    untouched = "The half maps are neither masked nor filtered."
    remedy = "Give them as the reconstruction wrote them."
    words = " ".join([*altered, remedy]) if altered else untouched
    found.append(UploadCheck("as reconstructed", not altered, words))
    if same >= half_maps.LEAST_LIKENESS:
        return [*found, UploadCheck("map of the halves", True, "The map is that of the half maps.")]
    words = f"The map does not look like the mean of the half maps (FSC {same:.2f} at best)"
    return [
        *found,
        UploadCheck("map of the halves", False, f"{words}: give those of the same reconstruction."),
    ]


def _contour(maps: DepositedMaps, contour: float) -> UploadCheck:
    """Whether a contour shows the molecule, and not noise or nothing."""
    above, inside = maps.density.data > contour, maps.local.mask
    volume = float(np.count_nonzero(above)) * maps.density.voxel_size**3 / 1000
    filled = float(np.mean(above[inside]))
    outside = _outside(above, inside)
    words = (
        f"The contour {contour:.4g} encloses {volume:.3g} nm^3, {100 * filled:.0f} % of the mask; "
        f"{100 * outside:.0f} % of it lies outside the mask"
    )
    if outside > MOST_NOISE or filled > MOST_FILLED:
        return UploadCheck(
            "contour", False, f"{words}: it shows noise; give a higher one with --contour, or a filtered map."
        )
    if filled < LEAST_FILLED:
        return UploadCheck(
            "contour", False, f"{words}: it shows hardly anything; give a lower one with --contour."
        )
    return UploadCheck("contour", True, f"{words}.")


def _mask(fsc: HalfMapFsc) -> UploadCheck:
    doubts = mask_doubts(fsc)
    return UploadCheck("mask", not doubts, " ".join(doubts) or "The mask is neither too tight nor too loose.")


def _readme(maps: DepositedMaps, found: UploadFindings) -> str:
    """What goes where in the deposition, and the checklist, as plain text."""
    density, info = maps.density, maps.local.info
    resolution = (
        "no fall to 0.143: type in what you claim"
        if found.resolution_A is None
        else f"{found.resolution_A:.2f} A"
    )
    quartiles = info.get("quartiles_A")
    spread = f", half of it between {quartiles[0]:.2f} and {quartiles[1]:.2f} A" if quartiles else ""
    median = info.get("median_A")
    told = f" (median {median:.2f} A{spread})" if median else ""
    model = (info.get("model") or {}).get("name", "")
    sentence = (
        f"Local resolution in angstroms{told}, estimated by CryoResDL {info.get('version', '')} with the network '{model}'; "
        "0 = not estimated."
    )
    fields = [
        (
            "Primary map",
            MAP,
            f"pixel spacing {density.voxel_size:.5g} A, recommended contour level {found.contour:.4g}",
        ),
        ("Half map 1", HALVES[0], "as read; neither masked, filtered nor sharpened here"),
        ("Half map 2", HALVES[1], "the same"),
        ("Mask", MASK, "the mask that the FSC was measured in, with its soft edge"),
        ("FSC curve", FSC_XML, "half maps, corrected for the mask by phase randomisation; x in 1/A"),
        ("Additional map", ADDITIONAL, sentence),
        ("Resolution", "", f"{resolution} (FSC 0.143 CUT-OFF)"),
    ]
    lines = ["For the deposition in the EMDB, field by field", ""]
    lines += [f"  {field + ':':16s}{name + '  ' if name else ''}{words}" for field, name, words in fields]
    head = "Do not upload yet" if found.stops else "Checked"
    lines += ["", f"{head}:", ""]
    lines += [
        f"  [{'x' if check.in_order else ' '}] {check.name}: {check.sentence}" for check in found.checks
    ]
    return "\n".join(lines) + "\n"
