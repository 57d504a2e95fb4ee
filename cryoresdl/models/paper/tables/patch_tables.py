"""Tables 6 and 7: local resolution on patches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

from ...base import progress
from ...base.errors import InputError
from ...evaluation.class_measures import MeasureTable, write_measures
from ...evaluation.patch_measures import PatchSet, baselines, patch_metrics, predict_patches
from ...networks import paper_networks
from ...networks.model_files import model_archive, model_store
from ...results.figures import drawing
from . import printed_results
from .context import LOCAL_MODELS, Context
from .table_pictures import _text, table_figure

LEARNED, LEFT_OUT = ("train", "validation"), ("test",)
"""Splits of whole maps: of the first the recipes learn some patches, of the second none."""


def table6(out: Path, context: Context) -> List[Path]:
    """MonoRes and ResMap U-Nets on both evaluation sets: the paper's metric, honest ones, baselines.

    The paper's split takes patches of the maps that were learned from. Where the data set knows which maps the recipes
    leave out, patches of those follow.
    """
    from ...datasets.map_set_file import DatasetFile

    models = _unets(context)
    rows: MeasureTable = []
    for labels in LOCAL_MODELS:
        with DatasetFile(_patch_file(labels, out, context)) as data:
            known = any(one.get("split") in LEFT_OUT for one in data.sources())
            parts = {labels: PatchSet.of(data, map_splits=LEARNED if known else None)}
            if known:
                parts[f"{labels}, maps left out"] = PatchSet.of(data, map_splits=LEFT_OUT)
        for name, sets in parts.items():
            rows += _table6_rows(name, labels, sets, models)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    figure = table_figure(columns, [[_text(row.get(c)) for c in columns] for row in rows], "Table 6")
    return [write_measures(out / "table6.csv", rows), drawing.save_figure(figure, out / "table6.png")]


def _unets(context: Context) -> Dict[str, model_archive.Model]:
    """The U-Nets at hand, by the labels that they learned."""
    found = {}
    for column in LOCAL_MODELS:
        try:
            found[column] = model_store.load_named(context.model(column))
        except InputError as error:
            if column in context.models:
                raise
            progress.note(f"{error} Its cells are left out.")
    return found


def _table6_rows(
    name: str, labels: str, sets: PatchSet, models: Dict[str, model_archive.Model]
) -> MeasureTable:
    rows: MeasureTable = []
    for column, model in models.items():
        row: Dict[str, Any] = {"evaluation_set": name, "model": column}
        row["paper_accuracy_%"] = printed_results.TABLE6[labels, column] if name == labels else None
        rows.append({**row, **patch_metrics(predict_patches(model, sets.maps), sets)})
    for baseline, predicted in baselines(sets).items():
        rows.append({"evaluation_set": name, "model": baseline, **patch_metrics(predicted, sets)})
    return rows


def _patch_file(labels: str, out: Path, context: Context) -> str:
    """The paper-mode patches with these labels: given, or made from the shared maps."""
    from ...datasets import input_lists, patch_set

    if labels in context.patches:
        return context.patches[labels]
    target = out / f"patches_{labels}.h5"
    folder = context.folder("local_resolution")
    if not target.exists():
        if folder is None:
            raise InputError(
                f"Give --{labels} FILE.h5, made by 'cryoresdl dataset local --paper --labels {labels}'."
            )
        triples = input_lists.shared_layout(folder, labels)
        recipe = patch_set.PatchSetRecipe("paper", labels, paper_networks.PATCH_SIDE, context.seed)
        patch_set.build_patch_set(triples, target, recipe, resume=True)
    return str(target)


def table7(out: Path, context: Context) -> List[Path]:
    """Patch counts of training, validation and evaluation: the paper's and those of our data sets."""
    from ...datasets.map_set_file import DatasetFile

    names = ("training", "validation", "evaluation")
    rows: MeasureTable = []
    for labels, printed in printed_results.TABLE7.items():
        rows.append(
            {"set": f"paper {labels}", **dict(zip(names, printed)), "total": sum(printed), "maps": ""}
        )
    for labels in printed_results.TABLE7:
        try:
            path = _patch_file(labels, out, context)
        except InputError as error:
            progress.note(str(error))
            continue
        with DatasetFile(path) as data:
            counts = tuple(len(data.rows(split)) for split in ("train", "validation", "test"))
            rows.append(
                {
                    "set": f"ours {labels}",
                    **dict(zip(names, counts)),
                    "total": sum(counts),
                    "maps": len(data.sources()),
                }
            )
    for row in rows:
        row.update({f"{name} %": round(100 * row[name] / row["total"], 2) for name in names})
    columns = list(rows[0])
    figure = table_figure(columns, [[_text(row[c]) for c in columns] for row in rows], "Table 7: patches")
    return [write_measures(out / "table7.csv", rows), drawing.save_figure(figure, out / "table7.png")]
