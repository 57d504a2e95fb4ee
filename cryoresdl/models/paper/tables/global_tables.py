"""The paper's tables and figures with our models, side by side with the numbers it printed.

Each function ``tableN`` / ``figN`` takes an output folder and a :class:`.context.Context`, writes ``NAME.csv`` and
``NAME.png`` there (sometimes more) and returns the paths. What a user lacks (a network connection, the
project's shared data, a model) costs the rows that need it and a sentence that says so, not the rest.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, Dict, Iterable, List, Sequence, Tuple

import numpy as np

from ...base import progress, resolution_terms
from ...base.accuracy_measures import one_vs_rest, wilson
from ...base.errors import InputError
from ...base.runs.atomic_files import shown
from ...evaluation.class_measures import MEASURES, MeasureTable, one_vs_rest_rows, write_measures
from ...maps import density_map
from ...networks import paper_networks
from ...results.figures import drawing
from . import printed_results
from .context import GLOBAL_MODELS, Context
from .experimental_maps import _prefixed, emdb_rows, global_predictors, our, real_map_rows, with_baseline
from .table_pictures import _text, class_strips, matrices_figure, table_figure


def table1(out: Path, context: Context) -> List[Path]:
    """28 proteins never trained on, one per 0.5 A step: classes, boundaries, outliers."""
    entries = unseen_proteins(context, len(printed_results.TABLE1))
    rows: MeasureTable = []
    predictors = global_predictors(context)
    for (value, printed), (name, atoms) in zip(sorted(printed_results.TABLE1.items()), entries):
        density = _simulate(atoms, value)
        row = {"resolution_A": value, "protein": name, "ideal": resolution_terms.global_class(value)}
        row.update({"paper DNN": printed[0], "paper CNN": printed[1]})
        for column, predict in predictors.items():
            row.update(_prefixed(column, predict(density)))
        rows.append(row)
        progress.note(f"{value:4.1f} A  {name}")
    columns = ["paper DNN", "paper CNN", *[f"our {column}" for column in predictors]]
    summary = [{"classifier": column, **boundaries(rows, column)} for column in columns]
    figure = class_strips([row["resolution_A"] for row in rows], ["ideal", *columns], rows)
    return [
        write_measures(out / "table1.csv", rows),
        write_measures(out / "table1_boundaries.csv", summary),
        drawing.save_figure(figure, out / "table1.png"),
    ]


def unseen_proteins(
    context: Context, count: int, larger_than: float = 0.0, box: int = paper_networks.MAP_SIDE
) -> List[Tuple[str, Any]]:
    """(name, centred atoms) of test-split proteins that fit a box at 1 A/voxel, drawn without repetition.

    Args:
        context: knows the structures and the seed.
        count: of proteins.
        larger_than: A; the longest extent along an axis is at least this.
        box: edge in voxels.

    Raises:
        InputError: no folder of structures with a manifest, or fewer than ``count`` that fit.
    """
    from ...datasets import global_map_set, input_lists
    from ...simulation import atom_density
    from ...structures import structure_reader
    from ...structures.atoms import center, longest_chain, molecular_weight_kda

    folder = context.structures or context.folder("structures")
    if folder is None:
        raise InputError(
            "This needs structures never trained on; give --structures DIR (with a manifest.csv)."
        )
    entries = [entry for entry in input_lists.find_structures(folder) if entry.split == "test"]
    order = np.random.default_rng([context.seed, 28]).permutation(len(entries))
    found: List[Tuple[str, Any]] = []
    for number in order:
        entry = entries[int(number)]
        try:
            atoms = center(longest_chain(structure_reader.read_structure(entry.path)))
        except InputError:
            continue
        low, high = global_map_set.PAPER_KDA
        if not low <= molecular_weight_kda(atoms) <= high:
            continue
        if float(np.ptp(atoms.xyz, axis=0).max()) < larger_than:
            continue
        if atom_density.fit(atoms.xyz, atoms.z_number.astype(float), 15.0, box, 1.0).fits:
            found.append((entry.name, atoms))
        if len(found) == count:
            return found
    raise InputError(
        f"{shown(folder)} has {len(found)} test structures that fit the box; {count} are needed."
    )


def _simulate(atoms: Any, value: float) -> density_map.DensityMap:
    from ...simulation import atom_density

    return density_map.DensityMap(atom_density.pdb2mrc(atoms, value, paper_networks.MAP_SIDE, 1.0), 1.0)


def boundaries(rows: MeasureTable, column: str) -> Dict[str, Any]:
    """Where a classifier changes its answer along the resolution, and how many rows do not follow.

    A boundary is the resolution, half a step between rows, that leaves the fewest rows on the wrong side.
    """
    values = np.array([row["resolution_A"] for row in rows])
    codes = np.array([resolution_terms.GLOBAL_CLASSES.index(row[column]) for row in rows])
    ideal = np.array([resolution_terms.GLOBAL_CLASSES.index(row["ideal"]) for row in rows])
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


def table2(out: Path, context: Context) -> List[Path]:
    """The thirty EMDB maps of the paper, and the real maps at hand, with our classes and how many agree."""
    predictors = with_baseline(global_predictors(context))
    thirty = emdb_rows(context, predictors)
    written = [write_measures(out / "table2.csv", thirty)]
    rows = real_map_rows(context, predictors)
    if rows:
        written.append(write_measures(out / "table2_real_maps.csv", rows))
    said = ["paper DNN", "paper CNN", *[our(name) for name in predictors]]
    written.append(write_measures(out / "table2_agreement.csv", agreements(thirty + rows, said)))
    columns = ["claimed_A", "published", *said]
    cells = [[f"EMD-{row['emdb']}", *[_text(row.get(name)) for name in columns]] for row in thirty]
    cells += [[row["map"], *[_text(row.get(name)) for name in columns]] for row in rows]
    figure = table_figure(["map", *columns], cells, "Table 2: experimental maps")
    return [*written, drawing.save_figure(figure, out / "table2.png")]


def agreements(rows: MeasureTable, columns: Sequence[str]) -> MeasureTable:
    """Per classifier: of how many maps its class is the published one, with the 95 % interval (Wilson)."""
    found: MeasureTable = []
    for column in columns:
        told = [row for row in rows if row.get(column)]
        if told:
            right = sum(row[column] == row["published"] for row in told)
            entry: Dict[str, Any] = {"classifier": column, "right": right, "n": len(told)}
            found.append(
                {**entry, "agreement %": _share(right, len(told)), "95 %": _interval(right, len(told))}
            )
    return found


def _share(right: int, total: int) -> float | None:
    return round(100 * right / total, 1) if total else None


def _interval(right: int, total: int) -> str:
    return "-".join(f"{100 * limit:.0f}" for limit in wilson(right, total)) if total else ""


def table3(out: Path, context: Context) -> List[Path]:
    """Confusion matrix of the DNN: the paper's, and ours on the real maps at hand."""
    return _confusion_table(out, context, "table3", "DNN", printed_results.TABLE3)


def table4(out: Path, context: Context) -> List[Path]:
    """Confusion matrix of the 3D CNN: the paper's, and ours on the real maps at hand."""
    return _confusion_table(out, context, "table4", "CNN", printed_results.TABLE4)


def _confusion_table(out: Path, context: Context, name: str, column: str, printed: Any) -> List[Path]:
    matrices = {f"paper {column}": np.array(printed), **our_confusions(context, [column, "default"])}
    rows = [
        {"classifier": label, "published": resolution_terms.GLOBAL_CLASSES[index], **_counts(line)}
        for label, matrix in matrices.items()
        for index, line in enumerate(matrix)
    ]
    figure = matrices_figure(
        matrices, f"{name.replace('table', 'Table ')}: published against predicted class"
    )
    return [write_measures(out / f"{name}.csv", rows), drawing.save_figure(figure, out / f"{name}.png")]


def _counts(line: Iterable[int]) -> Dict[str, int]:
    return {f"predicted {name}": int(value) for name, value in zip(resolution_terms.GLOBAL_CLASSES, line)}


def our_confusions(context: Context, columns: Sequence[str]) -> Dict[str, np.ndarray]:
    """Confusion matrices of our models and of the baseline over the EMDB and real maps at hand."""
    predictors = with_baseline({k: v for k, v in global_predictors(context).items() if k in columns})
    rows = emdb_rows(context, predictors) + real_map_rows(context, predictors)
    found = {}
    for column in map(our, predictors):
        matrix = np.zeros((3, 3), int)
        for row in rows:
            if column in row:
                matrix[_code(row["published"]), _code(row[column])] += 1
        if matrix.sum():
            found[column] = matrix
    return found


def _code(name: str) -> int:
    return resolution_terms.GLOBAL_CLASSES.index(name)


def table5(out: Path, context: Context) -> List[Path]:
    """Sensitivity, specificity, PPV, NPV: printed, recomputed from Tables 3, 4, of our or given matrices."""
    matrices = {"DNN": np.array(printed_results.TABLE3), "CNN": np.array(printed_results.TABLE4)}
    rows: MeasureTable = []
    for label, matrix in matrices.items():
        for index, name in enumerate(resolution_terms.GLOBAL_CLASSES):
            printed = dict(zip((f"printed {m} %" for m in MEASURES), printed_results.TABLE5[label][index]))
            measured = _measured(matrix, name, resolution_terms.GLOBAL_CLASSES)
            rows.append({"classifier": f"paper {label}", "class": name, **measured, **printed})
    others = {Path(path).stem: read_matrix(path) for path in context.matrices}
    if not others:
        try:
            others = our_confusions(context, list(GLOBAL_MODELS))
        except InputError as error:
            progress.note(str(error))
    for label, matrix in others.items():
        names = resolution_terms.GLOBAL_CLASSES if len(matrix) == 3 else resolution_terms.LOCAL_CLASSES
        for name in names:
            rows.append({"classifier": label, "class": name, **_measured(matrix, name, names)})
    columns = ["classifier", "class", *[f"{m} %" for m in MEASURES], *[f"printed {m} %" for m in MEASURES]]
    figure = table_figure(columns, [_table5_cells(row, columns) for row in rows], "Table 5")
    return [write_measures(out / "table5.csv", rows), drawing.save_figure(figure, out / "table5.png")]


def _measured(matrix: np.ndarray, name: str, names: Sequence[str]) -> Dict[str, Any]:
    """The four measures of a class, each with how many maps it counts and its 95 % interval."""
    counted = one_vs_rest(matrix, names)[name]
    found: Dict[str, Any] = one_vs_rest_rows(matrix, name)
    for measure in MEASURES:
        limits = counted[f"{measure.lower()}_interval"]
        found[f"{measure} n"] = counted[f"{measure.lower()}_n"]
        found[f"{measure} 95 %"] = "-".join(f"{100 * limit:.0f}" for limit in limits) if limits else ""
    return found


def _table5_cells(row: Dict[str, Any], columns: Sequence[str]) -> List[str]:
    cells = []
    for column in columns:
        limits = row.get(column.replace(" %", " 95 %")) if column.endswith("%") else None
        cells.append(f"{_text(row.get(column))} ({limits})" if limits else _text(row.get(column)))
    return cells


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
