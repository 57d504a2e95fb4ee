"""The colours of resolutions in the report's page, which a switch moves between all maps' range and this map's own.

What has a colour of a class takes it from a variable of the style sheet; pictures are there in both ranges. The names of
the variables are `LOCAL_INKS` and `GLOBAL_INKS`.
"""

from __future__ import annotations

from markupsafe import Markup

from ....base import resolution_terms
from ...figures.colours import ColourRange, class_colors, global_colors

LOCAL_INKS = [f"--c{number}" for number in range(len(resolution_terms.LOCAL_CLASSES))]
GLOBAL_INKS = [f"--g{number}" for number in range(len(resolution_terms.GLOBAL_CLASSES))]


def variables(own: ColourRange) -> Markup:
    """The rules of a style sheet that set the colours of the classes, for either choice.

    Args:
        own: the map's own range in A, or None where there is none to switch to.
    """
    rules = {":root": _inks(None)}
    if own is not None:
        rules[":root.own-colours"] = _inks(own)
    return Markup("\n").join(Markup("{} {{ {} }}").format(where, inks) for where, inks in rules.items())


def _inks(span: ColourRange) -> str:
    names = [*LOCAL_INKS, *GLOBAL_INKS]
    return " ".join(
        f"{name}: {color};"
        for name, color in zip(names, [*class_colors(span), *global_colors(span).values()])
    )
