"""What Scipion's summary says of validations, comparisons and sets: sentences from the engine's results."""

from ..models.base.runs.atomic_files import shown_apart

CLAIM_VERDICTS = ("supported", "optimistic", "pessimistic", "cannot tell")
NEARLY_EMPTY = 0.05
"""A method that estimated less than this part of the mask is named as one that hardly says anything."""
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
    """What came out of a comparison: every method's median and coverage, then every pair's agreement.

    Args:
        comparison: the content of ``comparison.json``, or None.
    """
    if not isinstance(comparison, dict):
        return []
    lines = []
    for volume in comparison.get("volumes", []):
        median, part = volume.get("median_A"), volume.get("coverage")
        if median is None:
            lines.append("%s estimated nothing inside the mask." % volume["name"])
            continue
        where = "mask" if comparison.get("mask_voxels") is not None else "box"
        line = "%s: median *%.2f A*, estimated in %s of the %s" % (
            volume["name"],
            median,
            percent(part),
            where,
        )
        if where == "mask" and part is not None and part < NEARLY_EMPTY:
            line += ": too little to compare with"
        lines.append(line)
    for pair in comparison.get("pairs", []):
        lines.append(
            "%s and %s: mean difference %s A, rank correlation %s, within one class %s, kappa %s"
            % (
                *pair["names"],
                _number(pair.get("mae_A")),
                _number(pair.get("spearman")),
                percent(pair.get("within_one_class")),
                _number(pair.get("kappa")),
            )
        )
    return lines


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


def percent(value):
    """A part as a percentage, with a decimal where it is small."""
    if not isinstance(value, (int, float)):
        return "unknown"
    return ("%.1f %%" if value < 0.1 else "%.0f %%") % (100 * value)


def _number(value):
    return "%.2f" % value if isinstance(value, (int, float)) else "unknown"
