"""Why the paper's networks fail on experimental maps: one condition of their training is changed at a time.

On simulated maps of proteins never trained on, noise, voxel size and the size of the molecule are changed, each alone.
On real maps, the voxel size is brought to 1 A, the surroundings are masked away, the molecule is moved to the centre. If one
of them were the whole cause, the agreement would fall there and come back here. The default model answers the same
maps, so that what cures it is seen, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import numpy as np
from scipy import ndimage

from ...base import progress, resolution_terms
from ...base.errors import InputError
from ...evaluation.class_measures import MeasureTable, write_measures
from ...maps import automatic_mask
from ...maps.density_map import DensityMap
from ...networks import paper_predictors
from ...networks.model_files import model_store
from ...networks.paper_networks import MAP_SIDE
from ...results.figures import drawing
from .context import Context
from .experimental_maps import (
    BASELINE,
    Predictors,
    global_predictors,
    our,
    published_maps,
    read_published,
    real_map_rows,
    with_baseline,
)
from .global_tables import agreements, unseen_proteins
from .table_pictures import conditions_figure

RESOLUTIONS_A = (2.5, 7.5, 12.5)
"""Of the simulated maps, one per class: those of the paper's training."""
NOISE = 0.1
"""Standard deviation of the noise over that of the density inside the molecule."""
DARK = 0.3
"""How far below 0 the one negative voxel lies, over the highest density."""
COARSE_VOXEL_A = 2.0
FINEST_COARSE_A = 5.0
"""Maps with coarse voxels begin here: finer ones are beyond their Nyquist limit."""
LARGE_BOX = 128
AS_DEPOSITED = "as deposited"
CONDITION, MAPS = "condition", "maps"


@dataclass(frozen=True)
class Case:
    """One map under one condition: its class, and the map as the default model and the paper's networks get it."""

    published: str
    density: DensityMap | None
    prepared: np.ndarray


def finding(out: Path, context: Context) -> List[Path]:
    """Agreement of every network under every condition, as a table and the figure of the page on the finding."""
    predictors = with_baseline(global_predictors(context))
    rows: MeasureTable = []
    for maps, condition, cases in _conditions(context):
        told = [_told(case, context, predictors) for case in cases]
        rows += _agreements(maps, condition, told, predictors)
    told = [row for row in real_map_rows(context, predictors) if "note" not in row]
    rows += _agreements("real", AS_DEPOSITED, told, predictors)
    order = [*SIMULATED, AS_DEPOSITED, *REAL]
    rows.sort(key=lambda row: order.index(row[CONDITION]))
    figure = conditions_figure(rows, list(map(our, predictors)))
    return [write_measures(out / "finding.csv", rows), drawing.save_figure(figure, out / "finding.png")]


def _agreements(
    maps: str, condition: str, told: List[Dict[str, Any]], predictors: Predictors
) -> MeasureTable:
    progress.note(f"{maps} maps, {condition}: {len(told)}")
    found = agreements(told, list(map(our, predictors)))
    return [{MAPS: maps, CONDITION: condition, **row} for row in found]


def _told(case: Case, context: Context, predictors: Predictors) -> Dict[str, Any]:
    """What every classifier says of a case: the paper's of the prepared box, the others of the map, if there is one."""
    found: Dict[str, Any] = {"published": case.published}
    networks = _paper_networks(context, predictors)
    for column, network in networks.items():
        scores = network(case.prepared[None])[0]
        found[our(column)] = resolution_terms.GLOBAL_CLASSES[int(np.argmax(scores))]
    if case.density is not None:
        for column in [name for name in predictors if name not in networks]:
            found[our(column)] = predictors[column](case.density)["class"]
    return found


def _paper_networks(
    context: Context, predictors: Predictors
) -> Dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The columns whose networks read a prepared 64^3 box, as functions of it."""
    found = {}
    for column in [name for name in predictors if name != BASELINE]:
        model = model_store.load_named(context.model(column))
        if model.card.get("mode") == "paper":
            found[column] = paper_predictors.classifier(model)
    return found


def _conditions(context: Context) -> Iterator[Tuple[str, str, Iterator[Case]]]:
    """Kind of maps, condition, and its cases, one after the other."""
    for condition, simulate in SIMULATED.items():
        yield "simulated", condition, simulate(context)
    for condition, change in REAL.items():
        yield "real", condition, _real_cases(context, change)


# --------------------------- simulated maps --------------------------------


def _simulated_cases(
    context: Context, change: Callable[[np.ndarray, np.random.Generator], np.ndarray], voxel: float = 1.0
) -> Iterator[Case]:
    from ...simulation import atom_density

    random = np.random.default_rng([context.seed, 64])
    for _, atoms in unseen_proteins(context, context.proteins):
        for value in [value for value in RESOLUTIONS_A if voxel == 1.0 or value >= FINEST_COARSE_A]:
            data = change(atom_density.pdb2mrc(atoms, value, MAP_SIDE, voxel), random)
            yield _case(resolution_terms.global_class(value), DensityMap(data, voxel))


def _large_cases(context: Context) -> Iterator[Case]:
    """Structures that do not fit the paper's box, whole in a larger one: the crop cuts them."""
    from ...simulation import atom_density

    for _, atoms in unseen_proteins(context, context.proteins, larger_than=MAP_SIDE, box=LARGE_BOX):
        for value in RESOLUTIONS_A:
            data = atom_density.pdb2mrc(atoms, value, LARGE_BOX, 1.0)
            yield _case(resolution_terms.global_class(value), DensityMap(data, 1.0))


def _case(published: str, density: DensityMap) -> Case:
    return Case(published, density, paper_predictors.prepare_map(density.data))


def _noisy(data: np.ndarray, random: np.random.Generator) -> np.ndarray:
    inside = data > 0.02 * data.max()
    return data + random.normal(0, NOISE * data[inside].std(), data.shape).astype(np.float32)


def _dark_voxel(data: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """One voxel in a corner below 0, as real maps have many: it moves the whole map on the scale from 0 to 1."""
    changed = data.copy()
    changed[0, 0, 0] = -DARK * data.max()
    return changed


SIMULATED: Dict[str, Callable[[Context], Iterator[Case]]] = {
    "as in their training": lambda context: _simulated_cases(context, lambda data, _: data),
    f"noise, {100 * NOISE:g} % of the signal": lambda context: _simulated_cases(context, _noisy),
    "one negative voxel": lambda context: _simulated_cases(context, _dark_voxel),
    f"{COARSE_VOXEL_A:g} Å/voxel": lambda context: _simulated_cases(
        context, lambda data, _: data, COARSE_VOXEL_A
    ),
    "larger than the crop": _large_cases,
}
"""Condition -> its cases; each differs from the training in one respect."""


# --------------------------- real maps -------------------------------------


def _real_cases(context: Context, change: Callable[[str, DensityMap], Case]) -> Iterator[Case]:
    for one in published_maps(context):
        try:
            density = read_published(one.path, one.claimed_A)
        except InputError as error:
            progress.note(str(error))
            continue
        yield change(one.published, density)


def _cropped(published: str, density: DensityMap) -> Case:
    """The default model, too, gets the paper's central crop and nothing else."""
    sides = [min(MAP_SIDE, side) for side in density.data.shape]
    cut = tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(density.data.shape, sides))
    middle = DensityMap(np.ascontiguousarray(density.data[cut]), density.voxel_size)
    return Case(published, middle, paper_predictors.prepare_map(density.data))


def _at_one_angstrom(published: str, density: DensityMap) -> Case:
    middle = (np.array(density.data.shape) - 1) / 2
    return Case(published, None, _resampled_box(density, density.data, middle))


def _masked(published: str, density: DensityMap) -> Case:
    data = density.data * automatic_mask.auto_mask(density)[0]
    return Case(published, None, paper_predictors.prepare_map(data))


def _cut(published: str, density: DensityMap) -> Case:
    return Case(published, None, paper_predictors.prepare_map(np.maximum(density.data, 0)))


def _centred(published: str, density: DensityMap, least: float = -np.inf) -> Case:
    """1 A/voxel, masked, the molecule's middle in the middle of the box, and nothing below ``least``."""
    mask = automatic_mask.auto_mask(density)[0]
    middle = np.array(ndimage.center_of_mass(mask))
    return Case(published, None, _resampled_box(density, np.maximum(density.data, least) * mask, middle))


def _all_cures(published: str, density: DensityMap) -> Case:
    return _centred(published, density, 0.0)


def _resampled_box(density: DensityMap, data: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The paper's box at 1 A/voxel around a point of a map that was scaled as a whole; outside it is 0.

    Args:
        density: says the voxel size.
        data: (z, y, x).
        middle: z, y, x in voxels.
    """
    steps = (np.arange(MAP_SIDE) - (MAP_SIDE - 1) / 2) / density.voxel_size
    grid = np.meshgrid(*(centre + steps for centre in middle), indexing="ij")
    return ndimage.map_coordinates(paper_predictors.scale01(data), grid, order=3).astype(np.float32)


REAL: Dict[str, Callable[[str, DensityMap], Case]] = {
    "central crop for all": _cropped,
    "at 1 Å/voxel": _at_one_angstrom,
    "masked": _masked,
    "negative values cut": _cut,
    "1 Å/voxel, masked, centred": _centred,
    "the same, negative values cut": _all_cures,
}
"""Condition -> what becomes of a real map."""
