"""Training of the default global network on band profiles and the local network's answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Optional, Tuple

import numpy as np

from ..base.errors import InputError
from ..base.runs.array_cache import read_arrays, write_arrays
from ..base.runs.atomic_files import PathLike
from ..base.runs.run_record import stamp
from ..datasets import map_set_file
from ..datasets.feature_sets.feature_set_file import (
    VARIANTS,
    EmptySplitError,
    FeatureItem,
    _as_list,
    load_split,
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
    """

    profile: np.ndarray
    log2_voxels: np.ndarray
    voxel_size: np.ndarray
    kind: List[str]
    expected: Optional[np.ndarray] = None

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
    cutoff = None
    if variant == "halves":
        cutoff = _measured_in_mask(item) / item.info["voxel_size_A"]
    return network_inputs.global_profile(item.summary[variant], median[inside], spread[inside], cutoff)


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
    rows: List[Tuple[np.ndarray, float, float, str, float]] = []
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
    profiles, resolutions, voxels, kinds, expected = zip(*rows)
    voxel_size = np.asarray(voxels, np.float32)
    log2_voxels, log2_expected = (
        np.log2(np.asarray(values) / voxel_size).astype(np.float32) for values in (resolutions, expected)
    )
    return ProfileTable(np.stack(profiles), log2_voxels, voxel_size, list(kinds), log2_expected)


def _is_map_set(path: PathLike) -> bool:
    try:
        with open_hdf5(path) as handle:
            return handle.attrs.get("format") == map_set_file.MAP_SET_FORMAT
    except OSError as error:
        raise InputError(f"Cannot read {path} as HDF5; give a file made by `cryoresdl dataset`.") from error


def _item_rows(
    path: PathLike, split: str, local_model: Any, limit: Optional[int]
) -> Iterator[Tuple[np.ndarray, float, float, str, float]]:
    """Rows of a feature set."""
    for item in load_split([path], split, limit):
        kind = item.info.get("kind", "realistic")
        variants = VARIANTS if kind == "realistic" and _measured_in_mask(item) else VARIANTS[:1]
        for variant in variants:
            voxel, expected = item.info["voxel_size_A"], item.info["global_fsc0143_A"]
            profile = profile_of(item, variant, local_model)
            yield profile, _known_resolution(item, variant), voxel, f"{kind} {variant}", expected


def _measured_in_mask(item: FeatureItem) -> float:
    """FSC 0.143 of the half maps in the mask of the item, in angstroms; 0 where an older set did not keep it.

    The FSC inside the molecule would stand for it only where that is the mask: elsewhere it is the answer.
    """
    automatic = item.info.get("options", {}).get("auto_mask", False)
    inside = 0.0 if automatic else item.info["measured_fsc0143_masked_A"]
    return float(item.info.get("measured_fsc0143_given_mask_A", inside))


def _known_resolution(item: FeatureItem, variant: str) -> float:
    """What the map's resolution would be called: FSC 0.143 measured between its half maps inside the molecule.

    Maps without half maps have the resolution that they were given. A filtered map is not finer than its filter.
    """
    known = float(item.info.get("measured_fsc0143_masked_A", item.info["global_fsc0143_A"]))
    return max(known, float(item.info.get("finest_shown_A", 0.0))) if variant == "single" else known


def _map_rows(
    path: PathLike, split: str, local_model: Any, limit: Optional[int]
) -> Iterator[Tuple[np.ndarray, float, float, str, float]]:
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
            yield profile, known, voxel, "clean single", known


_COLUMNS = ("profile", "log2_voxels", "voxel_size", "kind", "expected")


def cached_table(
    path: Path, data: Any, split: str, local_model: Any, resume: bool, report: Any = None
) -> ProfileTable:
    """The table of a split, read from ``path`` when a run is resumed, else made and kept there."""
    # Sets are large: size and time of change must do to tell whether they are the same.
    made_of = [[str(Path(one).resolve()), stamp(one, digest=False)] for one in _as_list(data)]
    digest = json.dumps([model_store.digest(local_model), made_of])
    stored = read_arrays(path, digest) if resume else None
    if stored is not None and set(stored) == set(_COLUMNS):
        profile, log2_voxels, voxel_size, kind, expected = (stored[name] for name in _COLUMNS)
        return ProfileTable(profile, log2_voxels, voxel_size, [str(one) for one in kind], expected)
    made = make_table(data, split, local_model, report=report)
    expected = made.log2_voxels if made.expected is None else made.expected
    columns = (made.profile, made.log2_voxels, made.voxel_size, np.asarray(made.kind), expected)
    write_arrays(path, digest, dict(zip(_COLUMNS, columns)))
    return made
