"""A chart as HTML: text keeps its size and the plot stretches, so one drawing fits every screen.

Lines and bars lie in an SVG that is stretched to the plot; labels, ticks and points are HTML placed in per cent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, List, Sequence, Tuple

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Axis:
    """One axis of a chart.

    Attributes:
        low: value at its beginning.
        high: value at its end.
        label: what it measures, with the unit.
        ticks: (value, text) pairs.
        log: whether equal ratios are equally far apart.
    """

    low: float
    high: float
    label: str = ""
    ticks: Sequence[Tuple[float, str]] = ()
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, in per cent of the axis; values beyond its ends are moved to them."""
        value = min(max(float(value), self.low), self.high)
        if self.log:
            return 100 * math.log(value / self.low) / math.log(self.high / self.low)
        return 100 * (value - self.low) / (self.high - self.low)


def round_ticks(low: float, high: float, most: int = 6) -> List[Tuple[float, str]]:
    """At most so many round numbers between two ends, with their texts."""
    step = 10.0 ** math.floor(math.log10((high - low) / most))
    step *= next((f for f in (1, 2, 5, 10) if (high - low) / (step * f) <= most), 10)
    first = math.ceil(low / step - 1e-9)
    return [(n * step, f"{n * step:.6g}") for n in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass
class Chart:
    """Marks on two axes.

    Attributes:
        x: the axis along the bottom.
        y: the axis along the left side.
        name: what it shows, for readers who do not see it.
        height: of the plot, in pixels.
        left: width of the ticks on the left, in pixels.
    """

    x: Axis
    y: Axis
    name: str
    height: int = 220
    left: int = 40
    _shapes: List[Markup] = field(default_factory=list)
    _words: List[Markup] = field(default_factory=list)
    _legend: List[Markup] = field(default_factory=list)

    def rectangle(
        self,
        across: Tuple[float, float],
        up: Tuple[float, float],
        color: str,
        title: str = "",
        opacity: float = 1,
    ) -> None:
        """A filled rectangle between two values on each axis; ``title`` shows under the pointer."""
        left, right = sorted(map(self.x.place, across))
        bottom, top = sorted(map(self.y.place, up))
        self._shapes.append(
            Markup(
                '<rect x="{}" y="{}" width="{}" height="{}" style="fill:{}" fill-opacity="{}"><title>{}</title></rect>'
            ).format(
                *(f"{v:.2f}" for v in (left, 100 - top, right - left, top - bottom)),
                color,
                f"{opacity:g}",
                title,
            )
        )

    def line(self, xs: Any, ys: Any, color: str, label: str = "", dashed: bool = False) -> None:
        """A line through points; with a label it is named in the legend."""
        points = " ".join(
            f"{self.x.place(x):.2f},{100 - self.y.place(y):.2f}" for x, y in zip(xs, ys) if math.isfinite(y)
        )
        dash = Markup(' stroke-dasharray="5 4"') if dashed else ""
        shape = '<polyline points="{}" fill="none" stroke="{}" stroke-width="{}" vector-effect="non-scaling-stroke"{}/>'
        self._shapes.append(Markup(shape).format(points, color, 1.3 if dashed else 2, dash))
        if label:
            self.legend(color, label)

    def level(self, value: float, text: str = "") -> None:
        """A thin line across the plot at a value of the y axis."""
        self.line((self.x.low, self.x.high), (value, value), "#888888", dashed=True)
        if text:
            self._words.append(
                Markup('<span class="mark" style="right:2px;bottom:{}%">{}</span>').format(
                    f"{self.y.place(value):.2f}", text
                )
            )

    def upright(self, value: float, color: str, text: str = "", at: float = 0) -> None:
        """A dashed line up the plot at a value of the x axis, with words beside it (``at`` per cent above the bottom)."""
        self.line((value, value), (self.y.low, self.y.high), color, dashed=True)
        if text:
            place = self.x.place(value)
            side = f"right:{100 - place:.2f}%" if place > 55 else f"left:{place:.2f}%"
            self._words.append(
                Markup('<span class="mark" style="{};bottom:{}%;color:{}">{}</span>').format(
                    side, f"{at:g}", color, text
                )
            )

    def point(self, x: float, y: float, color: str, title: str = "", text: str = "") -> None:
        """A dot, with a title under the pointer and, when given, a text above it."""
        where = f"left:{self.x.place(x):.2f}%;bottom:{self.y.place(y):.2f}%"
        self._words.append(
            Markup('<span class="dot" style="{};background:{}" title="{}"></span>').format(
                where, color, title
            )
        )
        if text:
            self.words(x, y, text, 9)

    def words(self, x: float, y: float, text: str, above: int = 0) -> None:
        """Text centred on a place, so many pixels above it."""
        place = Markup("left:{}%;bottom:calc({}% + {}px)").format(
            f"{self.x.place(x):.2f}", f"{self.y.place(y):.2f}", above
        )
        self._words.append(Markup('<span class="mark middle" style="{}">{}</span>').format(place, text))

    def picture(self, url: str) -> None:
        """An image that fills the plot, below every other mark."""
        self._words.insert(0, Markup('<img class="fill" alt="" src="{}">').format(url))

    def legend(self, color: str, text: str) -> None:
        """An entry of the legend."""
        self._legend.append(Markup('<li><i style="background:{}"></i>{}</li>').format(color, text))

    def html(self) -> Markup:
        """The chart."""
        ups = Markup("").join(
            Markup('<span style="bottom:{}%">{}</span>').format(f"{self.y.place(v):.2f}", _lines(t))
            for v, t in self.y.ticks
        )
        along = Markup("").join(
            Markup('<span style="left:{}%">{}</span>').format(f"{self.x.place(v):.2f}", _lines(t))
            for v, t in self.x.ticks
        )
        svg = Markup(
            '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">{}</svg>'
        ).format(Markup("").join(self._shapes))
        legend = (
            Markup('<ul class="keys">{}</ul>').format(Markup("").join(self._legend)) if self._legend else ""
        )
        y_label = Markup('<div class="up">{}</div>').format(self.y.label) if self.y.label else ""
        return Markup(
            '<div class="chart" role="img" aria-label="{}" style="--h:{}px;--w:{}px">{}{}'
            '<div class="ups">{}</div><div class="plot">{}{}</div><div class="along">{}</div>'
            '<div class="below">{}</div></div>'
        ).format(
            self.name,
            self.height,
            self.left,
            legend,
            y_label,
            ups,
            svg,
            Markup("").join(self._words),
            along,
            self.x.label,
        )


def _lines(text: str) -> Markup:
    return Markup("<br>").join(escape(line) for line in text.split("\n"))


def grid(parts: Sequence[Markup], least: int = 260) -> Markup:
    """Parts beside each other where the screen is wide enough, below each other where not."""
    cells = Markup("").join(Markup('<div class="cell">{}</div>').format(part) for part in parts)
    return Markup('<div class="charts" style="--least:{}px">{}</div>').format(least, cells)
