"""The verdict on a map in words, for figures, reports and summaries."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Tuple

from ..base.resolution_terms import CANNOT_TELL, CRITERIA, OPTIMISTIC, PESSIMISTIC, SUPPORTED
from .compared_results import is_number

_ANSWERS = {
    SUPPORTED: "supported",
    OPTIMISTIC: "optimistic (the map looks worse)",
    PESSIMISTIC: "pessimistic (the map looks better)",
    CANNOT_TELL: "cannot tell",
}


def verdict_title(entry: Mapping[str, Any]) -> str:
    """The one line that a reader remembers."""
    claim = entry.get("claim") or {}
    if claim:
        said = f"{claim['claimed_A']:g} Å" if is_number(claim.get("claimed_A")) else "a resolution"
        answer = str(claim.get("verdict", "no verdict"))
        return f"Claimed {said}: {_ANSWERS.get(answer, answer)}"
    name = entry.get("class")
    return f"{str(name).capitalize()} resolution" if name else "No class was given"


def verdict_lines(entry: Mapping[str, Any], summary: Mapping[str, Any] | None = None) -> List[str]:
    """What the verdict panel says in words, one sentence per line."""
    lines = []
    name, values = entry.get("class"), entry.get("probabilities") or {}
    if name:
        chance: Any = values.get(name)
        sure = f" with probability {100 * chance:.0f} %" if is_number(chance) else ""
        lines.append(f"Global class: {name} ({_class_range(str(name))}){sure}.")
    if is_number(entry.get("resolution_A")):
        low, high = interval_of(entry)
        between = f", 68 % interval {low:.1f} to {high:.1f} Å" if low is not None and high is not None else ""
        lines.append(f"Estimate: {entry['resolution_A']:.1f} Å{by_criterion(entry)}{between}.")
    claim = entry.get("claim") or {}
    if summary and is_number(summary.get("median_A")) and not claim:
        quarter = summary.get("quartiles_A") or []
        middle = (
            f"; the middle half of the voxels lies at {quarter[0]:.1f} to {quarter[1]:.1f} Å"
            if len(quarter) == 2
            else ""
        )
        lines.append(f"Local resolution: median {summary['median_A']:.1f} Å{middle}.")
    for number, reason in enumerate(_sentences(claim.get("reasons"))):
        lines.append(("" if number else "Why: ") + with_unit(reason))
    if entry.get("in_distribution") is False:
        lines.append("This map is unlike those that the network learned from: do not rely on the estimate.")
    lines += [f"Warning: {with_unit(warning)}" for warning in _sentences(entry.get("warnings"))]
    return lines or ["classification.json holds no result for this map."]


def by_criterion(entry: Mapping[str, Any]) -> str:
    """What is added to a resolution that is not by the usual criterion of FSC."""
    criterion = entry.get("criterion") or CRITERIA[0]
    return "" if criterion == CRITERIA[0] else f" by FSC {criterion}"


def with_unit(text: str) -> str:
    """A sentence of the engine for reading: its numbers in ``A`` are written with ``Å``."""
    return re.sub(r"(?<=\d) A\b", " Å", text)


def _class_range(name: str) -> str:
    return {"high": "better than 5 Å", "medium": "5 to 10 Å", "low": "worse than 10 Å"}.get(
        name, "unknown class"
    )


def interval_of(entry: Mapping[str, Any]) -> Tuple[float | None, float | None]:
    """The 68 % interval of an entry of ``classification.json`` in A; ``None`` twice where it has none."""
    value = entry.get("interval_A")
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(is_number(v) for v in value):
        return float(value[0]), float(value[1])
    return None, None


def _sentences(value: Any) -> List[str]:
    if isinstance(value, str):
        return [value]
    return [str(v) for v in value] if isinstance(value, (list, tuple)) else []
