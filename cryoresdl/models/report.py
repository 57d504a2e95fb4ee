"""The report of a results folder: one HTML file that needs no network, and the same as JSON and PDF.

:func:`content` collects everything once, as plain JSON; the three files are renderings of it. All text is
escaped by the template, the script is pinned by its hash in the page's content-security policy, and volumes
travel as 8-bit images, so the page can be sent to a reviewer, opened from disk and kept with the paper.
"""

from __future__ import annotations

import base64
import csv
import datetime
import hashlib
import io
import math
import os
import re
import textwrap
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from . import constants, plots
from .errors import InputError
from .files import PathLike, atomic_path, shown, write_json
from .resolution import estimated
from .results import ResultsFolder

REPORT_PDF = "report.pdf"
TEMPLATES = Path(__file__).parent / "templates_html"
MIXED = "These results are not of one map or run"
_APART = "Give every map a folder of its own with --out, or run validate here with --overwrite."
BROWSER_SIDE = 144
"""Longest side, in pixels, of the volumes in the slice browser; larger boxes are binned by a whole factor."""
CODE_RANGE_A = (1.0, 40.0)
INTERVAL_TOP_A = 6.0
FIGURES = (
    (
        "verdict",
        "Claim, estimate and class",
        "Dot: estimate; thick bar: its 68 % interval; thin line: the interval that judges a claim.",
    ),
    (
        "slices",
        "The fullest slice",
        "Grey: not estimated. A resolution has the same colour in every figure.",
    ),
    ("axes", "Along the three axes", "The fullest slice along each axis."),
    ("histogram", "How the voxels are resolved", "Share of the estimated voxels per class, and cumulated."),
    ("disagreement", "Where the methods disagree", "The same slice of each, and how far they are apart."),
    ("difference", "Difference of the methods", "The second minus the first, with its sign."),
    (
        "agreement",
        "Agreement of the methods",
        "Kappa and rank correlation: 1 is complete agreement, 0 is chance; mean absolute difference: 0 is the best.",
    ),
    ("scatter", "Voxel by voxel", "Every two methods; dashed: equal values."),
    (
        "reliability",
        "Calibration",
        "How often the network is right against how sure it says it is, with what so few maps leave open.",
    ),
    ("confusion", "Confusion matrix", "True against predicted classes."),
    ("curves", "Training", "Loss and metrics per epoch."),
    ("truth", "Map and truth", "A simulated map beside its true local resolution."),
    ("fsc", "Fourier shell correlation", "Of the two simulated half maps."),
)


def build(folder: PathLike) -> Path:
    """Write ``report.html``, ``report.json`` and ``report.pdf`` into a results folder, replacing them.

    Args:
        folder: what ``validate`` or another command wrote. With ``results.csv`` of many maps, the
            report is a table of them.

    Returns:
        Path of the HTML file.

    Raises:
        InputError: the folder is missing, holds no results, or cannot be written to.
    """
    results = ResultsFolder(folder)
    if not results.folder.is_dir():
        raise InputError(f"There is no results folder {shown(folder)}; give the --out of validate.")
    page = content(results)
    figures = {entry["kind"]: _figure(entry["kind"], results) for entry in page["figures"]}
    html = render(page, figures, browser(results), _narrow(figures, results))
    target = results.folder / constants.REPORT_HTML
    with atomic_path(target) as temporary:
        temporary.write_text(html, encoding="utf-8")
    write_json(results.folder / constants.REPORT_JSON, page)
    _write_pdf(results.folder / REPORT_PDF, page, figures)
    return target


def _figure(kind: str, results: ResultsFolder) -> Figure:
    """A figure of the page, which says the verdict itself."""
    if kind == "verdict" and results.classification:
        try:
            return plots.verdict_panel(results.classification, results.summary, in_words=False)
        except Exception:  # results of another version: from_folder says so in the figure
            return plots.from_folder(kind, results)
    return plots.from_folder(kind, results)


NARROW_INCHES = {"verdict": (4.0, 3.3), "reliability": (4.0, 4.6), "fsc": (4.0, 3.6), "histogram": (4.0, 8.2)}
"""Sizes of the figures that a telephone shows whole; the others scroll sideways there."""


def _narrow(figures: Mapping[str, Figure], results: ResultsFolder) -> Dict[str, str]:
    """The figures for narrow screens, drawn at the size at which they are seen, so that their text stays readable."""
    images = {}
    for kind in NARROW_INCHES:
        if kind not in figures or not figures[kind].axes:
            continue
        figure = (
            plots.from_folder(kind, results, narrow=True) if kind == "histogram" else _figure(kind, results)
        )
        figure.set_size_inches(*NARROW_INCHES[kind])
        images[kind] = _png(figure)
    return images


def content(results: ResultsFolder) -> Dict[str, Any]:
    """Everything that the report says, as plain JSON without pictures.

    Raises:
        InputError: nothing in the folder is a result.
    """
    kinds = plots.drawable(results)
    batch = _batch_table(results)
    if not kinds and batch is None:
        raise InputError(
            f"{shown(results.folder)} holds no results of CryoResDL; give the --out of validate."
        )
    entry, summary = results.classification or {}, results.summary or {}
    sections: List[Tuple[str, Callable[[], Any]]] = [
        ("the verdict", lambda: plots.verdict_lines(entry, summary) if entry else []),
        ("the table of classes", lambda: _class_table(results)),
        ("the table of the verdict", lambda: _verdict_table(entry)),
        ("the comparison", lambda: _comparison_table(results.comparison or {})),
        ("the facts of the run", lambda: _run_table(entry, summary)),
        ("the model cards", lambda: _cards(entry, summary, results)),
        ("the methods", lambda: _methods(entry, summary, results.comparison)),
    ]
    problems: List[str] = []
    found = {name: _guarded(name, make, problems) for name, make in sections}
    tables = [table for name, _ in sections[1:5] for table in [found[name]] if table and table["rows"]]
    from .. import __version__

    page = {
        "title": "Resolution of "
        + (Path(str(entry.get("map") or summary.get("map") or results.folder)).name),
        "headline": _guarded("the headline", lambda: plots.verdict_title(entry), problems)
        if entry
        else "Results",
        "tone": _tone(entry),
        "verdict": found["the verdict"] or [],
        "tables": ([batch] if batch else []) + tables,
        "figures": [
            {"kind": kind, "title": title, "caption": caption}
            for kind, title, caption in FIGURES
            if kind in kinds and (kind != "difference" or len(plots.compared_volumes(results)) == 2)
        ],
        "methods": (found["the methods"] or {}).get("text", []),
        "citations": (found["the methods"] or {}).get("citations", []),
        "models": found["the model cards"] or [],
        "warnings": [
            plots.with_unit(w)
            for w in _strings(summary.get("warnings"))
            if w not in _strings(entry.get("warnings"))
        ],
        "version": __version__,
        "created": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "results": {"classification": entry or None, "local_resolution": summary or None},
    }
    mixed = _guarded("the origin of the results", lambda: _mixed(results, entry, summary), problems)
    if mixed:
        # A headline about one map over the pictures of another would mislead: this comes first.
        page.update(headline=MIXED, tone="unsure", verdict=[])
    page["problems"] = (mixed or []) + problems
    page["problems"] += list(dict.fromkeys(_expected_problems(results, batch is not None)))
    return page


def render(
    page: Mapping[str, Any],
    figures: Mapping[str, Any],
    volumes: Mapping[str, Any],
    narrow: Mapping[str, str] | None = None,
) -> str:
    """The HTML page in one string.

    Args:
        page: `content`.
        figures: kind -> matplotlib figure.
        volumes: `browser`.
        narrow: kind -> data URL of the figure for screens of 560 pixels and less, where there is one.
    """
    import jinja2  # a tenth of a second that drawing a single figure does not need

    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(TEMPLATES)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html").render(
        page=page,
        images={kind: _png(figure) for kind, figure in figures.items()},
        narrow=narrow or {},
        volumes=volumes,
        style=(TEMPLATES / "report.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


# --------------------------------------------------------------------------------------- the slice browser


def browser(results: ResultsFolder) -> Dict[str, Any]:
    """Volumes for the page's slice browser: 8-bit images with the slices along z laid out in a grid.

    Returns:
        An empty dictionary without a local resolution; else ``box`` (z, y, x pixels), ``corner`` (first voxel
        shown, z, y, x: the empty box around the molecule is left out), ``columns``,
        ``pixel_A``, ``origin`` (x, y, z of the first pixel's centre in A), ``factor`` (binning), ``start``
        (the fullest slices along z, y, x) and ``layers``, each with ``title``, ``unit``, ``image`` (data
        URL), ``palette`` (256 colours) and ``values`` (text of each code).
    """
    resolution = results.resolution
    if resolution is None:
        return {}
    window = plots.focus(resolution.data)
    part = tuple(slice(*edges) for edges in window)
    values = resolution.data[part]
    factor = max(1, math.ceil(max(values.shape) / BROWSER_SIDE))
    layers = []
    density, interval = results.density, results.interval
    if density is not None and density.shape == resolution.shape:
        layers.append(_density_layer(_binned(density.data[part], factor)))
    inside = estimated(values)
    coarse = _binned(np.where(inside, values, 0), factor, inside)
    layers.append(_resolution_layer(coarse))
    if interval is not None and interval.shape == resolution.shape:
        layers.append(_interval_layer(_binned(np.where(inside, interval.data[part], 0), factor, inside)))
    box = coarse.shape
    first = [edges[0] + 0.5 * (factor - 1) for edges in reversed(window)]
    columns = math.ceil(math.sqrt(box[0]))
    for layer in layers:
        layer["image"] = _sprite(layer.pop("codes"), columns)
    return {
        "browse": [{"palette": layer["palette"], "values": layer["values"]} for layer in layers],
        "box": list(box),
        "columns": columns,
        "factor": factor,
        "pixel_A": resolution.voxel_size * factor,
        "corner": [edges[0] for edges in window],
        "origin": [o + f * resolution.voxel_size for o, f in zip(resolution.origin, first)],
        "start": [plots.best_index(coarse, axis) for axis in plots.AXES],
        "layers": layers,
        "legend": [
            {"text": text, "color": color}
            for text, color in zip(constants.LOCAL_CLASSES, plots.class_colors())
        ],
    }


def _binned(data: np.ndarray, factor: int, inside: np.ndarray | None = None) -> np.ndarray:
    """Mean over blocks of ``factor`` voxels; with ``inside``, over those, 0 where fewer than half are."""
    if factor == 1:
        return np.asarray(data, np.float32)
    sums = _block_sums(np.asarray(data, np.float32), factor)
    if inside is None:
        return sums / _block_sums(np.ones(data.shape, np.float32), factor)
    count = _block_sums(inside.astype(np.float32), factor)
    return np.where(count * 2 >= factor**3, sums / np.maximum(count, 1), 0).astype(np.float32)


def _block_sums(data: np.ndarray, factor: int) -> np.ndarray:
    for axis in range(3):
        data = np.add.reduceat(data, np.arange(0, data.shape[axis], factor), axis=axis)
    return data


def _density_layer(data: np.ndarray) -> Dict[str, Any]:
    low, high = np.percentile(data, (0.5, 99.8))
    span = (high - low) or 1.0
    # 64 grey levels: the eye sees no more, and noise packs a quarter smaller.
    codes = (np.clip((data - low) / span, 0, 1) * 63).round().astype(np.uint8) * 4
    values = [f"{low + span * min(code, 252) / 252:.3g}" for code in range(256)]
    grey = [[min(255, round(code * 255 / 252))] * 3 for code in range(256)]
    return {"title": "Map", "unit": "density", "codes": codes, "palette": grey, "values": values}


def _resolution_layer(data: np.ndarray) -> Dict[str, Any]:
    low, high = CODE_RANGE_A
    with np.errstate(divide="ignore"):
        place = np.log(np.maximum(data, 1e-6) / low) / math.log(high / low)
    codes = np.where(data > 0, 1 + np.clip(place, 0, 1) * 254, 0).round().astype(np.uint8)
    centres = low * (high / low) ** ((np.arange(1, 256) - 1) / 254)
    palette = _palette(plots.resolution_colors().to_rgba(centres))
    values = ["not estimated", *(f"{value:.2f} Å" for value in centres)]
    return {"title": "Local resolution", "unit": "Å", "codes": codes, "palette": palette, "values": values}


def _interval_layer(data: np.ndarray) -> Dict[str, Any]:
    codes = np.where(data > 0, 1 + np.clip(data / INTERVAL_TOP_A, 0, 1) * 254, 0).round().astype(np.uint8)
    centres = (np.arange(1, 256) - 1) / 254 * INTERVAL_TOP_A
    low, high = plots.INTERVAL_RANGE_A
    shades = colormaps["cividis"](np.clip((centres - low) / (high - low), 0, 1))
    values = ["not estimated", *(f"± {value:.2f} Å" for value in centres)]
    return {
        "title": "68 % interval",
        "unit": "Å",
        "codes": codes,
        "palette": _palette(shades),
        "values": values,
    }


def _palette(colors: np.ndarray) -> List[List[int]]:
    empty = [round(255 * v) for v in to_rgb(plots.EMPTY)]
    return [empty, *(np.rint(255 * colors[:, :3]).astype(int).tolist())]


def _sprite(codes: np.ndarray, columns: int) -> str:
    """The slices along z, row by row in one grey PNG, as a data URL."""
    from PIL import Image

    depth, height, width = codes.shape
    rows = math.ceil(depth / columns)
    sheet = np.zeros((rows * columns, height, width), np.uint8)
    sheet[:depth] = codes
    sheet = sheet.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    stream = io.BytesIO()
    Image.fromarray(sheet, "L").save(stream, "PNG", optimize=False, compress_level=9)
    return _data_url(stream.getvalue())


# -------------------------------------------------------------------------------------------------- tables


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Dict[str, Any]:
    return {"title": title, "columns": list(columns), "rows": [[_text(cell) for cell in row] for row in rows]}


def _verdict_table(entry: Mapping[str, Any]) -> Dict[str, Any]:
    claim = entry.get("claim") or {}
    chances = entry.get("probabilities") or {}
    rows = [
        ("global class", entry.get("class")),
        *(
            (f"probability of {name}", _number(chances.get(name), "{:.3f}"))
            for name in constants.GLOBAL_CLASSES
        ),
        ("estimate (Å)", _number(entry.get("resolution_A"), "{:.2f}")),
        ("68 % interval (Å)", _span(entry.get("interval_A"))),
        ("like the training maps", _yes_no(entry.get("in_distribution"))),
        ("claimed resolution (Å)", _number(claim.get("claimed_A"), "{:g}")),
        ("verdict on the claim", claim.get("verdict")),
        ("interval that judges the claim (Å)", _span(claim.get("decision_interval_A"))),
    ]
    return _table(
        "Global resolution", ("quantity", "value"), [row for row in rows if row[1] not in (None, "")]
    )


def _summary_of(results: ResultsFolder, name: str) -> Mapping[str, Any]:
    """What the results say of the map's own local resolution, or of a method compared with it."""
    if name == plots.OURS:
        return results.summary or {}
    return plots.listed_volume(results, name)


def _class_table(results: ResultsFolder) -> Dict[str, Any]:
    sources, voxels = plots.histogram_sources(results)
    names = list(sources)
    rows: List[List[Any]] = [
        [label, *(f"{100 * sources[name][number]:.1f}" for name in names)]
        for number, label in enumerate(constants.LOCAL_CLASSES)
    ]
    if voxels:
        rows.append(["voxels", *(f"{voxels[name]:,}" if name in voxels else "" for name in names)])
    known = [_summary_of(results, name) for name in names]
    if any(plots.is_number(one.get("median_A")) for one in known):
        rows.append(["median (Å)", *(_number(one.get("median_A"), "{:.2f}") for one in known)])
        rows.append(["quartiles (Å)", *(_span(one.get("quartiles_A")) for one in known)])
    return _table("Local resolution: share of the voxels (%)", ["class (Å)", *names], rows if names else [])


_MEASURES: Tuple[Tuple[str, str, str], ...] = (
    ("n_voxels", "voxels", "{:,}"),
    ("exact_class", "same class (0 to 1)", "{:.2f}"),
    ("within_one_class", "within one class (0 to 1)", "{:.2f}"),
    ("kappa", "Cohen's kappa", "{:.2f}"),
    ("spearman", "rank correlation", "{:.2f}"),
    ("bias_A", "mean difference (Å)", "{:+.2f}"),
    ("mae_A", "mean absolute difference (Å)", "{:.2f}"),
)
"""Measures of a pair that the report prints; ``comparison.json`` has more."""


def _comparison_table(comparison: Mapping[str, Any]) -> Dict[str, Any]:
    pairs = comparison.get("pairs") or []
    measures = [one for one in _MEASURES if any(plots.is_number(pair.get(one[0])) for pair in pairs)]
    rows = [
        [
            " / ".join(plots.pair_names(pair)),
            *(_number(pair.get(key), form).replace("-0.00", "0.00") for key, _, form in measures),
        ]
        for pair in pairs
    ]
    return _table("Agreement of the methods", ["methods", *(words for _, words, _ in measures)], rows)


def _run_table(entry: Mapping[str, Any], summary: Mapping[str, Any]) -> Dict[str, Any]:
    mask = summary.get("mask") or {}
    box = summary.get("box_zyx")
    rows = [
        ("map", summary.get("map") or entry.get("map")),
        ("box (z, y, x; voxels)", " x ".join(str(n) for n in box) if isinstance(box, list) else None),
        ("voxel size (Å)", _number(summary.get("voxel_size_A", entry.get("voxel_size_A")), "{:g}")),
        ("Nyquist (Å)", _number(summary.get("nyquist_A"), "{:g}")),
        ("half maps used", _yes_no(summary.get("half_maps"))),
        *(
            (f"mask: {_heading(key)}", value)
            for key, value in mask.items()
            if not isinstance(value, (dict, list))
        ),
        ("model, global", _model_name(entry.get("model"))),
        ("model, local", _model_name(summary.get("model"))),
        ("seed", summary.get("seed")),
        ("version", summary.get("version")),
        *(
            (f"time, {_heading(k)} (s)", _number(v, "{:.2f}"))
            for k, v in (summary.get("timings_s") or {}).items()
        ),
        ("peak memory (MB)", _number(summary.get("peak_memory_mb"), "{:.0f}")),
    ]
    return _table("The run", ("what", "value"), [row for row in rows if row[1] not in (None, "")])


def _batch_table(results: ResultsFolder) -> Dict[str, Any] | None:
    path = results.folder / constants.RESULTS_CSV
    if not path.is_file():
        return None
    try:
        with open(path, newline="", encoding="utf-8", errors="replace") as stream:
            rows = list(csv.reader(stream))
    except (OSError, csv.Error):
        return None
    if not rows:
        return None
    width = len(rows[0])
    return _table(f"{len(rows) - 1} maps", rows[0], [(row + [""] * width)[:width] for row in rows[1:]])


def _cards(
    entry: Mapping[str, Any], summary: Mapping[str, Any], results: ResultsFolder
) -> List[Dict[str, Any]]:
    """The cards of the models that were used, flattened for reading."""
    from . import card_text, model_file

    cards = []
    for role, value in (("global", entry.get("model")), ("local", summary.get("model"))):
        name = _model_name(value)
        if not name:
            continue
        card: Dict[str, Any] = {"role": role, "name": name, "words": [], "facts": []}
        if isinstance(value, dict) and value.get("digest"):
            card["facts"].append(["digest (SHA-256)", _text(value["digest"])])
        try:
            found = model_file.read_card(name)
            card["words"] = card_text.in_words(found)
            card["facts"] += [[key, _text(item)] for key, item in _flat(found)]
        except InputError as error:
            card["facts"].append(["card", f"not available: {error}"])
        cards.append(card)
    return cards


def _flat(value: Any, prefix: str = "") -> List[Tuple[str, Any]]:
    """Nested card entries as dotted keys; long lists (curves, bins) are counted, not listed."""
    if isinstance(value, dict):
        return [
            pair
            for key, item in value.items()
            for pair in _flat(item, f"{prefix}.{key}" if prefix else str(key))
        ]
    if isinstance(value, list) and (len(value) > 8 or any(isinstance(v, (dict, list)) for v in value)):
        return [(prefix, f"{len(value)} values")]
    return [(prefix, ", ".join(_text(v) for v in value) if isinstance(value, list) else value)]


# ------------------------------------------------------------------------------------------------- methods


def _methods(
    entry: Mapping[str, Any], summary: Mapping[str, Any], comparison: Mapping[str, Any] | None
) -> Dict[str, List[str]]:
    """Sentences for a paper's methods section, with the works that they cite."""
    from .. import __version__

    version = summary.get("version") or __version__
    text, cited = [], ["avramov2019"]
    if summary:
        mask = (summary.get("mask") or {}).get("source")
        origin = {"auto": "made by the program from the map", "given": "given by the user"}.get(
            str(mask), "as recorded"
        )
        half = "the two half maps" if summary.get("half_maps") else "a single map"
        model = _model_name(summary.get("model"))
        text.append(
            f"Local resolution was estimated from {half} with CryoResDL {version} (model '{model}'), which "
            f"continues the approach of Avramov et al. (2019), inside a mask {origin}. It is the wavelength "
            f"at which the expected local half-map Fourier shell correlation falls to 0.143 (Rosenthal and "
            f"Henderson, 2003)."
        )
        cited.append("rosenthal2003")
        if summary.get("median_A") is not None:
            text.append(
                f"Among {summary.get('n_voxels', 0):,} voxels the median was {summary['median_A']:.2f} Å "
                f"(quartiles {_span(summary.get('quartiles_A'))} Å)."
            )
    if entry.get("class"):
        chance = (entry.get("probabilities") or {}).get(entry["class"])
        sure = f" with probability {chance:.2f}" if plots.is_number(chance) else ""
        estimate = entry.get("resolution_A")
        about = (
            f" (estimate {estimate:.2f} Å, 68 % interval {_span(entry.get('interval_A'))} Å)"
            if plots.is_number(estimate)
            else ""
        )
        model = _model_name(entry.get("model"))
        text.append(f"The model '{model}' classed the map as {entry['class']} resolution{sure}{about}.")
    names = " ".join(plots.agreement(comparison or {}, "kappa")[0]).lower()
    others = []
    for word, key, program in (
        ("monores", "vilas2018", "MonoRes (Vilas et al., 2018)"),
        ("resmap", "kucukelbir2014", "ResMap (Kucukelbir et al., 2014)"),
        ("relion", "", "RELION"),
    ):
        if word in names:
            others.append(program)
            cited += [key] if key else []
    if others:
        text.append(f"The local resolution was compared with that of {_listed(others)}.")
    references = _references()
    return {"text": text, "citations": [references[key] for key in cited if key in references]}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _references() -> Dict[str, str]:
    """The plugin's bibliography as lines of text, by key."""
    from .. import bibtex

    found = {}
    for key, body in re.findall(r"@\w+\{(\w+),(.*?)\n\}", bibtex.__doc__ or "", re.S):
        fields = dict(re.findall(r"(\w+)=\{(.*?)\},?\n", body + "\n"))
        people = [person.split(",")[0] for person in fields.get("author", "").split(" and ")]
        authors = (
            people[0]
            if len(people) == 1
            else " and ".join(people)
            if len(people) == 2
            else f"{people[0]} et al."
        )
        where = f"{fields.get('journal', '')} {fields.get('volume', '')}, {fields.get('pages', '')}".replace(
            "--", "-"
        )
        found[key] = (
            f"{authors} ({fields.get('year')}). {fields.get('title')}. {where}. doi:{fields.get('doi')}"
        )
    return found


# ----------------------------------------------------------------------------------------------------- PDF


_PDF_ROWS = 100
"""Rows of a table in the PDF: a thousand maps would be 90 pages and take longer than validating them."""


def _write_pdf(path: Path, page: Mapping[str, Any], figures: Mapping[str, Any]) -> None:
    from matplotlib.backends.backend_pdf import PdfPages

    with atomic_path(path) as temporary:
        with PdfPages(
            temporary, metadata={"Title": page["title"], "Creator": f"CryoResDL {page['version']}"}
        ) as pdf:
            for sheet in _text_pages(_pdf_lines(page, first=True)):
                pdf.savefig(sheet)
            for entry in page["figures"]:
                pdf.savefig(figures[entry["kind"]])
            for sheet in _text_pages(_pdf_lines(page, first=False)):
                pdf.savefig(sheet)


def _pdf_lines(page: Mapping[str, Any], first: bool) -> List[Tuple[str, str]]:
    """(style, text) lines: the verdict before the figures; tables, methods and cards after them."""
    lines: List[Tuple[str, str]] = []
    if first:
        lines += [("title", page["title"]), ("head", page["headline"])]
        lines += [("text", line) for line in page["verdict"] + [f"Note: {p}" for p in page["problems"]]]
        lines += [("text", ""), ("text", f"CryoResDL {page['version']}, {page['created']}")]
        return lines
    for table in page["tables"]:
        lines += [("head", table["title"]), ("code", "   ".join(table["columns"]))]
        shown_rows = table["rows"][:_PDF_ROWS]
        lines += [("code", "   ".join([f"{row[0]:<34}", *row[1:]])) for row in shown_rows]
        if len(shown_rows) < len(table["rows"]):
            left = len(table["rows"]) - len(shown_rows)
            lines += [
                ("text", f"... and {left} more: see {constants.REPORT_HTML} or {constants.RESULTS_CSV}.")
            ]
        lines += [("text", "")]
    lines += [("head", "Methods")] + [("text", line) for line in page["methods"]]
    lines += [("text", ""), ("head", "References")] + [("text", line) for line in page["citations"]]
    for card in page["models"]:
        lines += [("text", ""), ("head", f"Model, {card['role']}: {card['name']}")]
        lines += [("text", line) for line in card["words"]]
        lines += [("code", f"{key:<34} {value}") for key, value in card["facts"]]
    return lines


def _text_pages(lines: Sequence[Tuple[str, str]], per_page: int = 58) -> List[Any]:
    """A4 pages of wrapped text."""
    styles = {
        "title": (15, 70, "bold"),
        "head": (11.5, 84, "bold"),
        "text": (9.5, 104, "normal"),
        "code": (7.5, 112, "normal"),
    }
    pieces = []
    for style, text in lines:
        for piece in textwrap.wrap(_visible(text), styles[style][1], subsequent_indent="  ") or [""]:
            pieces.append((style, piece))
    pages = []
    for start in range(0, len(pieces), per_page):
        figure = Figure(figsize=(8.27, 11.69), facecolor="white")
        for number, (style, piece) in enumerate(pieces[start : start + per_page]):
            size, _, weight = styles[style]
            family = "monospace" if style == "code" else "sans-serif"
            figure.text(
                0.08,
                0.95 - number * 0.0155,
                piece,
                fontsize=size,
                weight=weight,
                family=family,
                va="top",
                parse_math=False,
            )
        pages.append(figure)
    return pages


# ------------------------------------------------------------------------------------------------- details


def _guarded(name: str, make: Callable[[], Any], problems: List[str]) -> Any:
    """A section, or a note in its place: results of another version must not cost the rest of the report."""
    try:
        return make()
    except Exception as error:  # whatever a key of another version leads to
        problems.append(
            f"There is no place for {name}: its files are of another version ({type(error).__name__})."
        )
        return None


def _mixed(results: ResultsFolder, entry: Mapping[str, Any], summary: Mapping[str, Any]) -> List[str]:
    """Sentences about results in one folder that are not of one map, or not of one run of ``validate``."""
    said = (
        (constants.LOCAL_JSON, summary.get("map")),
        (constants.CLASSIFICATION_JSON, entry.get("map")),
        (constants.COMPARISON_JSON, (results.comparison or {}).get("map")),
    )
    named = [(name, str(of)) for name, of in said if of]
    found = [
        f"{named[0][0]} is of the map {shown(named[0][1])} and {name} of {shown(of)}. {_APART}"
        for name, of in named[1:]
        if not _same_map(named[0][1], of)
    ]
    return found or _not_of_validate(results, entry, summary)


def _not_of_validate(
    results: ResultsFolder, entry: Mapping[str, Any], summary: Mapping[str, Any]
) -> List[str]:
    """Sentences about results that another command put in the place of those of ``validate``."""
    record = results.json(constants.VALIDATION_JSON) if results.has(constants.VALIDATION_JSON) else None
    row = record.get("row") if isinstance(record, dict) else None
    if not isinstance(row, dict):
        return []
    pairs = (
        (constants.LOCAL_JSON, "local_median_A", summary.get("median_A"), summary.get("map")),
        (constants.CLASSIFICATION_JSON, "resolution_A", entry.get("resolution_A"), entry.get("map")),
    )
    return [
        f"{name} (map {shown(str(of))}) is not what validate made of {shown(str(row.get('map')))}: it says "
        f"{now:.4g} Å, and {constants.VALIDATION_JSON} {row[key]:.4g} Å. {_APART}"
        for name, key, now, of in pairs
        if plots.is_number(now) and plots.is_number(row.get(key)) and abs(now - row[key]) > 1e-3
    ]


def _same_map(one: str, other: str) -> bool:
    """Whether two names may be of one map; a relative one counts from a folder that is not known here."""
    paths = [os.path.normpath(name.split(":mrc")[0]) for name in (one, other)]
    if all(os.path.isabs(path) for path in paths):
        return os.path.realpath(paths[0]) == os.path.realpath(paths[1])
    parts = [[part for part in path.split(os.sep) if part not in ("", "..")] for path in paths]
    least = min(len(part) for part in parts)
    return parts[0][-least:] == parts[1][-least:]


def _expected_problems(results: ResultsFolder, batch: bool) -> List[str]:
    """What a finished ``validate`` would hold and this folder does not, when it looks like one."""
    expected = (constants.CLASSIFICATION_JSON, constants.LOCAL_JSON, constants.LOCAL_RESOLUTION)
    there = [name for name in expected if results.has(name)]
    if batch or not there:
        return []
    return [problem for problem in results.problems.values() if constants.COMPARISON_JSON not in problem]


def _tone(entry: Mapping[str, Any]) -> str:
    """``good``, ``bad`` or ``unsure``, for the banner's colour (its words say the same)."""
    claim = entry.get("claim")
    answer = claim.get("verdict") if isinstance(claim, dict) else None
    if entry.get("in_distribution") is False:
        return "unsure"
    return {"supported": "good", "optimistic": "bad", "pessimistic": "unsure"}.get(str(answer), "unsure")


def _png(figure: Any) -> str:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110, metadata={"Software": None})
    figure.set_layout_engine("none")  # the PDF takes the layout found here instead of solving it again
    return _data_url(stream.getvalue())


def _data_url(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _number(value: Any, form: str) -> str:
    return form.format(value) if plots.is_number(value) else ""


def _span(value: Any) -> str:
    if isinstance(value, (list, tuple)) and len(value) == 2 and all(plots.is_number(v) for v in value):
        return f"{value[0]:.2f} to {value[1]:.2f}"
    return ""


def _heading(key: str) -> str:
    return re.sub(r"_A$", " (Å)", str(key)).replace("_", " ")


def _model_name(value: Any) -> str:
    return str(value.get("name", "")) if isinstance(value, dict) else str(value or "")


def _yes_no(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else ""


def _strings(value: Any) -> List[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))
