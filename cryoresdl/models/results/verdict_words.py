"""The verdict on a map in words, for figures, reports and summaries."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Tuple

from ..base.resolution_terms import CANNOT_TELL, CRITERIA, OPTIMISTIC, PESSIMISTIC, SUPPORTED
from .compared_results import is_number, pair_names

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


def verdict_lines(
    entry: Mapping[str, Any],
    summary: Mapping[str, Any] | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> List[str]:
    """What the verdict panel says in words, one sentence per line; ``comparison`` is of ``comparison.json``."""
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
    lines += [with_unit(line) for line in comparison_lines(comparison)]
    if entry.get("in_distribution") is False:
        lines.append("This map is unlike those that the network learned from: do not rely on the estimate.")
    lines += [f"Warning: {with_unit(warning)}" for warning in _sentences(entry.get("warnings"))]
    return lines or ["classification.json holds no result for this map."]


NEARLY_EMPTY = 0.05
"""A method that estimated less than this part of the mask is said to be no basis for a comparison."""


def comparison_lines(comparison: Mapping[str, Any] | None) -> List[str]:
    """What came out of a comparison: every method's median, coverage and agreement with the first, then other pairs.

    Args:
        comparison: the content of ``comparison.json``, or None.
    """
    volumes, pairs = ((comparison or {}).get(name) or [] for name in ("volumes", "pairs"))
    where = "box" if (comparison or {}).get("mask_voxels") is None else "mask"
    known = [volume for volume in volumes if "median_A" in volume]
    lines = [_method(volume, where) for volume in known]
    names = [volume["name"] for volume in known]
    told = {pair_names(pair): _agreement(pair) for pair in pairs if is_number(pair.get("mae_A"))}
    for pair, words in told.items():
        lines.append("{} and {}: {}.".format(*pair, words))
    return lines if len(names) > 1 or told else []


def _method(volume: Mapping[str, Any], where: str) -> str:
    median: Any = volume["median_A"]
    part: Any = volume.get("coverage")
    if not is_number(median):
        return f"{volume['name']} estimated nothing inside the {where}."
    line = f"{volume['name']}: median {median:.2f} A"
    if not is_number(part):
        return line + "."
    few = where == "mask" and part < NEARLY_EMPTY
    line += f", estimated in {percent(part)} of the {where}"
    return line + (": too little to compare with." if few else ".")


def _agreement(pair: Mapping[str, Any]) -> str:
    rank, kappa = pair.get("spearman"), pair.get("kappa")
    parts = [f"mean difference {pair['mae_A']:.2f} A"]
    parts += [f"rank correlation {rank:.2f}"] if is_number(rank) else []
    near: Any = pair.get("within_one_class")
    parts += [f"within one class {percent(near)}"] if is_number(near) else []
    parts += [f"kappa {kappa:.2f}"] if is_number(kappa) else []
    return ", ".join(parts)


def percent(part: float) -> str:
    """A part as a percentage, with a decimal where it is small."""
    return f"{100 * part:.1f} %" if part < 0.1 else f"{100 * part:.0f} %"


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
