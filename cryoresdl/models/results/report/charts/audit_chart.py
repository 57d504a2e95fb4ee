"""What an answer hangs on, as a chart of the page: the estimate in every case of the audit."""

from __future__ import annotations

import textwrap
from typing import Any, Mapping, Sequence

from markupsafe import Markup

from ...figures.colours import ANSWER_COLORS
from ...verdict_words import with_unit
from .chart import Axis, Chart, round_ticks

ROW_PIXELS, LABEL_PIXELS, LABEL_LETTERS = 40, 128, 19


def audit_chart(told: Mapping[str, Any]) -> Markup:
    """The estimates with their 68 % intervals, coloured by the verdict, and the sentences about them.

    Args:
        told: content of ``audit.json``.
    """
    cases, claim = told["cases"], told["claimed_A"]
    known = [case for case in cases if case["resolution_A"] is not None]
    lines = Markup("").join(Markup("<li>{}</li>").format(with_unit(text)) for text in told["sentences"])
    words = Markup("<ul>{}</ul>").format(lines)
    if not known:
        return words
    ends = [value for case in known for value in (case["low_A"], case["high_A"]) if value is not None]
    ends += [case["resolution_A"] for case in known] + ([] if claim is None else [claim])
    room = 0.06 * (max(ends) - min(ends) or 1.0)
    low, high = min(ends) - room, max(ends) + room
    chart = Chart(
        Axis(low, high, "estimate and its 68 % interval (Å)", round_ticks(low, high)),
        Axis(-0.7, len(cases) - 0.2, "", _labels([str(case["name"]) for case in cases])),
        "The estimate in every case",
        ROW_PIXELS * len(cases),
        LABEL_PIXELS,
    )
    named = []
    for place, case in zip(range(len(cases) - 1, -1, -1), cases):
        if case["resolution_A"] is None:
            continue
        answer = str(case["verdict"] or f"class {case['global_class']}")
        color = ANSWER_COLORS.get(answer, ANSWER_COLORS["pessimistic"])
        if case["low_A"] is not None:
            ends_A = (case["low_A"], case["high_A"])
            chart.rectangle(ends_A, (place - 0.11, place + 0.11), color, str(case["name"]), 0.45)
        value = f"{case['resolution_A']:.2f} Å"
        chart.point(case["resolution_A"], place, color, f"{with_unit(str(case['name']))}: {answer}", value)
        if answer not in named:
            named.append(answer)
            chart.legend(color, answer)
    if claim is not None:
        chart.upright(claim, "#B04A00", f"claim {claim:g} Å")
    return chart.html() + words


def _labels(names: Sequence[str]) -> list[tuple[float, str]]:
    """The cases' names from the top down, in lines that fit beside the plot."""
    texts = [with_unit(name).replace("^2", "²") for name in names]
    rows = ["\n".join(textwrap.wrap(text, LABEL_LETTERS)) for text in texts]
    return [(float(len(rows) - 1 - number), text) for number, text in enumerate(rows)]
