"""Audit a map: how class, estimate and verdict move when mask, sharpening, filter, sampling or voxel size change."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import numpy as np

from ..base.resolution_terms import CRITERIA
from ..base.runs.atomic_files import write_json, write_text
from ..maps.density_map import DensityMap
from ..networks.model_files import model_store
from ..results import result_files

if TYPE_CHECKING:
    from ..inference.answers import LocalResult

AS_GIVEN = "as given"
HALVES_DECIDE = "The half maps are judged: sharpening, filters and sampling of the map itself change nothing."
STEADY = 0.10
"""Estimates that move by less than this part are said to be steady."""
GROUP_WORDS = {
    "mask": "the mask",
    "sharpening": "sharpening",
    "low-pass": "a low-pass filter at the claim",
    "sampling": "the sampling",
    "voxel size": "2 % of the voxel size",
}


@dataclass(frozen=True)
class AuditCase:
    """What is said of the map in one case; resolutions in A."""

    group: str
    name: str
    global_class: str
    resolution_A: Optional[float]
    low_A: Optional[float]
    high_A: Optional[float]
    local_median_A: Optional[float]
    verdict: Optional[str]


@dataclass(frozen=True)
class Audit:
    """The audit of one map: its cases, the map as given first, and what they amount to in words."""

    map: Optional[str]
    claimed_A: Optional[float]
    cases: List[AuditCase]
    sentences: List[str] = field(default_factory=list)
    turned: List[str] = field(default_factory=list)
    turning: str = ""
    """One sentence for the verdict itself where the answer turns over; "" where it does not."""
    half_maps: bool = False
    """Whether the half maps were judged, and not the map."""

    def as_json(self) -> Dict[str, Any]:
        """The content of ``audit.json``."""
        return asdict(self)


def audit(
    density: DensityMap,
    mask: Optional[np.ndarray] = None,
    claimed: Optional[float] = None,
    *,
    criterion: str = CRITERIA[0],
    halves: Optional[Tuple[DensityMap, DensityMap]] = None,
    soft_mask: Optional[np.ndarray] = None,
    known: Optional[LocalResult] = None,
) -> Audit:
    """Ask the networks about a map, or its half maps, and its variants.

    Args:
        density: the map.
        mask: bool (z, y, x); None makes one, which the variants share.
        claimed: claimed resolution in A, or None.
        criterion: of FSC, which the claim is meant by.
        halves: both half maps, which are then judged in the map's place; or None.
        soft_mask: float32 (z, y, x), the mask with its soft edge for the FSC of the half maps; None gives it one.
        known: what the default model says of this map (or these half maps) in this mask; None asks for it.

    Raises:
        InputError: as in `inference.localres`, for the map itself; a variant that cannot be judged is left out.
    """
    from ..base.errors import InputError
    from ..inference import local_resolution
    from . import map_variants

    asked = (claimed, criterion)
    first, second = halves or (None, None)
    local = known or local_resolution.localres(density, first, second, mask, soft_mask=soft_mask)
    cases = [_case("", AS_GIVEN, density, local, *asked)]
    given = (claimed, cases[0].resolution_A, halves, soft_mask)
    for variant in map_variants.variants_of(density, local.mask, *given):
        try:
            seen = variant.see()
            answer = local_resolution.quick_answer(seen)
            cases.append(_case(variant.group, variant.name, seen.density, answer, *asked))
        except InputError:  # a mask of too few voxels, a claim beyond the new Nyquist
            continue
    cases[1:] = sorted(cases[1:], key=lambda case: list(GROUP_WORDS).index(case.group))
    sentences, turned = _in_words(cases)
    if halves is not None:
        sentences.append(HALVES_DECIDE)
    return Audit(density.path, claimed, cases, sentences, turned, _turning(cases, turned), halves is not None)


def audit_of_answer(
    density: DensityMap,
    halves: Optional[Tuple[DensityMap, DensityMap]],
    local: LocalResult,
    entry: Dict[str, Any],
    asked: Tuple[Any, str],
    soft_mask: Optional[np.ndarray] = None,
) -> Audit:
    """Audit a map that was validated; where the answer turns over, the reasons of its verdict end with that.

    Args:
        density: the map.
        halves: the half maps that were judged, or None.
        local: its local answer, whose mask is taken.
        entry: its entry of ``classification.json``.
        asked: claim in A, or None, and its criterion of FSC.
        soft_mask: as for `audit`.
    """
    claimed, criterion = asked
    known = local if local.info["model"]["name"] == model_store.DEFAULT_LOCAL_MODEL else None
    found = audit(
        density, local.mask, claimed, criterion=criterion, halves=halves, soft_mask=soft_mask, known=known
    )
    if found.turning and entry.get("claim"):
        entry["claim"]["reasons"].append(found.turning)
    return found


def write_audit(found: Audit, folder: Path) -> None:
    """Write ``audit.csv`` and then ``audit.json``."""
    write_text(folder / result_files.AUDIT_CSV, as_csv(found))
    write_json(folder / result_files.AUDIT_JSON, found.as_json())


def as_csv(found: Audit) -> str:
    """The cases of an audit as a table, one line each."""
    stream = io.StringIO()
    rows = csv.DictWriter(stream, [one.name for one in fields(AuditCase)], lineterminator="\n")
    rows.writeheader()
    rows.writerows(asdict(case) for case in found.cases)
    return stream.getvalue()


def _case(
    group: str, name: str, density: DensityMap, local: Any, claimed: Optional[float], criterion: str
) -> AuditCase:
    from ..inference import global_resolution

    entry = global_resolution.classify(density, claimed=claimed, local=local, criterion=criterion)
    low, high = entry.get("interval_A") or (None, None)
    said = (entry.get("claim") or {}).get("verdict")
    return AuditCase(
        group, name, entry["class"], entry["resolution_A"], low, high, local.info.get("median_A"), said
    )


def _answer(case: AuditCase) -> str:
    return case.verdict or f"class {case.global_class}"


def _in_words(cases: List[AuditCase]) -> tuple[List[str], List[str]]:
    """A sentence per group of changes, and the names of the cases whose answer is another one."""
    given, sentences = cases[0], []
    what = "verdict" if given.verdict else "class"
    turned = [case.name for case in cases[1:] if _answer(case) != _answer(given)]
    for group, words in GROUP_WORDS.items():
        among = [case for case in cases if case.group == group]
        if not among:
            continue
        known = [case.resolution_A for case in (given, *among) if case.resolution_A is not None]
        span = f"estimate {min(known):.2f} to {max(known):.2f} A" if known else "no estimate"
        others = [case for case in among if case.name in turned]
        if others:
            changes = " and ".join(f"to {_answer(case)} when {_done(case.name)}" for case in others)
            sentences.append(f"The {what} turns from {_answer(given)} {changes} ({span}).")
        else:
            moved = (
                " although the estimate moves" if known and max(known) > (1 + 2 * STEADY) * min(known) else ""
            )
            sentences.append(f"The {what} does not hang on {words}{moved} ({span}).")
    return sentences, turned


def _turning(cases: List[AuditCase], turned: List[str]) -> str:
    """What the main verdict says of its own audit."""
    if not turned:
        return ""
    given, others = cases[0], [case for case in cases if case.name in turned]
    what = "verdict" if given.verdict else "class"
    changes = " and ".join(f"{_answer(case)} when {_done(case.name)}" for case in others)
    return f"The {what} turns over easily: it is {_answer(given)} as given, and {changes}."


def _done(name: str) -> str:
    """The name of a case as what was done: 'the map is blurred by 50 A^2'."""
    if name.startswith("mask "):
        return f"the mask is {name[5:]}"
    return f"the {name} is assumed" if name.startswith("voxel") else f"the map is {name}"
