"""The charts of one map's results: verdict, classes, calibration, agreement."""

from __future__ import annotations

from typing import Any, List, Mapping, Sequence, Tuple

import numpy as np
from markupsafe import Markup

from ....base import resolution_terms
from ....base.accuracy_measures import wilson
from ... import compared_results, result_files
from ...compared_results import is_number
from ...figures.colours import CURVE_COLORS, SOURCE_COLORS, global_colors, shade
from ...fsc_files import CURVE_NAMES, FSC_JSON
from ...measured_model import calibration_points
from ...results_folder import ResultsFolder
from ...verdict_words import with_unit
from .chart import Axis, Chart, grid, round_ticks
from .page_colours import GLOBAL_INKS, LOCAL_INKS
from .slice_pictures import png_url

SCALE_A = (1.5, 25.0)
_BLUE, _GREEN, _RED = "#0072B2", "#009E73", "#B04A00"


def verdict_chart(entry: Mapping[str, Any], summary: Mapping[str, Any]) -> Markup:
    """Claim, estimate and spread on one scale with the three classes behind them, and the classes' probabilities."""
    low, high = SCALE_A
    ticks = [(float(v), str(v)) for v in (2, 3, 4, 5, 6, 8, 10, 15, 20)]
    rows = _scale_rows(entry, summary)
    ups = [(number, words) for number, (words, _, _, _) in enumerate(rows)]
    x, y = Axis(low, high, "resolution (Å)", ticks, log=True), Axis(-0.7, 2.1, "", ups)
    chart = Chart(x, y, "Claim, estimate and local resolution on one scale", 190, 108)
    edges = (low, *resolution_terms.GLOBAL_EDGES_A, high)
    for left, right, name in zip(edges, edges[1:], resolution_terms.GLOBAL_CLASSES):
        chart.rectangle((left, right), (-0.7, 2.1), global_colors()[name], name, 0.16)
        chart.words((left * right) ** 0.5, 1.75, name)
    for number, (words, value, span, color) in enumerate(rows):
        if span:
            chart.rectangle((span[0], span[1]), (number - 0.09, number + 0.09), color, words, 0.45)
        chart.point(value, number, color, f"{value:.2f} Å", f"{value:.1f} Å")
    wide = (entry.get("claim") or {}).get("decision_interval_A") or ()
    if len(wide) == 2 and all(map(is_number, wide)) and rows:
        chart.line(wide, (len(rows) - 1,) * 2, _BLUE)
    claim: Any = (entry.get("claim") or {}).get("claimed_A")
    if is_number(claim):
        chart.upright(claim, _RED, f"claim {claim:g} Å", 1)
    return chart.html() + _probabilities(entry.get("probabilities") or {})


def _scale_rows(
    entry: Mapping[str, Any], summary: Mapping[str, Any]
) -> List[Tuple[str, float, Sequence[float], str]]:
    """(words, value, ends, colour) of the rows of the verdict's scale, from the bottom up."""
    rows: List[Tuple[str, float, Sequence[float], str]] = []
    for words, value, ends, color in (
        ("local resolution\n(quartiles)", summary.get("median_A"), summary.get("quartiles_A"), _GREEN),
        ("estimate\n(68 % interval)", entry.get("resolution_A"), entry.get("interval_A"), _BLUE),
    ):
        if is_number(value):
            known = isinstance(ends, (list, tuple)) and len(ends) == 2 and all(map(is_number, ends))
            rows.append((words, float(value), ends if known and ends else (), color))  # type: ignore[arg-type]
    return rows


def _probabilities(values: Mapping[str, Any]) -> Markup:
    pieces = []
    for name, ink in zip(resolution_terms.GLOBAL_CLASSES, ("white", "black", "black")):
        share = 100 * float(values[name]) if is_number(values.get(name)) else 0.0
        style = f"width:{share:.2f}%;background:{global_colors()[name]};color:{ink}"
        pieces.append(Markup('<span style="{}" title="{} {} %"></span>').format(style, name, f"{share:.1f}"))
    words = ", ".join(
        f"{name} {100 * float(values[name]):.0f} %"
        for name in resolution_terms.GLOBAL_CLASSES
        if is_number(values.get(name))
    )
    bar = (
        '<div class="shares" role="img" aria-label="probabilities: {0}">{1}</div>'
        '<p class="hint">Probability of the class: {0}.</p>'
    )
    return Markup(bar).format(words, Markup("").join(pieces))


def class_charts(results: ResultsFolder) -> Markup | None:
    """Bars of the ten classes and of the three, and the cumulative curves, of every source."""
    sources, voxels = compared_results.histogram_sources(results)
    if not sources:
        return None
    curves = compared_results.cumulative_curves(results)
    ten = _bars({n: list(f) for n, f in sources.items()}, list(resolution_terms.LOCAL_CLASSES), LOCAL_INKS)
    three_names = ["high\n< 5 Å", "medium\n5-10 Å", "low\n> 10 Å"]
    global_shares = {name: list(compared_results.global_fractions(f)) for name, f in sources.items()}
    three = _bars(global_shares, three_names, GLOBAL_INKS)
    ends = [x[min(len(x) - 1, int(np.searchsorted(y, 0.995)))] for x, y in curves.values()]
    last = max([10.0, *map(float, ends)])
    x = Axis(0, last, "local resolution (Å)", round_ticks(0, last))
    total = Chart(x, Axis(0, 100, "voxels at or finer (%)", round_ticks(0, 100, 5)), "Cumulative curve")
    for number, name in enumerate(sources):
        color = SOURCE_COLORS[number % len(SOURCE_COLORS)]
        label = f"{name} ({voxels[name]:,} voxels)" if name in voxels else name
        edges = np.append(0.0, resolution_terms.LOCAL_EDGES_A)
        xs, ys = curves.get(name, (edges, np.append(0.0, np.cumsum(sources[name])[:9])))
        kept = xs <= last
        total.line(xs[kept][::4], 100 * ys[kept][::4], color, label)
    return ten.html() + grid([three.html(), total.html()])


def _bars(sources: Mapping[str, Sequence[float]], names: Sequence[str], inks: Sequence[str]) -> Chart:
    top = max(5.0, 110 * max(max(values) for values in sources.values()))
    ticks = [(number + 0.5, name) for number, name in enumerate(names)]
    label = "local resolution class (Å)" if len(names) == 10 else ""
    x = Axis(0, len(names), label, ticks)
    chart = Chart(
        x, Axis(0, top, "voxels (%)", round_ticks(0, top, 5)), f"Share of the voxels in {len(names)} classes"
    )
    width = 0.84 / len(sources)
    for number, (source, values) in enumerate(sources.items()):
        for place, value in enumerate(values):
            left = place + 0.08 + number * width
            color = f"var({inks[place]})" if len(sources) == 1 else SOURCE_COLORS[number % len(SOURCE_COLORS)]
            title = f"{source}, {names[place]}: {100 * value:.1f} %".replace("\n", " ")
            chart.rectangle((left, left + width * 0.94), (0, 100 * value), color, title)
            if len(sources) == 1 and value >= 0.005:
                chart.words(place + 0.5, 100 * value, f"{100 * value:.0f} %", 1)
        if len(sources) > 1:
            chart.legend(SOURCE_COLORS[number % len(SOURCE_COLORS)], source)
    return chart


def calibration_chart(results: ResultsFolder) -> Markup | None:
    """How often the network is right against how sure it is, with what so few maps leave open."""
    found = calibration_points(results)
    if found is None:
        return None
    sure, right = 100 * np.array(found.confidence), 100 * np.array(found.accuracy)
    low = min(30.0, 10 * np.floor(sure.min() / 10))
    x = Axis(low, 101, "how sure it is: probability of the class it names (%)", round_ticks(low, 100))
    y = Axis(0, 102, "how often it is right (%)", round_ticks(0, 100, 5))
    chart = Chart(x, y, "Calibration", 260)
    chart.line((low, 100), (low, 100), "#888888", "perfectly calibrated", dashed=True)
    for one, share, count in zip(sure, right, found.counts or [0] * len(sure)):
        if count > 0:
            ends = [100 * end for end in wilson(round(share / 100 * count), int(count))]
            chart.line((one, one), ends, "#56B4E9")
    chart.line(sure, right, _BLUE, "this network (light: 95 % interval of a point)")
    for one, share, count in zip(sure, right, found.counts or [0] * len(sure)):
        chart.point(one, share, _BLUE, f"sure {one:.0f} %, right {share:.0f} %, n = {count:,}")
    error = "" if found.error is None else f"; expected calibration error {100 * found.error:.1f} %"
    return chart.html() + Markup('<p class="hint">{}{}.</p>').format(found.title, error)


def agreement_tables(results: ResultsFolder) -> Markup | None:
    """A table per measure of agreement, its cells shaded."""
    parts = []
    for measure, title in compared_results.AGREEMENT.items():
        names, matrix = compared_results.volumes_agreement(results.comparison or {}, measure)
        table = np.array(matrix, float)
        if len(names) < 2 or not np.isfinite(table[~np.eye(len(names), dtype=bool)]).any():
            continue
        distance = measure.endswith("_A")
        top = max(0.5, float(np.nanmax(table))) if distance else 1.0
        head = Markup("").join(Markup("<th>{}</th>").format(name) for name in names)
        rows = []
        for name, values in zip(names, table):
            cells = [_cell(value, 1 - value / top if distance else value) for value in values]
            rows.append(Markup("<tr><th>{}</th>{}</tr>").format(name, Markup("").join(cells)))
        body = '<table class="matrix"><caption>{}</caption><tr><th></th>{}</tr>{}</table>'
        parts.append(
            Markup('<div class="scroll">{}</div>').format(
                Markup(body).format(title, head, Markup("").join(rows))
            )
        )
    return grid(parts, 300) if parts else None


def _cell(value: float, good: float) -> Markup:
    if not np.isfinite(value):
        return Markup("<td></td>")
    color, dark = shade(good)
    ink = "white" if dark else "black"
    text = f"{value:.2f}".replace("-0.00", "0.00")
    return Markup('<td style="background:{};color:{}">{}</td>').format(color, ink, text)


def scatter_charts(results: ResultsFolder) -> Markup | None:
    """How often each pair of values occurs at a voxel, for every two of the compared volumes."""
    volumes = {name: volume.data for name, volume in compared_results.compared_volumes(results).items()}
    shown = dict(list(volumes.items())[: compared_results.MOST_COMPARED])
    found = compared_results.common_values(shown)
    everything = [values for pair in found.values() for values in pair if values.size]
    if not everything:
        return None
    low, high = compared_results.value_range(everything)
    parts = []
    for (first, second), (a, b) in found.items():
        ticks = round_ticks(low, high)
        chart = Chart(
            Axis(low, high, f"{first} (Å)", ticks),
            Axis(low, high, f"{second} (Å)", ticks),
            f"{first} and {second}",
            260,
        )
        words = f"{first} and {second} have no estimated voxel in common."
        if a.size:
            counts = np.histogram2d(b, a, bins=70, range=((low, high), (low, high)))[0][::-1]
            chart.picture(png_url(_density_colors(counts)))
            bias, apart = np.mean(b - a), np.mean(np.abs(b - a))
            words = f"{a.size:,} voxels, mean difference {bias:+.2f} Å, mean absolute {apart:.2f} Å"
        chart.line((low, high), (low, high), _RED, dashed=True)
        parts.append(chart.html() + Markup('<p class="hint">{}</p>').format(words))
    left_out = list(volumes)[compared_results.MOST_COMPARED :]
    note = Markup('<p class="hint">Without {}.</p>').format(", ".join(left_out)) if left_out else Markup("")
    return grid(parts) + note


def _density_colors(counts: np.ndarray) -> np.ndarray:
    """Counts as colours on a logarithmic scale; empty places are white."""
    from matplotlib import colormaps

    level = np.log1p(counts) / max(1e-9, np.log1p(counts.max()))
    colors = np.rint(255 * colormaps["cividis"](level)[..., :3]).astype(np.uint8)
    colors[counts == 0] = 255
    return colors


def fsc_chart(results: ResultsFolder) -> Markup | None:
    """The FSC curves of the half maps with their crossings, the claim and the estimate."""
    found = results.json(FSC_JSON)
    if not isinstance(found, dict):
        return None
    frequency, curves, cutoffs = found["frequency_per_A"], found["curves"], found["cutoffs_A"]
    last = frequency[-1]
    readable = [v for v in (20, 10, 7, 5, 4, 3, 2.5, 2, 1.8, 1.5, 1.2, 1) if 1 / v <= last]
    ticks = [(0.0, "0"), *((1 / v, f"{1 / v:.2f}\n{v:g} Å") for v in readable)]
    apart = [one for n, one in enumerate(ticks) if n == 0 or one[0] - ticks[n - 1][0] > 0.05 * last]
    x = Axis(0, last, "spatial frequency (1/Å) and resolution", apart)
    chart = Chart(x, Axis(-0.1, 1.05, "FSC", round_ticks(0, 1, 5)), "Fourier shell correlation", 280)
    chart.level(0.143, "0.143")
    chart.level(0.5, "0.5")
    for name, color in CURVE_COLORS.items():
        end = cutoffs.get(f"{name}_0143")
        words = CURVE_NAMES[name] + (f": {end:.2f} Å" if is_number(end) else "")
        chart.line(frequency, curves[name], color, words, dashed=name in ("half_bit", "randomised"))
    entry = results.classification or {}
    claim, estimate = (entry.get("claim") or {}).get("claimed_A"), entry.get("resolution_A")
    marks: List[Tuple[Any, str, str, int]] = [(claim, "claim", _RED, 88), (estimate, "estimate", _BLUE, 80)]
    for value, words, color, at in marks:
        if is_number(value) and 1 / value <= last:
            chart.upright(1 / value, color, f"{words} {value:.2f} Å", at)
    said = [
        f"{words} {cutoffs[key]:.2f} Å"
        for key, words in (("corrected_05", "0.5 at"), ("corrected_half_bit", "half-bit at"))
        if is_number(cutoffs.get(key))
    ]
    notes = [
        *(["The corrected curve falls to " + ", ".join(said) + "."] if said else []),
        *found["mask_doubts"],
    ]
    return chart.html() + Markup("").join(
        Markup('<p class="hint">{}</p>').format(with_unit(note)) for note in notes
    )


def direction_chart(results: ResultsFolder) -> Markup | None:
    """Share of the directions that reach a resolution, with the claim."""
    table = results.table(result_files.DIRECTIONAL_CSV)
    if table is None:
        return None
    middle = np.sort(np.array(table["resolution_A"], float))
    low, high = 0.8 * float(middle[0]), 1.25 * float(middle[-1])
    x = Axis(low, high, "resolution (Å)", round_ticks(low, high))
    chart = Chart(x, Axis(0, 100, "directions that reach it (%)", round_ticks(0, 100, 5)), "Directions", 180)
    chart.line(middle, 100.0 * (np.arange(len(middle)) + 1) / len(middle), _BLUE, "directions")
    claim: Any = ((results.classification or {}).get("claim") or {}).get("claimed_A")
    if is_number(claim) and low < claim < high:
        chart.upright(claim, _RED, f"claim {claim:g} Å", 88)
    said = with_unit(str((results.json(result_files.DIRECTIONAL_JSON) or {}).get("sentence", "")))
    return chart.html() + Markup('<p class="hint">{}</p>').format(said)
