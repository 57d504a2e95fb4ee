"""A model file's card and arrays held against what its network is, before a byte of the arrays is unpacked.

A wrong shape would end in a traceback, a NaN or a missing factor in a wrong answer that looks like any other.
"""

from __future__ import annotations

import math
from typing import Any, Dict, List, Mapping, Tuple

import numpy as np

from ...base.errors import InputError
from ...base.resolution_terms import CRITERIA, GLOBAL_CLASSES
from ...features import network_inputs
from .. import band_networks, paper_networks
from ..resolution_bins import N_BINS

Shapes = Dict[str, Tuple[int, ...]]
KINDS = {
    band_networks.LOCAL_NETWORK: "local",
    band_networks.GLOBAL_NETWORK: "global",
    paper_networks.UNET: "local",
    paper_networks.DNN: "global",
    paper_networks.CNN: "global",
    paper_networks.DNN_LOW_RANK: "global",
}
"""Networks that this version runs, and what they are for."""
LARGEST_WEIGHT = 1e6
"""No trained weight comes near it; beyond it float32 overflows within a few layers."""
MOST_UNITS, MOST_LAYERS, MOST_MEMBERS, LONGEST_SIDE = 8192, 8, 64, 256
CORRECTIONS = ("shift", "width")


class _Shapes:
    """Stands for `band_networks`' operations and notes what arrays they want; a tensor is its number of channels."""

    def __init__(self) -> None:
        self.found: Shapes = {}

    def conv(self, name: str, x: int, width: int, size: int) -> int:
        self.found[name + "/kernel"], self.found[name + "/bias"] = (size, size, size, x, width), (width,)
        return width

    def dense(self, name: str, x: int, width: int) -> int:
        self.found[name + "/kernel"], self.found[name + "/bias"] = (x, width), (width,)
        return width

    def relu(self, x: int) -> int:
        return x

    pool = up = relu

    def add(self, a: int, b: int) -> int:
        return a

    def modulate(self, x: int, scale: int, shift: int) -> int:
        return x


def check_card(card: Mapping[str, Any], path: Any) -> None:
    """Refuse a card whose parts are not what they must be, as far as this version knows the network.

    Raises:
        InputError: such a card.
    """
    for part in ("data", "training", "metrics", "calibration"):
        if part in card and not isinstance(card[part], dict):
            raise _damaged(path, f"'{part}' is no dictionary")
    network = card["network"]
    kind = KINDS.get(network["name"])
    if kind is None:
        return
    if kind != card["kind"]:
        raise _damaged(path, f"a {network['name']} is no {card['kind']} network")
    if not isinstance(network.get("config"), dict):
        raise _damaged(path, "its network has no configuration")
    if network["name"] in (band_networks.LOCAL_NETWORK, band_networks.GLOBAL_NETWORK):
        band_networks.check_features(dict(card), path)
        _check_calibration(card.get("calibration") or {}, kind, path)


def expected_arrays(card: Mapping[str, Any], path: Any) -> Shapes | None:
    """Names and shapes of the arrays of the card's network; None for a network that this version does not know.

    Raises:
        InputError: a configuration that no network has.
    """
    name, config = card["network"]["name"], card["network"].get("config")
    if name not in KINDS:
        return None
    if name == band_networks.LOCAL_NETWORK:
        return {**_local_shapes(config, path), **_correction_shapes(card, path)}
    if name == band_networks.GLOBAL_NETWORK:
        return _profile_shapes(config, path, N_BINS)
    side = _whole(config, "side", LONGEST_SIDE, path)
    if name == paper_networks.DNN_LOW_RANK:
        return _low_rank_shapes(config, side, path)
    width = config.get("width")
    if not _is_number(width) or not 0 < width <= 1:
        raise _damaged(path, f"its network has the width {width!r}")
    return paper_networks.weight_shapes(paper_networks.describe_network(name, width, side))


def check_arrays(
    headers: Mapping[str, Tuple[Tuple[int, ...], np.dtype]], card: Mapping[str, Any], path: Any
) -> None:
    """Compare the arrays that a file announces with those of its network; a dimension of -1 may be any.

    Raises:
        InputError: a missing, foreign, misshapen or non-floating array.
    """
    wanted = expected_arrays(card, path)
    if wanted is None:
        return
    odd = sorted(set(wanted) ^ set(headers))
    if odd:
        raise InputError(
            f"{path} is damaged: the array '{odd[0]}' is {'missing' if odd[0] in wanted else 'foreign'}; "
            "fetch the file again."
        )
    free: Dict[str, int] = {}
    for name, shape in wanted.items():
        found, dtype = headers[name]
        if dtype.kind != "f" or dtype.itemsize > 8:
            raise InputError(
                f"{path} is damaged: the array '{name}' is no floating-point one; fetch the file again."
            )
        fits = len(found) == len(shape) and all(
            n == m if isinstance(m, int) else n == free.setdefault(m, n) for n, m in zip(found, shape)
        )
        if not fits or 0 in found:
            raise InputError(
                f"{path} is damaged: the array '{name}' has the shape {found} and not its network's; fetch the file again."
            )


def check_values(weights: Mapping[str, np.ndarray], card: Mapping[str, Any], path: Any) -> None:
    """Refuse arrays that no training leaves: NaN, infinite, or so large that the answer would overflow.

    Raises:
        InputError: such an array.
    """
    for name, values in weights.items():
        if values.dtype.kind != "f" or not values.size:
            continue
        low, high = float(values.min()), float(values.max())
        if not (math.isfinite(low) and math.isfinite(high)) or max(-low, high) > LARGEST_WEIGHT:
            raise InputError(
                f"{path} is damaged: the array '{name}' holds values that no trained network has (NaN, infinite or "
                "huge); fetch the file again."
            )
        if name.endswith("input/scale") and card["network"]["name"] in KINDS and low <= 0:
            raise InputError(
                f"{path} is damaged: the array '{name}' holds a scale of 0 or less; fetch the file again."
            )


def _local_shapes(config: Mapping[str, Any], path: Any) -> Shapes:
    channels = _units(config, "channels", path)
    if len(channels) < 2:
        raise _damaged(path, "its network has one level")
    for name, own in (
        ("inputs", network_inputs.N_LOCAL),
        ("summary", network_inputs.summary_length()),
        ("bins", N_BINS),
    ):
        if config.get(name) != own:
            raise InputError(
                f"{path} reads other features than this program computes ({name}: {config.get(name)!r}, not {own}); "
                "train it again, or use the shipped model."
            )
    ops = _Shapes()
    band_networks.forward_local(
        ops, network_inputs.N_LOCAL, network_inputs.summary_length(), {"channels": channels, "bins": N_BINS}
    )
    return ops.found


def _profile_shapes(config: Any, path: Any, bins: int) -> Shapes:
    if not isinstance(config, dict):
        raise _damaged(path, "a network has no configuration")
    widths = _units(config, "widths", path, least=0)
    inputs = _whole(config, "inputs", MOST_UNITS, path)
    if config.get("bins") != bins:
        raise _damaged(path, f"its network has {config.get('bins')!r} outputs instead of {bins}")
    criteria = config.get("criteria", list(CRITERIA[:1]))
    if not isinstance(criteria, list) or criteria != list(CRITERIA[: len(criteria)]) or not criteria:
        raise _damaged(path, f"its network has {criteria!r} for 'criteria'")
    members = _whole({"members": config.get("members", 1)}, "members", MOST_MEMBERS, path)
    ops = _Shapes()
    for prefix in band_networks.member_prefixes({"members": members}):
        band_networks.forward_global(
            ops, inputs, {"widths": widths, "bins": bins, "criteria": criteria}, prefix
        )
    return {"input/mean": (inputs,), "input/scale": (inputs,), **ops.found}


def _correction_shapes(card: Mapping[str, Any], path: Any) -> Shapes:
    """Arrays of the networks that correct a local model's answers, where its calibration has any."""
    entry = (card.get("calibration") or {}).get("by_map")
    if not entry:
        return {}
    config = entry.get("config") if isinstance(entry, dict) else None
    if not isinstance(config, dict) or set(config) != set(CORRECTIONS):
        raise _damaged(path, "its calibration names no correcting networks")
    found: Shapes = {}
    for name, outputs in zip(CORRECTIONS, (2, 1)):
        shapes = _profile_shapes(config[name], path, outputs)
        found.update({f"correction/{name}/{key}": shape for key, shape in shapes.items()})
    return found


def _low_rank_shapes(config: Mapping[str, Any], side: int, path: Any) -> Any:
    """As `compress_dnn` makes them; the letters stand for the numbers of hidden units, which the arrays say."""
    cosines = _whole(config, "cosines", side, path)
    rank = _whole(config, "rank", MOST_UNITS, path)
    count = len(paper_networks.low_frequencies(cosines))
    return {
        "dense1/coefficients": (count, rank),
        "dense1/neurons": (rank, "units"),
        "dense1/bias": ("units",),
        "dense2/kernel": ("units", "more"),
        "dense2/bias": ("more",),
        "logits/kernel": ("more", len(GLOBAL_CLASSES)),
        "logits/bias": (len(GLOBAL_CLASSES),),
    }


NEEDED = {
    "local": ("spread",),
    "global": ("spread", "temperature", "distance_limit"),
    "criterion": ("spread", "temperature"),
}
PART_NEEDED = {**NEEDED, "global": NEEDED["criterion"]}
"""Factors without which a network's intervals and doubts would be others; the second of the parts of a calibration."""


def _check_calibration(calibration: Mapping[str, Any], kind: str, path: Any) -> None:
    _check_needed(calibration, NEEDED[kind], path)
    for part in ("half_maps", "no_background", "profile"):
        if part in calibration:
            if not isinstance(calibration[part], dict):
                raise _damaged(path, f"its calibration for '{part}' is no dictionary")
            _check_factors(calibration[part], path)
            _check_needed(calibration[part], PART_NEEDED[kind], path)
    _check_factors(calibration, path)
    for name, part in (calibration.get("criteria") or {}).items():
        if name not in CRITERIA[1:] or not isinstance(part, dict):
            raise _damaged(path, f"its calibration has {name!r} among its criteria")
        _check_calibration(part, "local" if kind == "local" else "criterion", path)
    entry = calibration.get("by_map")
    if entry and isinstance(entry, dict):
        factors = entry.get("factors")
        if (
            not isinstance(factors, dict)
            or not factors
            or not all(_is_factor(value) for value in factors.values())
        ):
            raise _damaged(path, "its corrections have no proper factors")


def _check_needed(calibration: Mapping[str, Any], names: Tuple[str, ...], path: Any) -> None:
    for name in names:
        if name not in calibration:
            raise InputError(
                f"{path} has no calibration of its intervals ('{name}'); fetch the file again, or calibrate it anew "
                "(cryoresdl train)."
            )


def _check_factors(calibration: Mapping[str, Any], path: Any) -> None:
    limit = calibration.get("distance_limit", 1.0)
    if not _is_number(limit) or limit <= 0:
        raise _damaged(path, f"its calibration has {limit!r} for 'distance_limit'")
    for name in ("spread", "temperature"):
        if name in calibration and not _is_factor(calibration[name]):
            raise _damaged(path, f"its calibration has {calibration[name]!r} for '{name}'")
    doubt = calibration.get("doubt", 1.0)
    if not _is_number(doubt) or not 0 <= doubt <= 1:
        raise _damaged(path, f"its calibration has {doubt!r} for 'doubt'")
    knots: Any = calibration.get("spread_knots")
    factors: Any = calibration.get("spread_factors")
    if knots is None and factors is None:
        return
    lists = isinstance(knots, list) and isinstance(factors, list)
    if not lists or len(knots) != len(factors) or not all(_is_factor(value) for value in [*knots, *factors]):
        raise _damaged(path, "its calibration by width is no list of widths with a factor each")
    if sorted(knots) != knots:
        raise _damaged(path, "the widths of its calibration do not rise")


def _damaged(path: Any, what: str) -> InputError:
    return InputError(f"The card of {path} is damaged ({what}); fetch the file again.")


def _is_number(value: Any) -> bool:
    """A number that a float can hold; JSON has whole numbers of any length."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _is_factor(value: Any) -> bool:
    """A number that a width or a temperature may be multiplied with."""
    return _is_number(value) and 1e-4 <= value <= 1e4


def _whole(config: Mapping[str, Any], name: str, most: int, path: Any) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise _damaged(path, f"its network has {value!r} for '{name}'")
    return value


def _units(config: Mapping[str, Any], name: str, path: Any, least: int = 1) -> List[int]:
    values = config.get(name)
    if not isinstance(values, list) or not least <= len(values) <= MOST_LAYERS:
        raise _damaged(path, f"its network has no list '{name}' of {least} to {MOST_LAYERS} numbers")
    return [_whole({name: value}, name, MOST_UNITS, path) for value in values]
