"""The paper's tables and figures with our models, side by side with the numbers it printed.

Each function ``tableN`` / ``figN`` takes an output folder and a :class:`Context`, writes ``NAME.csv`` and
``NAME.png`` there (sometimes more) and returns the paths. What a user lacks (a network connection, the
project's shared data, a model) costs the rows that need it and a sentence that says so, not the rest.
"""

from __future__ import annotations

import csv
import functools
import io
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from . import constants, evaluation, maps, model_file, networks, plots, progress, resolution, training
from . import paper_results as paper
from .errors import InputError
from .files import atomic_path, shown

EMDB_URL = "https://files.wwpdb.org/pub/emdb/structures/EMD-{id}/map/emd_{id}.map.gz"
GLOBAL_MODELS = {"DNN": "paper-dnn", "CNN": "paper-cnn", "default": constants.DEFAULT_GLOBAL_MODEL}
"""Column of our results -> the shipped model that fills it."""
LOCAL_MODELS = {"monores": "paper-unet-monores", "resmap": "paper-unet-resmap"}
MEASURES = ("sensitivity", "specificity", "PPV", "NPV")
CLASS_CENTRES_A = np.array([1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5, 11.0])
"""Angstroms that stand for the ten local classes where an error in A is wanted."""

Table = List[Dict[str, Any]]


@dataclass
class Context:
    """Where things are; every field has a default that works with what is shipped."""

    shared: Path | None = None
    structures: Path | None = None
    maps: Path | None = None
    models: Dict[str, str] = field(default_factory=dict)
    patches: Dict[str, str] = field(default_factory=dict)
    history: str | None = None
    matrices: Sequence[str] = ()
    download: bool = False
    seed: int = 0

    def model(self, column: str) -> str:
        """Name or file of the model that fills a column."""
        return self.models.get(column, {**GLOBAL_MODELS, **LOCAL_MODELS}[column])

    def folder(self, name: str) -> Path | None:
        """A folder inside the shared data, when there."""
        place = self.shared / name if self.shared else None
        return place if place is not None and place.is_dir() else None


def table1(out: Path, context: Context) -> List[Path]:
    """28 proteins never trained on, one per 0.5 A step: classes, boundaries, outliers."""
    entries = unseen_proteins(context, len(paper.TABLE1))
    rows: Table = []
    predictors = _global_predictors(context)
    for (value, printed), (name, atoms) in zip(sorted(paper.TABLE1.items()), entries):
        density = _simulate(atoms, value)
        row = {"resolution_A": value, "protein": name, "ideal": resolution.global_class(value)}
        row.update({"paper DNN": printed[0], "paper CNN": printed[1]})
        for column, predict in predictors.items():
            row.update(_prefixed(column, predict(density)))
        rows.append(row)
        progress.note(f"{value:4.1f} A  {name}")
    columns = ["paper DNN", "paper CNN", *[f"our {column}" for column in predictors]]
    summary = [{"classifier": column, **boundaries(rows, column)} for column in columns]
    figure = class_strips([row["resolution_A"] for row in rows], ["ideal", *columns], rows)
    return [
        write_csv(out / "table1.csv", rows),
        write_csv(out / "table1_boundaries.csv", summary),
        plots.save(figure, out / "table1.png"),
    ]


def unseen_proteins(context: Context, count: int) -> List[Tuple[str, Any]]:
    """(name, centred atoms) of test-split proteins that fit the paper's box, drawn without repetition.

    Raises:
        InputError: no folder of structures with a manifest, or fewer than ``count`` that fit.
    """
    from . import datasets, simulation, structures

    folder = context.structures or context.folder("structures")
    if folder is None:
        raise InputError(
            "Table 1 needs structures never trained on; give --structures DIR (with a manifest.csv)."
        )
    entries = [entry for entry in datasets.find_structures(folder) if entry.split == "test"]
    order = np.random.default_rng([context.seed, 28]).permutation(len(entries))
    found: List[Tuple[str, Any]] = []
    for number in order:
        entry = entries[int(number)]
        try:
            atoms = structures.center(structures.longest_chain(structures.read_structure(entry.path)))
        except InputError:
            continue
        low, high = datasets.PAPER_KDA
        if not low <= structures.molecular_weight_kda(atoms) <= high:
            continue
        if simulation.fit(atoms.xyz, atoms.z_number.astype(float), 15.0, networks.MAP_SIDE, 1.0).fits:
            found.append((entry.name, atoms))
        if len(found) == count:
            return found
    raise InputError(
        f"{shown(folder)} has {len(found)} test structures that fit the box; {count} are needed."
    )


def _simulate(atoms: Any, value: float) -> maps.DensityMap:
    from . import simulation

    return maps.DensityMap(simulation.pdb2mrc(atoms, value, networks.MAP_SIDE, 1.0), 1.0)


def boundaries(rows: Table, column: str) -> Dict[str, Any]:
    """Where a classifier changes its answer along the resolution, and how many rows do not follow.

    A boundary is the resolution, half a step between rows, that leaves the fewest rows on the wrong side.
    """
    values = np.array([row["resolution_A"] for row in rows])
    codes = np.array([constants.GLOBAL_CLASSES.index(row[column]) for row in rows])
    ideal = np.array([constants.GLOBAL_CLASSES.index(row["ideal"]) for row in rows])
    steps = np.concatenate([[values[0] - 0.25], (values[1:] + values[:-1]) / 2, [values[-1] + 0.25]])
    wrong = {
        (first, second): int(np.sum(codes != (values > first).astype(int) + (values > second)))
        for first in steps
        for second in steps
        if first <= second
    }
    least = min(wrong.values())
    first, second = min(
        (pair for pair, count in wrong.items() if count == least),
        key=lambda pair: abs(pair[0] - 4.75) + abs(pair[1] - 10.25),
    )
    return {
        "high_to_medium_A": float(first),
        "medium_to_low_A": float(second),
        "outliers": least,
        "as_ideal": int(np.sum(codes == ideal)),
        "n": len(rows),
    }


def class_strips(values: Sequence[float], columns: Sequence[str], rows: Table) -> Any:
    """A strip of class colours along the resolution for every classifier."""
    from matplotlib.figure import Figure

    colors = plots.global_colors()
    figure: Any = Figure(figsize=(8.5, 0.5 * len(columns) + 1.6), layout="constrained")
    ax = figure.subplots()
    for line, column in enumerate(columns):
        for value, row in zip(values, rows):
            if row.get(column) in colors:
                ax.barh(
                    line, 0.5, left=value - 0.25, height=0.8, color=colors[row[column]], edgecolor="white"
                )
    for edge in constants.GLOBAL_EDGES_A:
        ax.axvline(edge, color="black", linewidth=1, linestyle="--")
    ax.set_yticks(range(len(columns)), columns)
    ax.invert_yaxis()
    ax.set_xlabel("simulated resolution (Å); dashed: ideal boundaries")
    ax.set_title("Table 1: proteins never trained on")
    ax.legend(
        handles=[_patch(colors[name], name) for name in constants.GLOBAL_CLASSES],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
    )
    return figure


def _patch(color: str, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(color=color, label=label)


def table2(out: Path, context: Context) -> List[Path]:
    """The thirty EMDB maps of the paper, and the real maps at hand, with our classes."""
    predictors = _global_predictors(context)
    thirty = emdb_rows(out, context, predictors)
    written = [write_csv(out / "table2.csv", thirty)]
    rows = real_map_rows(context, predictors)
    if rows:
        written.append(write_csv(out / "table2_real_maps.csv", rows))
    columns = ["claimed_A", "published", "paper DNN", "paper CNN", *[f"our {name}" for name in predictors]]
    cells = [[f"EMD-{row['emdb']}", *[_text(row.get(name)) for name in columns]] for row in thirty]
    cells += [[row["map"], *[_text(row.get(name)) for name in columns]] for row in rows]
    figure = table_figure(["map", *columns], cells, "Table 2: experimental maps")
    return [*written, plots.save(figure, out / "table2.png")]


def emdb_rows(out: Path, context: Context, predictors: Dict[str, Callable[..., Dict[str, Any]]]) -> Table:
    """Table 2 with our columns where the map is at hand or can be downloaded."""
    rows: Table = []
    there = context.download
    missing = 0
    for number, (claimed, dnn, cnn) in paper.TABLE2.items():
        row = {"emdb": number, "claimed_A": claimed, "published": resolution.global_class(claimed)}
        row.update({"paper DNN": dnn, "paper CNN": cnn})
        path = _emdb_file(number, context)
        if path is None and there:
            try:
                path = download_map(number, out / "emdb")
            except InputError as error:
                progress.note(str(error))
                there = False
        if path is not None:
            row.update(_classified(path, None, predictors))
        missing += path is None
        rows.append(row)
    if missing:
        progress.note(
            f"{missing} of the {len(rows)} EMDB maps are not at hand: only the paper's columns are filled; "
            "give --maps DIR with emd_ID.map.gz files, or --download on a machine with a network."
        )
    return rows


def _emdb_file(number: str, context: Context) -> Path | None:
    if context.maps is None:
        return None
    names = (f"emd_{number}.map.gz", f"emd_{number}.map", f"emd_{number}.mrc.gz", f"emd_{number}.mrc")
    return next((context.maps / name for name in names if (context.maps / name).is_file()), None)


def download_map(number: str, folder: Path, url: str = EMDB_URL, timeout_s: float = 20.0) -> Path:
    """Fetch one EMDB map; what is there already stays.

    Raises:
        InputError: no network, or the server has no such map.
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"emd_{number}.map.gz"
    if target.exists():
        return target
    address = url.format(id=number)
    try:
        with urllib.request.urlopen(address, timeout=timeout_s) as answer, atomic_path(target) as temporary:
            with open(temporary, "wb") as stream:
                while block := answer.read(1 << 20):
                    stream.write(block)
    except (urllib.error.URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"Cannot download EMD-{number} ({reason}); get it where there is a network and give --maps DIR."
        ) from error
    return target


def real_map_rows(context: Context, predictors: Dict[str, Callable[..., Dict[str, Any]]]) -> Table:
    """Real maps with a known class in ``maps/index.csv`` of the shared data, with our classes."""
    folder = context.folder("maps")
    if folder is None:
        progress.note("The project's real maps are not at hand (--shared DIR or CRYORESDL_SHARED).")
        return []
    rows: Table = []
    with open(folder / "index.csv", encoding="utf-8", newline="") as stream:
        for entry in csv.DictReader(stream):
            if entry["class"]:
                row = {"map": entry["file"], "claimed_A": entry["claimed_A"], "published": entry["class"]}
                row.update(_classified(folder / entry["file"], None, predictors))
                rows.append(row)
    return rows


def _classified(path: Path, voxel_size: float | None, predictors: Dict[str, Any]) -> Dict[str, Any]:
    try:
        density = maps.read(path, voxel_size)
        found: Dict[str, Any] = {}
        for column, predict in predictors.items():
            found.update(_prefixed(column, predict(density)))
        return found
    except InputError as error:
        return {"note": str(error)}


def _prefixed(column: str, entry: Dict[str, Any]) -> Dict[str, Any]:
    found = {f"our {column}": entry["class"]}
    if entry.get("resolution_A") is not None:
        found[f"our {column} estimate_A"] = round(float(entry["resolution_A"]), 2)
    return found


def _global_predictors(context: Context) -> Dict[str, Callable[[maps.DensityMap], Dict[str, Any]]]:
    """Column -> function from a map to an entry of ``classification.json``; models that lack are left out.

    Raises:
        InputError: no model at all.
    """
    found: Dict[str, Callable[[maps.DensityMap], Dict[str, Any]]] = {}
    for column in GLOBAL_MODELS:
        name = context.model(column)
        try:
            model_file.resolve(name)
        except InputError:
            if column in context.models:
                raise
            progress.note(f"The model {name} is not shipped with this version: its column is left out.")
            continue
        found[column] = functools.partial(_classify_with, name)
    if not found:
        raise InputError("There is no global model at hand; train one or give --dnn, --cnn or --default.")
    return found


def _classify_with(name: str, density: maps.DensityMap) -> Dict[str, Any]:
    from . import inference

    return inference.classify(density, model=name)


def table3(out: Path, context: Context) -> List[Path]:
    """Confusion matrix of the DNN: the paper's, and ours on the real maps at hand."""
    return _confusion_table(out, context, "table3", "DNN", paper.TABLE3)


def table4(out: Path, context: Context) -> List[Path]:
    """Confusion matrix of the 3D CNN: the paper's, and ours on the real maps at hand."""
    return _confusion_table(out, context, "table4", "CNN", paper.TABLE4)


def _confusion_table(out: Path, context: Context, name: str, column: str, printed: Any) -> List[Path]:
    matrices = {f"paper {column}": np.array(printed), **our_confusions(out, context, [column, "default"])}
    rows = [
        {"classifier": label, "published": constants.GLOBAL_CLASSES[index], **_counts(line)}
        for label, matrix in matrices.items()
        for index, line in enumerate(matrix)
    ]
    figure = matrices_figure(
        matrices, f"{name.replace('table', 'Table ')}: published against predicted class"
    )
    return [write_csv(out / f"{name}.csv", rows), plots.save(figure, out / f"{name}.png")]


def _counts(line: Iterable[int]) -> Dict[str, int]:
    return {f"predicted {name}": int(value) for name, value in zip(constants.GLOBAL_CLASSES, line)}


def our_confusions(out: Path, context: Context, columns: Sequence[str]) -> Dict[str, np.ndarray]:
    """Confusion matrices of our models over the EMDB and real maps at hand."""
    predictors = {k: v for k, v in _global_predictors(context).items() if k in columns}
    rows = emdb_rows(out, context, predictors) + real_map_rows(context, predictors)
    found = {}
    for column in predictors:
        matrix = np.zeros((3, 3), int)
        for row in rows:
            if f"our {column}" in row:
                matrix[_code(row["published"]), _code(row[f"our {column}"])] += 1
        if matrix.sum():
            found[f"our {column}"] = matrix
    return found


def _code(name: str) -> int:
    return constants.GLOBAL_CLASSES.index(name)


def table5(out: Path, context: Context) -> List[Path]:
    """Sensitivity, specificity, PPV, NPV: printed, recomputed from Tables 3, 4, of our or given matrices."""
    matrices = {"DNN": np.array(paper.TABLE3), "CNN": np.array(paper.TABLE4)}
    rows: Table = []
    for label, matrix in matrices.items():
        for index, name in enumerate(constants.GLOBAL_CLASSES):
            printed = dict(zip((f"printed {m} %" for m in MEASURES), paper.TABLE5[label][index]))
            rows.append(
                {"classifier": f"paper {label}", "class": name, **one_vs_rest(matrix, name), **printed}
            )
    others = {Path(path).stem: read_matrix(path) for path in context.matrices}
    if not others:
        try:
            others = our_confusions(out, context, list(GLOBAL_MODELS))
        except InputError as error:
            progress.note(str(error))
    for label, matrix in others.items():
        for name in constants.GLOBAL_CLASSES if len(matrix) == 3 else constants.LOCAL_CLASSES:
            rows.append({"classifier": label, "class": name, **one_vs_rest(matrix, name)})
    columns = ["classifier", "class", *[f"{m} %" for m in MEASURES], *[f"printed {m} %" for m in MEASURES]]
    figure = table_figure(columns, [[_text(row.get(c)) for c in columns] for row in rows], "Table 5")
    return [write_csv(out / "table5.csv", rows), plots.save(figure, out / "table5.png")]


def one_vs_rest(matrix: np.ndarray, name: str) -> Dict[str, float | None]:
    """The four measures of one class in per cent; None where there is nothing to divide by."""
    names = constants.GLOBAL_CLASSES if len(matrix) == 3 else constants.LOCAL_CLASSES
    found = evaluation.one_vs_rest(matrix, names)[name]
    values = {measure: found[measure.lower()] for measure in MEASURES}
    return {f"{key} %": None if value is None else round(100 * value, 2) for key, value in values.items()}


def read_matrix(path: str) -> np.ndarray:
    """A square confusion matrix from a CSV file (numbers only, or a header line and a first column of names).

    Raises:
        InputError: not such a table.
    """
    try:
        with open(path, encoding="utf-8", newline="") as stream:
            lines = [line for line in csv.reader(stream) if line]
        if not _numeric(lines[0][-1]):
            lines = lines[1:]
        size = len(lines)
        matrix = np.array([[float(value) for value in line[-size:]] for line in lines])
        good = (
            matrix.shape == (size, size)
            and size in (3, 10)
            and np.isfinite(matrix).all()
            and (matrix >= 0).all()
        )
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"Cannot read a confusion matrix from {shown(path)} ({error}).") from error
    if not good:
        raise InputError(f"{shown(path)} is not a 3 x 3 or 10 x 10 table of counts.")
    return matrix


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def table6(out: Path, context: Context) -> List[Path]:
    """MonoRes and ResMap U-Nets on both evaluation sets: the paper's metric, honest ones, baselines."""
    from .dataset_store import DatasetFile

    rows: Table = []
    for labels in LOCAL_MODELS:
        with DatasetFile(_patch_file(labels, out, context)) as data:
            sets = PatchSet.of(data)
        for source, column in [(name, name) for name in LOCAL_MODELS]:
            try:
                model = model_file.load(context.model(column))
            except InputError as error:
                if column in context.models:
                    raise
                progress.note(f"{error} Its cells are left out.")
                continue
            predicted = predict_patches(model, sets.maps)
            row = {
                "evaluation_set": labels,
                "model": source,
                "paper_accuracy_%": paper.TABLE6[labels, source],
            }
            rows.append({**row, **local_metrics(predicted, sets)})
        for name, predicted in baselines(sets).items():
            rows.append({"evaluation_set": labels, "model": name, **local_metrics(predicted, sets)})
    columns = list(dict.fromkeys(key for row in rows for key in row))
    figure = table_figure(columns, [[_text(row.get(c)) for c in columns] for row in rows], "Table 6")
    return [write_csv(out / "table6.csv", rows), plots.save(figure, out / "table6.png")]


@dataclass
class PatchSet:
    """Evaluation patches of a paper-mode data set, and what the baselines learn from its training patches.

    ``values`` are the labels in A (0: not estimated), ``masks`` bool, ``source`` numbers each patch's map.
    """

    maps: np.ndarray
    labels: np.ndarray
    values: np.ndarray
    masks: np.ndarray
    source: np.ndarray
    majority: int
    medians: Dict[int, float]

    @classmethod
    def of(cls, data: Any, split: str = "test") -> PatchSet:
        """Read one split; majority class and each map's median come from its training patches."""
        rows, train = data.rows(split), data.rows("train")
        if not len(rows) or not len(train):
            raise InputError(f"{shown(data.path)} lacks {split} or training patches.")
        source = data.column("source")
        values, labels = data.read("values", train), data.read("labels", train)
        medians = {
            int(number): float(np.median(found))
            if (found := _inside(values[source[train] == number])).size
            else 0.0
            for number in np.unique(source[rows])
        }
        counts = np.bincount(labels[labels >= 0].ravel().astype(int), minlength=len(constants.LOCAL_CLASSES))
        return cls(
            data.read("maps", rows).astype(np.float32),
            data.read("labels", rows),
            data.read("values", rows),
            data.read("masks", rows).astype(bool),
            source[rows],
            int(counts.argmax()),
            medians,
        )


def _inside(values: np.ndarray) -> np.ndarray:
    return values[resolution.estimated(values)]


def predict_patches(model: model_file.Model, patches: np.ndarray, batch: int = 64) -> np.ndarray:
    """Classes (n, z, y, x) int8 that a paper U-Net gives to prepared patches."""
    network = model.card["network"]
    if network["name"] != networks.UNET:
        raise InputError(f"The model {model.name} is not a U-Net of the paper; Table 6 compares those.")
    predict = networks.classifier(model)
    parts = [
        predict(patches[n : n + batch]).argmax(-1).astype(np.int8) for n in range(0, len(patches), batch)
    ]
    return np.concatenate(parts)


def baselines(sets: PatchSet) -> Dict[str, np.ndarray]:
    """Predictions that need no network: the commonest class, and each map's median resolution in its mask."""
    majority = np.full(sets.labels.shape, sets.majority, np.int8)
    constant = np.zeros(sets.labels.shape, np.int8)
    for number, median in sets.medians.items():
        chosen = sets.source == number
        code = max(int(resolution.class_of(np.array([median]))[0]), 0)
        # The paper's background is class 0, and a map scaled and masked to 0 shows where it is.
        constant[chosen] = np.where(sets.maps[chosen] > 0, code, 0)
    return {"majority class": majority, "one resolution per map": constant}


def local_metrics(predicted: np.ndarray, sets: PatchSet) -> Dict[str, Any]:
    """The paper's metric (every voxel counts, background is class 0) and honest ones inside the mask.

    Angstroms of a predicted class are its centre; the means over maps have a 95 % bootstrap interval.
    """
    counted = sets.labels >= 0
    inside = sets.masks & resolution.estimated(sets.values)
    said = CLASS_CENTRES_A[np.clip(predicted, 0, 9)]
    pooled = evaluation.agreement(sets.values[inside], said[inside])
    per_map = [
        evaluation.agreement(sets.values[chosen][inside[chosen]], said[chosen][inside[chosen]])
        for chosen in (sets.source == number for number in np.unique(sets.source))
    ]
    exact = evaluation.mean_over_maps([row["exact_class"] for row in per_map])
    error = evaluation.mean_over_maps([row["mae_A"] for row in per_map])
    return {
        "accuracy_all_voxels_%": _percent(float((predicted == sets.labels)[counted].mean())),
        "in_mask_accuracy_%": _percent(pooled["exact_class"]),
        "within_one_class_%": _percent(pooled["within_one_class"]),
        "MAE_A": _round(pooled["mae_A"]),
        "spearman": _round(pooled["spearman"]),
        "per_map_accuracy_%": _percent(exact["mean"]),
        "per_map_95%": ""
        if exact["interval"] is None
        else "-".join(f"{100 * v:.1f}" for v in exact["interval"]),
        "per_map_MAE_A": _round(error["mean"]),
        "maps": exact["maps"],
        "voxels_in_mask": pooled["n_voxels"],
    }


def _percent(value: float | None) -> float | None:
    return None if value is None else round(100 * value, 2)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _patch_file(labels: str, out: Path, context: Context) -> str:
    """The paper-mode patches with these labels: given, or made from the shared maps."""
    from . import datasets

    if labels in context.patches:
        return context.patches[labels]
    target = out / f"patches_{labels}.h5"
    folder = context.folder("local_resolution")
    if not target.exists():
        if folder is None:
            raise InputError(
                f"Give --{labels} FILE.h5, made by 'cryoresdl dataset local --paper --labels {labels}'."
            )
        triples = datasets.shared_layout(folder, labels)
        recipe = datasets.LocalRecipe("paper", labels, networks.PATCH_SIDE, context.seed)
        datasets.build_local(triples, target, recipe, resume=True)
    return str(target)


def table7(out: Path, context: Context) -> List[Path]:
    """Patch counts of training, validation and evaluation: the paper's and those of our data sets."""
    from .dataset_store import DatasetFile

    names = ("training", "validation", "evaluation")
    rows: Table = []
    for labels, printed in paper.TABLE7.items():
        rows.append(
            {"set": f"paper {labels}", **dict(zip(names, printed)), "total": sum(printed), "maps": ""}
        )
    for labels in paper.TABLE7:
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
    return [write_csv(out / "table7.csv", rows), plots.save(figure, out / "table7.png")]


def _figure(name: str, column: str, title: str) -> Callable[[Path, Context], List[Path]]:
    def draw(out: Path, context: Context) -> List[Path]:
        history = _history(column, context)
        printed = paper.CURVES[name]
        rows = [{key: history[key][n] for key in history} for n in range(len(history["epoch"]))]
        figure = curves_figure(history, printed, title)
        summary = [
            {"": "paper, end", **printed},
            {
                "": "ours, lowest validation loss",
                "val_accuracy": history["val_accuracy"][int(np.argmin(history["val_loss"]))],
                "val_loss": min(history["val_loss"]),
                "epochs": len(rows),
            },
        ]
        return [
            write_csv(out / f"{name}.csv", rows),
            write_csv(out / f"{name}_summary.csv", summary),
            plots.save(figure, out / f"{name}.png"),
        ]

    draw.__doc__ = f"{title}: our history with the paper's end values."
    return draw


def _history(column: str, context: Context) -> Dict[str, List[float]]:
    if context.history:
        path = Path(context.history)
        return training.read_history(path / training.HISTORY if path.is_dir() else path)
    name = context.model(column)
    card = model_file.read_card(name)
    history = card.get("history")
    if not isinstance(history, dict) or not set(training.COLUMNS) <= set(history) or not history["epoch"]:
        raise InputError(
            f"The card of {name} holds no training history; give --history DIR of a training run."
        )
    return {key: [float(value) for value in history[key]] for key in training.COLUMNS}


def curves_figure(history: Dict[str, List[float]], printed: Dict[str, float], title: str) -> Any:
    """Validation accuracy and loss against the epoch, with where the paper's curves end."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(9, 3.6), layout="constrained")
    for ax, name, label in zip(
        figure.subplots(1, 2), ("accuracy", "loss"), ("accuracy", "loss (cross-entropy)")
    ):
        ax.plot(history["epoch"], history[name], color="#0072B2", alpha=0.6, label="training")
        ax.plot(history["epoch"], history[f"val_{name}"], color="#E69F00", label="validation")
        ax.axhline(
            printed[f"val_{name}"],
            color="black",
            linestyle="--",
            linewidth=1,
            label="paper, end of validation curve",
        )
        ax.set_xlabel(f"epoch (paper: {printed['epochs']:g})")
        ax.set_ylabel(label)
        ax.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.suptitle(title)
    return figure


fig2 = _figure("fig2", "DNN", "Figure 2: DNN")
fig3 = _figure("fig3", "CNN", "Figure 3: 3D CNN")
fig4 = _figure("fig4", "monores", "Figure 4: U-Net on MonoRes labels")
fig5 = _figure("fig5", "resmap", "Figure 5: U-Net on ResMap labels")

ALL = {
    function[0]: function[1]
    for function in (
        ("table1", table1),
        ("table2", table2),
        ("table3", table3),
        ("table4", table4),
        ("table5", table5),
        ("table6", table6),
        ("table7", table7),
        ("fig2", fig2),
        ("fig3", fig3),
        ("fig4", fig4),
        ("fig5", fig5),
    )
}
"""What ``cryoresdl reproduce`` can make."""


def write_csv(path: Path, rows: Table) -> Path:
    """Write rows as CSV, whole; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: "" if value is None else value for key, value in row.items()} for row in rows])
    with atomic_path(path) as temporary:
        temporary.write_text(text.getvalue(), encoding="utf-8")
    return path


def table_figure(columns: Sequence[str], cells: Sequence[Sequence[str]], title: str) -> Any:
    """A table as a picture; columns as wide as their text."""
    from matplotlib.figure import Figure

    widths = [max(len(str(name)), *(len(row[n]) for row in cells), 3) for n, name in enumerate(columns)]
    figure: Any = Figure(
        figsize=(max(6.0, 0.085 * sum(widths) + 0.2 * len(widths)), 0.24 * (len(cells) + 1) + 0.7)
    )
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.93))
    ax.axis("off")
    share = [width / sum(widths) for width in widths]
    drawn = ax.table(
        [list(row) for row in cells], colLabels=list(columns), colWidths=share, loc="upper center"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    for (row, _), cell in drawn.get_celld().items():
        cell.set_edgecolor("#cccccc")
        if row == 0:
            cell.set_text_props(weight="bold")
            cell.set_facecolor("#eeeeee")
    figure.suptitle(title, fontsize=11)
    return figure


def matrices_figure(matrices: Dict[str, np.ndarray], title: str) -> Any:
    """Confusion matrices side by side, counts written in."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(3.4 * len(matrices) + 0.4, 3.6), layout="constrained")
    axes = figure.subplots(1, len(matrices), squeeze=False)[0]
    for ax, (label, matrix) in zip(axes, matrices.items()):
        share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
        ax.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), value in np.ndenumerate(matrix):
            ink = "white" if share[row, column] > 0.55 else "black"
            ax.text(column, row, f"{value:g}", ha="center", va="center", color=ink)
        ax.set_xticks(range(len(matrix)), constants.GLOBAL_CLASSES)
        ax.set_yticks(range(len(matrix)), constants.GLOBAL_CLASSES)
        ax.set_xlabel("predicted")
        right = f"{100 * np.trace(matrix) / max(matrix.sum(), 1):.1f} % of {int(matrix.sum())}"
        ax.set_title(f"{label}: {right}", fontsize=9)
    axes[0].set_ylabel("published")
    figure.suptitle(title)
    return figure


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
