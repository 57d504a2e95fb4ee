"""The slices that a results folder holds: which volumes stand side by side, and on which grid."""

from __future__ import annotations

from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from ... import result_files
from ...compared_results import MOST_COMPARED, _mask_of, _pair_of, compared_volumes
from ...results_folder import SIMULATED_MAP, TRUTH_VOLUME, ResultsFolder, Volume
from .slice_layers import Layer, _difference_layers, _disagreement_layers, _interval_layer, _layers

SLICE_KINDS = ("slices", "interval", "disagreement", "difference", "truth")
"""The kinds that can be moved through; see :func:`.slice_figure.slices_from_folder`."""


def layers_from_folder(
    results: ResultsFolder, kind: str = "slices", pair: Sequence[str] | None = None
) -> Tuple[List[Layer], Volume | None]:
    """The panels of a kind of slices and the volume whose grid they have (``None``: files are missing).

    Args:
        results: the folder.
        kind: one of ``SLICE_KINDS``.
        pair: of a difference: the names of two of the compared volumes (the first two).
    """
    layers, reference = _SLICES[kind](results, pair) if kind == "difference" else _SLICES[kind](results)
    return ([], None) if len({layer.data.shape for layer in layers}) > 1 else (layers, reference)


def _slice_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    resolution = results.resolution
    if resolution is None:
        return [], None
    interval, density = results.interval, results.density
    return (
        _layers(
            _like(density, resolution),
            resolution.data,
            _like(interval, resolution),
            _mask_of(results, resolution.shape),
        ),
        resolution,
    )


def _interval_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    resolution, interval = results.resolution, results.interval
    if resolution is None or interval is None:
        return [], None
    return [
        Layer("Local resolution", resolution.data, "resolution"),
        _interval_layer(interval.data),
    ], resolution


def _disagreement_slice_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    spread = results.volume(result_files.DISAGREEMENT)
    if spread is None:
        return [], None
    volumes = {name: volume.data for name, volume in list(compared_volumes(results).items())[:MOST_COMPARED]}
    layers = _disagreement_layers(volumes, spread.data)
    density = _like(results.density, spread)
    first = Layer("Map", density, mask=_mask_of(results, spread.shape))
    return ([first] if density is not None else []) + layers, spread


def _difference_slice_layers(
    results: ResultsFolder, pair: Sequence[str] | None = None
) -> Tuple[List[Layer], Volume | None]:
    chosen = _pair_of(results, pair)
    if chosen is None:
        return [], None
    (first, a), (second, b) = chosen
    return _difference_layers((first, second), a.data, b.data), a


def _truth_layers(results: ResultsFolder) -> Tuple[List[Layer], Volume | None]:
    density, truth = results.volume(SIMULATED_MAP), results.volume(TRUTH_VOLUME)
    if density is None or truth is None:
        return [], None
    layers = [Layer("Simulated map", density.data), Layer("True local resolution", truth.data, "resolution")]
    return layers, density


_SLICES: Dict[str, Callable[..., Tuple[List[Layer], Volume | None]]] = {
    "slices": _slice_layers,
    "interval": _interval_layers,
    "disagreement": _disagreement_slice_layers,
    "difference": _difference_slice_layers,
    "truth": _truth_layers,
}


def _like(volume: Volume | None, reference: Volume) -> np.ndarray | None:
    """The data, if it is on the reference's grid: another map must not be mixed into the picture."""
    return volume.data if volume is not None and volume.shape == reference.shape else None
