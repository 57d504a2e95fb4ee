"""Tables 6 and 7: local resolution on patches."""

from __future__ import annotations

from pathlib import Path
from typing import List

from ...base import progress
from ...base.errors import InputError
from ...evaluation.class_measures import MeasureTable, write_measures
from ...evaluation.patch_measures import PatchSet, baselines, patch_metrics, predict_patches
from ...networks import paper_networks
from ...networks.model_files import model_store
from ...results.figures import drawing
from . import printed_results
from .context import LOCAL_MODELS, Context
from .table_pictures import _text, table_figure


def table6(out: Path, context: Context) -> List[Path]:
    """MonoRes and ResMap U-Nets on both evaluation sets: the paper's metric, honest ones, baselines."""
    from ...datasets.map_set_file import DatasetFile

    rows: MeasureTable = []
    for labels in LOCAL_MODELS:
        with DatasetFile(_patch_file(labels, out, context)) as data:
            sets = PatchSet.of(data)
        for source, column in [(name, name) for name in LOCAL_MODELS]:
            try:
                model = model_store.load_named(context.model(column))
            except InputError as error:
                if column in context.models:
                    raise
                progress.note(f"{error} Its cells are left out.")
                continue
            predicted = predict_patches(model, sets.maps)
            row = {
                "evaluation_set": labels,
                "model": source,
                "paper_accuracy_%": printed_results.TABLE6[labels, source],
            }
            rows.append({**row, **patch_metrics(predicted, sets)})
        for name, predicted in baselines(sets).items():
            rows.append({"evaluation_set": labels, "model": name, **patch_metrics(predicted, sets)})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    figure = table_figure(columns, [[_text(row.get(c)) for c in columns] for row in rows], "Table 6")
    return [write_measures(out / "table6.csv", rows), drawing.save_figure(figure, out / "table6.png")]


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
