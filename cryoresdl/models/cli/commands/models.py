"""List the models that a name stands for, or show the card of one."""

from __future__ import annotations

import argparse
import json
from typing import Any, Mapping

from ...base.errors import InputError

HELP = "list the shipped and installed models with their cards"
EXAMPLE = "cryoresdl models truth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this command."""
    parser.add_argument("name", nargs="?", metavar="NAME|FILE", help="show this model's card")
    parser.add_argument(
        "--json", action="store_true", help="print JSON: all cards, or the whole card of NAME"
    )
    parser.add_argument(
        "--install", metavar="FILE", help="check a model file and keep it under its name, or NAME"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="with --install: replace a model of that name"
    )


def run(args: argparse.Namespace) -> None:
    """Print the list, or a card."""
    from ...networks.model_files import model_store

    if args.overwrite and not args.install:
        raise InputError("--overwrite belongs to --install; leave it out.")
    if args.install:
        path = model_store.install(args.install, args.name, args.overwrite)
        print(f"installed {path}")
        return
    if args.name:
        card = model_store.read_card(args.name)
        text = (
            json.dumps(card, indent=1, ensure_ascii=False) if args.json else describe_models(args.name, card)
        )
        print(text)
        return
    rows = [(one, model_store.read_card(one.path)) for one in model_store.available()]
    if args.json:
        cards = [
            {"name": one.name, "source": one.source, "path": one.path, "card": card} for one, card in rows
        ]
        print(json.dumps(cards, indent=1, ensure_ascii=False))
        return
    if not rows:
        print("There are no models; train one or install a file with --install.")
    for one, card in rows:
        print(f"{one.name:22s} {one.kind:7s} {one.source:10s} {card['network']['name']:18s} {headline(card)}")


def headline(card: Mapping[str, Any]) -> str:
    """The card's first figure of merit on data never trained on, in a few words."""
    from ...networks.model_files import model_card

    metrics = card.get("metrics") or {}
    test = metrics.get("test") or metrics.get("all") or metrics
    if not isinstance(test, dict):
        return ""
    for key, text in (
        ("accuracy", "accuracy {:.1%}"),
        ("single_mae_A", "MAE {:.2f} A"),
        ("mae_A", "MAE {:.2f} A"),
    ):
        if isinstance(test.get(key), (int, float)):
            count = test.get("accuracy_n")
            told = f"{count} test maps" if count else model_card.tested_maps(card)[0]
            return text.format(test[key]) + (f" ({told})" if told else " (test)")
    return ""


def describe_models(name: str, card: Mapping[str, Any]) -> str:
    """A card as indented text; long lists are summed up."""
    from ...networks.model_files import model_card, model_store

    path = model_store.resolve(name)
    lines = [f"file: {path} ({path.stat().st_size / 1e6:.1f} MB)", f"digest: {model_store.digest(path)}"]
    return "\n".join(lines + model_card.card_lines(card))
