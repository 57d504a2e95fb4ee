"""The tables of the report."""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Sequence, Tuple

from ...base import resolution_terms
from ...base.errors import InputError
from .. import compared_results
from ..results_folder import ResultsFolder
from .report_page import ModelCard, ReportTable


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> ReportTable:
    return ReportTable(title, list(columns), [[_text(cell) for cell in row] for row in rows])


def _verdict_table(entry: Mapping[str, Any]) -> ReportTable:
    claim = entry.get("claim") or {}
    chances = entry.get("probabilities") or {}
    rows = [
        ("global class", entry.get("class")),
        *(
            (f"probability of {name}", _number(chances.get(name), "{:.3f}"))
            for name in resolution_terms.GLOBAL_CLASSES
        ),
        ("estimate (Å)", _number(entry.get("resolution_A"), "{:.2f}")),
        ("68 % interval (Å)", _span(entry.get("interval_A"))),
        ("like the training maps", _yes_no(entry.get("in_distribution"))),
        ("FSC criterion of both", str(entry.get("criterion") or "")),
        ("claimed resolution (Å)", _number(claim.get("claimed_A"), "{:g}")),
        ("verdict on the claim", claim.get("verdict")),
        ("interval that judges the claim (Å)", _span(claim.get("decision_interval_A"))),
    ]
    return _table(
        "Global resolution", ("quantity", "value"), [row for row in rows if row[1] not in (None, "")]
    )


def _direction_table(summary: Mapping[str, Any]) -> ReportTable:
    rows = [
        ("measured from", summary.get("source")),
        ("not told", summary.get("cannot_tell")),
        ("half-angle of the cones (degrees)", _number(summary.get("half_angle_degrees"), "{:g}")),
        ("best, median, worst (Å)", _three(summary)),
        ("worst over best", _number(summary.get("anisotropy"), "{:.2f}")),
        ("differs by more than chance", _yes_no(summary.get("anisotropic"))),
        ("axis of the worst (z, y, x)", _axis(summary.get("worst_axis_zyx"))),
        ("cFAR (smallest over largest area)", _number(summary.get("cfar"), "{:.2f}")),
        ("directions in which the claim holds (%)", _percent(summary.get("claim_share"))),
    ]
    return _table(
        "Resolution by direction", ("quantity", "value"), [row for row in rows if row[1] not in (None, "")]
    )


def _three(summary: Mapping[str, Any]) -> str | None:
    values = [summary.get(name) for name in ("best_A", "median_A", "worst_A")]
    return (
        ", ".join(f"{value:.2f}" for value in values)
        if all(map(compared_results.is_number, values))
        else None
    )


def _axis(value: Any) -> str | None:
    return ", ".join(f"{v:.2f}" for v in value) if isinstance(value, list) and len(value) == 3 else None


def _percent(value: Any) -> str | None:
    return f"{100 * value:.0f}" if compared_results.is_number(value) else None


def _summary_of(results: ResultsFolder, name: str) -> Mapping[str, Any]:
    """What the results say of the map's own local resolution, or of a method compared with it."""
    if name == compared_results.OURS:
        return results.summary or {}
    return compared_results.listed_volume(results, name)


def _class_table(results: ResultsFolder) -> ReportTable:
    sources, voxels = compared_results.histogram_sources(results)
    names = list(sources)
    rows: List[List[Any]] = [
        [label, *(f"{100 * sources[name][number]:.1f}" for name in names)]
        for number, label in enumerate(resolution_terms.LOCAL_CLASSES)
    ]
    if voxels:
        rows.append(["voxels", *(f"{voxels[name]:,}" if name in voxels else "" for name in names)])
    known = [_summary_of(results, name) for name in names]
    if any(compared_results.is_number(one.get("median_A")) for one in known):
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


def _comparison_table(comparison: Mapping[str, Any]) -> ReportTable:
    pairs = comparison.get("pairs") or []
    measures = [
        one for one in _MEASURES if any(compared_results.is_number(pair.get(one[0])) for pair in pairs)
    ]
    rows = [
        [
            " / ".join(compared_results.pair_names(pair)),
            *(_number(pair.get(key), form).replace("-0.00", "0.00") for key, _, form in measures),
        ]
        for pair in pairs
    ]
    return _table("Agreement of the methods", ["methods", *(words for _, words, _ in measures)], rows)


def _run_table(entry: Mapping[str, Any], summary: Mapping[str, Any], emdb: Mapping[str, Any]) -> ReportTable:
    mask = summary.get("mask") or {}
    box = summary.get("box_zyx")
    rows = [
        ("map", summary.get("map") or entry.get("map")),
        ("EMDB", ": ".join(text for text in (emdb.get("name"), emdb.get("title")) if text)),
        ("claimed by its authors (Å)", _number(emdb.get("resolution_A"), "{:g}")),
        ("measured by", emdb.get("method")),
        ("recommended contour", _number(emdb.get("contour"), "{:g}")),
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


def _cards(entry: Mapping[str, Any], summary: Mapping[str, Any], results: ResultsFolder) -> List[ModelCard]:
    """The cards of the models that were used, flattened for reading."""
    from ...networks.model_files import model_card, model_store

    cards = []
    for role, value in (("global", entry.get("model")), ("local", summary.get("model"))):
        name = _model_name(value)
        if not name:
            continue
        card = ModelCard(role, name, [], [])
        if isinstance(value, dict) and value.get("digest"):
            card.facts.append(("digest (SHA-256)", _text(value["digest"])))
        try:
            found = model_store.read_card(name)
            card.words.extend(model_card.in_words(found))
            card.facts.extend((".".join(path), text) for path, text in model_card.card_facts(found))
        except InputError as error:
            card.facts.append(("card", f"not available: {error}"))
        cards.append(card)
    return cards


def _number(value: Any, form: str) -> str:
    return form.format(value) if compared_results.is_number(value) else ""


def _span(value: Any) -> str:
    if (
        isinstance(value, (list, tuple))
        and len(value) == 2
        and all(compared_results.is_number(v) for v in value)
    ):
        return f"{value[0]:.2f} to {value[1]:.2f}"
    return ""


def _heading(key: str) -> str:
    return re.sub(r"_A$", " (Å)", str(key)).replace("_", " ")


def _model_name(value: Any) -> str:
    return str(value.get("name", "")) if isinstance(value, dict) else str(value or "")


def _yes_no(value: Any) -> str:
    return "yes" if value is True else "no" if value is False else ""


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
