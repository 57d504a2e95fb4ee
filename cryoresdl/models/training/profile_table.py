"""Training of the default global network on band profiles and the local network's answers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.resolution_terms import CRITERIA
from ..base.runs.array_cache import read_arrays, write_arrays
from ..base.runs.atomic_files import PathLike
from ..base.runs.run_record import stamp
from ..datasets import map_set_file
from ..datasets.feature_sets.feature_set_file import (
    CLEAN,
    VARIANTS,
    EmptySplitError,
    FeatureItem,
    _as_list,
    iterate_items,
)
from ..datasets.set_parts import open_hdf5
from ..features import map_features, network_inputs
from ..inference.bands import cell_estimates, map_corrections
from ..maps import automatic_mask, density_map
from ..networks.model_files import model_store


@dataclass
class ProfileTable:
    """Inputs and targets of the global network, one row per map and variant.

    Attributes:
        profile: (n, inputs) of ``network_inputs.global_profile``.
        log2_voxels: (n,) resolution that the half maps measure, or that the map was given.
        voxel_size: (n,) angstroms.
        kind: what each row is.
        expected: (n,) the same without the measurement's chance error, where it is known: what the interval of half
            maps must hold, whose estimate is the measurement itself. None stands for ``log2_voxels``.
        at_half: (n, 2) both by FSC 0.5 instead of 0.143; NaN where nothing is known of it. None: of no map.
    """

    profile: np.ndarray
    log2_voxels: np.ndarray
    voxel_size: np.ndarray
    kind: List[str]
    expected: Optional[np.ndarray] = None
    at_half: Optional[np.ndarray] = None

    def criteria(self) -> List[str]:
        """Those of ``CRITERIA`` that the table has resolutions for."""
        known = self.at_half is not None and bool(np.isfinite(self.at_half).all(1).any())
        return list(CRITERIA if known else CRITERIA[:1])

    def by(self, criterion: str) -> ProfileTable:
        """The rows whose resolution by that criterion is known, with it in the place of the first's."""
        if criterion == CRITERIA[0]:
            return self
        if self.at_half is None:
            raise InputError(f"The table has no resolution by FSC {criterion}.")
        rows = self.rows(np.isfinite(self.at_half).all(1))
        at_half = np.asarray(rows.at_half)
        return replace(rows, log2_voxels=at_half[:, 0], expected=at_half[:, 1])

    def rows(self, chosen: np.ndarray) -> ProfileTable:
        """The rows where ``chosen`` (bool) says so."""
        expected, at_half = (None if one is None else one[chosen] for one in (self.expected, self.at_half))
        kinds = [kind for kind, kept in zip(self.kind, chosen) if kept]
        return ProfileTable(
            self.profile[chosen], self.log2_voxels[chosen], self.voxel_size[chosen], kinds, expected, at_half
        )

    @property
    def interval_target(self) -> np.ndarray:
        """(n,) what the interval of every row is measured against."""
        if self.expected is None:
            return self.log2_voxels
        return np.where(network_inputs.has_half_maps(self.profile), self.expected, self.log2_voxels)


def profile_of(item: FeatureItem, variant: str, local_model: Any) -> np.ndarray:
    """The global network's input for one item of a feature set."""
    inside = item.truth > 0
    found = map_features.Features(
        item.local[variant].astype(np.float32), item.summary[variant], inside, True, 0.0
    )
    median, spread, _ = cell_estimates.cell_estimates(local_model, found)
    calibration = local_model.card.get("calibration", {})
    spread = map_corrections.calibrated_spread(spread, calibration, map_corrections.PROFILE)
    cutoffs = []
    if variant == "halves":
        cutoffs = [_measured_in_mask(item, one) / item.info["voxel_size_A"] for one in CRITERIA]
    return network_inputs.global_profile(item.summary[variant], median[inside], spread[inside], cutoffs)


def make_table(
    data: Any, split: str, local_model: Any, limit: Optional[int] = None, report: Any = None
) -> ProfileTable:
    """Profiles and true global resolutions of one split.

    Args:
        data: file(s) of ``dataset features``, or of ``dataset global`` (noiseless maps, masks made from them).
        split: "train", "validation" or "test".
        local_model: whose answers enter the profiles.
        limit: at most so many maps of each file.
        report: called with a line of progress every 100 maps.

    Raises:
        InputError: one of the files is no such set.
        EmptySplitError: no file has a map of that split.
    """
    rows: List[_Row] = []
    empty: List[EmptySplitError] = []
    for path in _as_list(data):
        source = _map_rows if _is_map_set(path) else _item_rows
        try:
            for row in source(path, split, local_model, limit):
                rows.append(row)
                if report is not None and len(rows) % 100 == 0:
                    report(f"{split}: {len(rows)} profiles")
        except EmptySplitError as error:
            empty.append(error)
    if not rows:
        raise empty[0]
    voxel_size = np.asarray([row.voxel_size for row in rows], np.float32)
    log2_known = np.log2([row.known for row in rows]).astype(np.float32) - np.log2(voxel_size)[:, None]
    return ProfileTable(
        np.stack([row.profile for row in rows]),
        log2_known[:, 0],
        voxel_size,
        [row.kind for row in rows],
        log2_known[:, 1],
        log2_known[:, 2:],
    )


class _Row(NamedTuple):
    """One map: ``known`` in A is FSC 0.143, the expected one, and both by FSC 0.5 (NaN where that is not known)."""

    profile: np.ndarray
    voxel_size: float
    kind: str
    known: Tuple[float, float, float, float]


def _is_map_set(path: PathLike) -> bool:
    try:
        with open_hdf5(path) as handle:
            return handle.attrs.get("format") == map_set_file.MAP_SET_FORMAT
    except OSError as error:
        raise InputError(f"Cannot read {path} as HDF5; give a file made by `cryoresdl dataset`.") from error


def _item_rows(path: PathLike, split: str, local_model: Any, limit: Optional[int]) -> Iterator[_Row]:
    """Rows of a feature set."""
    for item in iterate_items(path, split, limit):
        kind = item.info.get("kind", "realistic")
        measured = kind == "realistic" and all(_measured_in_mask(item, one) > 0 for one in CRITERIA)
        variants = VARIANTS if measured else VARIANTS[:1]
        for variant in variants:
            first, half = (
                (_known_resolution(item, variant, one), _expected_resolution(item, one)) for one in CRITERIA
            )
            profile = profile_of(item, variant, local_model)
            yield _Row(profile, item.info["voxel_size_A"], f"{kind} {variant}", (*first, *half))


_FSC_NAME = {"0.143": "fsc0143", "0.5": "fsc05"}
"""How the simulator's figures name the criteria."""


def _measured_in_mask(item: FeatureItem, criterion: str = CRITERIA[0]) -> float:
    """Where the FSC of the half maps in the mask of the item falls to a criterion, in angstroms; 0 where it is not known.

    The FSC inside the molecule would stand for it only where that is the mask: elsewhere it is the answer.
    """
    name, automatic = _FSC_NAME[criterion], item.info.get("options", {}).get("auto_mask", False)
    inside = 0.0 if automatic else item.info.get(f"measured_{name}_masked_A", 0.0)
    return float(item.info.get(f"measured_{name}_given_mask_A", inside))


def _expected_resolution(item: FeatureItem, criterion: str) -> float:
    """The resolution without the measurement's chance error, in angstroms; NaN where it is not known."""
    expected = item.info.get(f"global_{_FSC_NAME[criterion]}_A", float("nan"))
    # A noiseless map has the resolution that it was given, by whatever criterion.
    return float(item.info["global_fsc0143_A"] if item.info.get("kind") == CLEAN else expected)


def _known_resolution(item: FeatureItem, variant: str, criterion: str = CRITERIA[0]) -> float:
    """What the map's resolution would be called: FSC measured between its half maps inside the molecule.

    Maps without half maps have the resolution that they were given. A filtered map is not finer than its filter.
    """
    name = f"measured_{_FSC_NAME[criterion]}_masked_A"
    known = float(item.info.get(name, _expected_resolution(item, criterion)))
    return max(known, float(item.info.get("finest_shown_A", 0.0))) if variant == "single" else known


def _map_rows(path: PathLike, split: str, local_model: Any, limit: Optional[int]) -> Iterator[_Row]:
    """Rows of a set of whole maps; a noiseless map cannot show more than its sampling: Nyquist at best."""
    with map_set_file.DatasetFile(path) as handle:
        if handle.info["kind"] != "global":
            raise InputError(
                f"{path} holds patches with a label per voxel; the global model learns from whole maps: give a set of "
                "`cryoresdl dataset features` or `dataset global`."
            )
        if not len(handle.rows(split)):
            raise EmptySplitError(
                f"{path} holds no map of the split {split!r}; make a set of more structures."
            )
        resolutions, voxels = handle.column("resolution"), handle.column("voxel_size")
        for number in handle.rows(split)[:limit]:
            voxel = float(voxels[number])
            density = density_map.DensityMap(
                handle.read("maps", np.asarray([number]))[0].astype(np.float32), voxel
            )
            mask = automatic_mask.auto_mask(density)[0]
            found = map_features.compute(density.data, mask, voxel)
            median, spread, _ = cell_estimates.cell_estimates(local_model, found)
            spread = map_corrections.calibrated_spread(
                spread, local_model.card.get("calibration", {}), map_corrections.PROFILE
            )
            inside = found.mask_cells
            profile = network_inputs.global_profile(found.summary, median[inside], spread[inside])
            known = max(float(resolutions[number]), 2.0 * voxel)
            yield _Row(profile, voxel, "clean single", (known,) * 4)


def _stored(table: ProfileTable) -> Iterator[Tuple[str, np.ndarray]]:
    """The columns of a table that there are."""
    for name in _COLUMNS:
        value = getattr(table, name)
        if value is not None:
            yield name, np.asarray(value)


_COLUMNS = ("profile", "log2_voxels", "voxel_size", "kind", "expected", "at_half")


def cached_table(
    path: Path, data: Any, split: str, local_model: Any, resume: bool, report: Any = None
) -> ProfileTable:
    """The table of a split, read from ``path`` when a run is resumed, else made and kept there."""
    # Sets are large: size and time of change must do to tell whether they are the same.
    made_of = [[str(Path(one).resolve()), stamp(one, digest=False)] for one in _as_list(data)]
    digest = json.dumps([model_store.digest(local_model), made_of])
    stored = read_arrays(path, digest) if resume else None
    if stored is not None and set(_COLUMNS[:4]) <= set(stored) <= set(_COLUMNS):
        columns = dict(stored, kind=[str(one) for one in stored["kind"]])
        return ProfileTable(**columns)  # type: ignore[arg-type]
    made = make_table(data, split, local_model, report=report)
    write_arrays(path, digest, dict(_stored(made)))
    return made
