"""What Scipion's summary says of validations, comparisons and sets: sentences from the engine's results."""

import re

from ..models.base.runs.atomic_files import shown_apart
from ..models.results.verdict_words import comparison_lines

CLAIM_VERDICTS = ("supported", "optimistic", "pessimistic", "cannot tell")
FEW = 10
"""Maps named one by one in a set's summary; more are counted."""


def sentencesOf(verdict):
    """The verdict attributes of a volume as lines for the project window."""
    lines = []
    if verdict.get("class"):
        lines.append(
            "Class: *%s* (probabilities: high %.2f, medium %.2f, low %.2f)"
            % (verdict["class"], verdict["high"], verdict["medium"], verdict["low"])
        )
    if verdict.get("estimate"):
        lines.append("Estimated resolution: *%.2f A*%s" % (verdict["estimate"], intervalOf(verdict)))
    if verdict.get("verdict"):
        lines.append(
            "Claim of %.2f A: *%s*. %s" % (verdict["claimed"], verdict["verdict"], verdict["reasons"] or "")
        )
    if verdict.get("median"):
        lines.append("Median local resolution: *%.2f A*" % verdict["median"])
    if verdict.get("worst") and verdict.get("best"):
        lines.append("By direction: *%.2f to %.2f A*" % (verdict["best"], verdict["worst"]))
    if verdict.get("trusted") is False:
        lines.append("Unlike the maps that the networks learned from; take the result with care.")
    if verdict.get("warnings"):
        lines.append("Warnings: %s" % verdict["warnings"])
    return lines


def auditLines(audit):
    """What the verdict hangs on, a sentence for each change (the content of ``audit.json``, or None)."""
    return list(audit.get("sentences", [])) if isinstance(audit, dict) else []


def depositionLines(checklist, folder):
    """Where the folder for the EMDB is, and what would be sent back (the content of ``deposition.json``, or None)."""
    if not isinstance(checklist, dict):
        return []
    stops = [check["sentence"] for check in checklist.get("checks", []) if not check.get("in_order")]
    state = (
        "The EMDB would send back: %s" % " ".join(stops)
        if stops
        else "Nothing in it speaks against the upload."
    )
    return ["For the EMDB: %s. %s" % (folder, state)]


def intervalOf(verdict):
    """The interval of an estimate in brackets, or nothing."""
    if verdict.get("lo") is None or verdict.get("hi") is None:
        return ""
    return " (%.2f to %.2f A)" % (verdict["lo"], verdict["hi"])


def comparisonLines(comparison):
    """What came out of a comparison (the content of ``comparison.json``, or None), with the medians in bold."""
    found = comparison if isinstance(comparison, dict) else None
    return [re.sub(r"median ([\d.]+ A)", r"median *\1*", line) for line in comparison_lines(found)]


def setLines(verdicts, complete):
    """What came out of a set: verdicts counted, medians, and the maps whose claim does not hold by name.

    Args:
        verdicts: (name of the map, its verdict attributes), one per validated map.
        complete: whether the run has ended.
    """
    lines = ["%d volumes validated%s." % (len(verdicts), "" if complete else " so far")]
    counts = [(word, [n for n, v in verdicts if v.get("verdict") == word]) for word in CLAIM_VERDICTS]
    claimed = sum(len(names) for _, names in counts)
    if claimed:
        told = ["%d %s" % (len(names), word) for word, names in counts if names]
        lines.append("Claims: *%s*%s." % (", ".join(told), _without(len(verdicts) - claimed)))
    for what, name in (("Estimated resolution", "estimate"), ("Median local resolution", "median")):
        values = sorted(v[name] for _, v in verdicts if v.get(name) is not None)
        if values:
            middle = values[len(values) // 2]
            lines.append(
                "%s: %.2f to %.2f A, in the middle *%.2f A*." % (what, values[0], values[-1], middle)
            )
    for word, names in counts:
        if names and word in ("optimistic", "pessimistic"):
            lines.append("%s: %s" % (word.capitalize(), listed(names)))
    strange = [n for n, v in verdicts if v.get("trusted") is False]
    if strange:
        lines.append("Unlike the maps that the networks learned from: %s" % listed(strange))
    return lines


def _without(count):
    return "; %d without a claim" % count if count else ""


def listed(names):
    """Names with commas; of many, the first and how many more."""
    names = shown_apart(names)
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (" and %d more" % more if more > 0 else "")
