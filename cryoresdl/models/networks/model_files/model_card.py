"""A model's card in words, for the people who choose by it: what it gives, from what it learned, how good it is.

Cards of every origin are read: the shipped ones, those of a training in Scipion, and the paper's networks. What a
card does not hold is left out; nothing here raises for that.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

_LABELS = {
    "truth": "the true local resolution, as it is known of simulated maps",
    "monores": "what MonoRes would say",
    "resmap": "what ResMap would say",
}
_INPUTS = {"single": "one map", "halves": "both half maps"}
_GROUPS = {
    "all": "all kinds of maps",
    "realistic single": "realistic maps",
    "realistic halves": "realistic, both half maps",
    "clean single": "hardly any noise",
    "paper clean single": "noiseless, as in the paper",
    "test": "maps of the test split",
}


def in_words(card: Mapping[str, Any]) -> List[str]:
    """The card as a few lines of text.

    Args:
        card: as `model_store.read_card` gives it.

    Returns:
        One sentence or one row of measures per line; the measures are indented.
    """
    lines = [_gives(card)]
    lines += _learned(card)
    metrics = _part(card, "metrics")
    measured = _local(metrics) if card.get("kind") == "local" else _global(metrics, _is_paper(card))
    if measured:
        maps, answers = tested_maps(card)
        lines.append(f"How good, on {maps or 'maps'}{answers} that it never saw:")
        lines += ["    " + line for line in measured]
    else:
        lines.append("It was not measured on maps that it never saw; 'cryoresdl evaluate' does that.")
    return lines


def tested_maps(card: Mapping[str, Any]) -> Tuple[str, str]:
    """On what a network was measured, in words, and how many answers that were; empty where its card does not say.

    A map with half maps gives two answers, so that answers and maps are counted apart. The sets that a network was
    measured on may be others than those that it learned from.
    """
    metrics = _part(card, "metrics")
    maps = metrics.get("maps")
    if _is_count(maps):
        split: Any = _part(_part(card, "data"), "maps").get("test")
        return f"{maps:,} maps" + (" of other sets" if _is_count(split) and split != maps else ""), ""
    rows = {name: group["rows"] for name, group in metrics.items() if _counts_rows(group)}
    total = rows.pop("all", 0)
    halves = sum(count for name, count in rows.items() if name.endswith("halves"))
    if not total:
        return "", ""
    answers = f" ({total:,} answers, {halves:,} of them from half maps)" if halves else ""
    return f"{total - halves:,} maps", answers


def _counts_rows(group: Any) -> bool:
    return isinstance(group, dict) and _is_count(group.get("rows"))


def card_facts(card: Mapping[str, Any], parents: Tuple[str, ...] = ()) -> List[Tuple[Tuple[str, ...], str]]:
    """Everything on a card for reading: the keys that lead to each entry, and its text.

    Long lists (curves, bins) are counted, not listed.
    """
    facts: List[Tuple[Tuple[str, ...], str]] = []
    for key, value in card.items():
        path = (*parents, str(key))
        if isinstance(value, dict):
            facts += card_facts(value, path)
        elif isinstance(value, list) and (len(value) > 8 or any(isinstance(v, (dict, list)) for v in value)):
            facts.append((path, f"{len(value)} values"))
        elif isinstance(value, list):
            facts.append((path, ", ".join(map(_text, value))))
        else:
            facts.append((path, _text(value)))
    return facts


def card_lines(card: Mapping[str, Any]) -> List[str]:
    """The facts of a card, one per line, indented below the keys that lead to them."""
    lines: List[str] = []
    before: Tuple[str, ...] = ()
    for path, text in card_facts(card):
        for depth, key in enumerate(path[:-1]):
            if path[: depth + 1] != before[: depth + 1]:
                lines.append(f"{'  ' * depth}{key}:")
        lines.append(f"{'  ' * (len(path) - 1)}{path[-1]}: {text}")
        before = path[:-1]
    return lines


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _part(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A dictionary of the card, empty where it has none."""
    value = card.get(name)
    return value if isinstance(value, dict) else {}


def _gives(card: Mapping[str, Any]) -> str:
    origin = "A network of the paper. " if _is_paper(card) else ""
    if card.get("kind") == "local":
        labels = (card.get("training") or {}).get("labels") or (card.get("data") or {}).get("labels")
        return f"{origin}Gives every voxel a resolution (Å): {_LABELS.get(str(labels), 'as its labels say')}."
    return f"{origin}Tells maps of high (< 5 Å), medium (5 to 10 Å) and low (> 10 Å) resolution apart."


def _is_paper(card: Mapping[str, Any]) -> bool:
    return card.get("mode") == "paper" or str((card.get("network") or {}).get("name", "")).startswith("paper")


def _learned(card: Mapping[str, Any]) -> List[str]:
    data = _part(card, "data")
    own = "of its own sets " if tested_maps(card)[0].endswith("of other sets") else ""
    for key, what in (("maps", "maps"), ("examples", "examples")):
        counts = data.get(key)
        if isinstance(counts, dict) and _is_count(counts.get("train")):
            others = [
                f"{counts[name]:,} {words}"
                for name, words in (
                    ("validation", "to stop by"),
                    ("test", own + "kept apart for testing"),
                )
                if _is_count(counts.get(name))
            ]
            return [
                f"Learned from {counts['train']:,} {what}" + (f"; {', '.join(others)}." if others else ".")
            ]
    return []


def _local(metrics: Mapping[str, Any]) -> List[str]:
    """Rows of a local network: flat keys such as ``single_mae_A``; equal rows are one."""
    rows: Dict[str, str] = {}
    for start, words in _INPUTS.items():
        row = _row(
            (metrics.get(start + "_mae_A"), "mean error {:.2f} Å"),
            (metrics.get(start + "_rho"), "rank correlation {:.2f}"),
            (_percent(metrics.get(start + "_within1")), "within one class {:.0f} %"),
        )
        if row and row not in rows.values():
            rows[words] = row
    return [f"{words}: {row}" for words, row in rows.items()]


def _global(metrics: Mapping[str, Any], paper: bool) -> List[str]:
    """Rows of a global network: a dictionary per group of maps."""
    names = {**_GROUPS, "test": "noiseless maps, as in the paper"} if paper else _GROUPS
    rows = []
    for key, group in metrics.items():
        if not isinstance(group, dict) or key in ("validation", "full_network"):
            continue
        count = next(
            (group[name] for name in ("rows", "accuracy_n", "maps") if _is_count(group.get(name))), None
        )
        row = _row(
            (_percent(group.get("accuracy")), "{:.1f} % of the classes right"),
            (_percent(group.get("median_relative_error")), "typical error of the resolution {:.0f} %"),
            (_percent(group.get("coverage68")), "68 % interval holds the truth for {:.0f} %"),
        )
        if row:
            rows.append(f"{names.get(key, key)}{f' ({count:,})' if count else ''}: {row}")
    return rows


def _row(*measures: Any) -> str:
    return ", ".join(form.format(value) for value, form in measures if _is_number(value))


def _percent(value: Any) -> float | None:
    return 100 * value if _is_number(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _is_count(value: Any) -> bool:
    """Whether a card's entry is a number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
