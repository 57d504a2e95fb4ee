"""The class and resolution of a whole map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from ..base import resolution_terms
from ..base.errors import InputError
from ..base.machine import one_blas_thread
from ..base.resolution_terms import CRITERIA
from ..features.network_inputs import has_half_maps, measured_at
from ..maps.density_map import DensityMap
from ..networks import band_networks, network_runners, resolution_bins
from ..networks.model_files import model_store
from ..networks.network_runners import load_model
from ..networks.resolution_bins import _not_finer_than
from . import claim_verdict
from .answers import GlobalAnswers, LocalResult, _entry
from .bands.band_estimates import FILTER_MARGIN
from .input_doubts import _at_its_end, _contradiction, _disagreement, _unlike_training
from .local_resolution import localres
from .paper_estimates import _paper_classify

HALF_OVER_FIRST = (1.28, 1.42, 1.99)
"""FSC 0.5 over FSC 0.143 of a simulated map: 16 %, 50 % and 84 % (``benchmarks/criterion_ratio.py``).

For one map, and a network that was trained for FSC 0.143 alone.
"""
HALF_MAP_TRUST = 0.3
"""Octaves by which the half maps' FSC may contradict the network and still be the answer (validation split)."""


def global_answers(
    network: Dict[str, Any],
    weights: Dict[str, np.ndarray],
    profiles: np.ndarray,
    voxel_size: np.ndarray,
    calibration: Dict[str, Any],
    criterion: str = CRITERIA[0],
) -> GlobalAnswers:
    """Calibrated answers of the global network.

    The FSC of the half maps in the mask *is* the resolution that one reports, so where there are half maps the network
    only judges it: the estimate is the measurement, the network gives the interval and a share of doubt. Where the two are
    further apart than ``HALF_MAP_TRUST``, the mask is not the molecule's, and the network's own answer stands.

    Args:
        network: a card's ``network`` entry.
        weights: its arrays.
        profiles: (n, inputs) of ``network_inputs.global_profile``.
        voxel_size: (n,) angstroms.
        calibration: of the card; ``half_maps`` holds the factors for maps with half maps, an older card has one set, and
            ``criteria`` those of other criteria than the first.
        criterion: of FSC. Where the network was not trained for it, the answer for the first is converted
            (``HALF_OVER_FIRST``), or is what half maps measure.
    """
    halves = has_half_maps(profiles)
    learned = criterion in band_networks.criteria_of(network["config"])
    asked = criterion if learned else CRITERIA[0]
    calibration = calibration.get("criteria", {}).get(criterion, calibration)
    factors = {}
    for name, default in (("temperature", 1.0), ("spread", 1.0), ("doubt", 1.0)):
        alone = float(calibration.get(name, default))
        factors[name] = np.where(halves, float(calibration.get("half_maps", {}).get(name, alone)), alone)
    p = network_runners.profile_distribution(
        network, weights, profiles, factors["temperature"][:, None], asked
    )
    low, own, high = (resolution_bins.quantile(p, q) for q in (0.16, 0.5, 0.84))
    trusted = halves & (np.abs(measured_at(profiles, asked) - own) <= HALF_MAP_TRUST)
    steps = np.log2(HALF_OVER_FIRST) if not learned else np.zeros(3)
    middle = np.where(trusted, measured_at(profiles, criterion), own + steps[1])
    # What half maps measure is measured by either criterion; only one map's answer is converted.
    wider = np.where(trusted, 0.0, 1.0)
    voxels = np.asarray(voxel_size, float)
    three = np.concatenate(
        [
            resolution_bins.class_probabilities(row[None], resolution_terms.GLOBAL_EDGES_A, float(size))
            for row, size in zip(p, voxels * 2.0 ** (middle - own))
        ]
    )
    measured = np.eye(3)[resolution_terms.global_class_of(2.0**middle * voxels)]
    doubt = np.where(trusted, factors["doubt"], 1.0)[:, None]
    return GlobalAnswers(
        doubt * three + (1 - doubt) * measured,
        middle - factors["spread"] * (own - low) - wider * (steps[1] - steps[0]),
        middle,
        middle + factors["spread"] * (high - own) + wider * (steps[2] - steps[1]),
        own + steps[1],
        halves & ~trusted,
    )


@one_blas_thread()
def classify(
    density: DensityMap,
    mask: Optional[np.ndarray] = None,
    claimed: Optional[float] = None,
    model: Any = model_store.DEFAULT_GLOBAL_MODEL,
    local: Optional[LocalResult] = None,
    half1: Optional[DensityMap] = None,
    half2: Optional[DensityMap] = None,
    criterion: str = CRITERIA[0],
) -> Dict[str, Any]:
    """Global class, estimate and verdict of a map: one entry of ``classification.json``.

    Args:
        density: the map.
        mask: bool (z, y, x); None makes one.
        claimed: claimed resolution in angstroms, or None.
        model: name or file of a global model.
        local: result of :func:`.local_resolution.localres` on the same map with the default model; made here when missing.
        half1: first half map, used when ``local`` is made here.
        half2: second half map.
        criterion: of FSC, "0.143" or "0.5": what the estimate, its class and the claim mean.

    Raises:
        InputError: as in :func:`.local_resolution.localres`, a claim that is not positive, or another criterion than the
            first for one of the paper's networks.
    """
    if claimed is not None:
        claimed = claim_verdict.check_claim(claimed)
    loaded = load_model(model, "global")
    if loaded.card["network"]["name"] != band_networks.GLOBAL_NETWORK:
        if criterion != CRITERIA[0]:
            raise InputError(
                f"The model {loaded.card['name']} knows no criterion; leave out --criterion {criterion}."
            )
        return _paper_classify(density, claimed, loaded)
    shown: Optional[Dict[str, Any]] = None
    if (
        local is None
        or local.profile is None
        or local.info["model"]["name"] != model_store.DEFAULT_LOCAL_MODEL
    ):
        # The global network learned beside the default local model's answers; a variant's would mislead it.
        chosen, local = local, localres(density, half1, half2, mask if local is None else local.mask)
        if chosen is not None:
            shown = {**chosen.info, "by": chosen.info["model"]["name"]}
    return _band_classify(density, claimed, loaded, local, shown, criterion)


def _finest_shown(local: LocalResult, estimate: float, nyquist: float) -> float:
    """The finest resolution that the map can show, in angstroms: its filter's, if the answers go beyond that."""
    if local.info.get("filtered_to_A"):
        return float(local.info["filtered_to_A"])
    edge = local.info.get("filter_edge_A")
    return float(edge) if edge and estimate < edge / FILTER_MARGIN else nyquist


def _bounded(
    estimate: float, interval: Sequence[float], finest: float, voxel: float
) -> Tuple[float, List[float]]:
    """Estimate and interval, in angstroms, of a map that shows nothing finer than ``finest``.

    A filter's edge is known to about its margin: an estimate that is held there has it on both sides.
    """
    nyquist = 2.0 * voxel
    low, high = (max(value, nyquist) for value in interval)
    if finest <= nyquist or estimate >= finest:
        return max(estimate, nyquist), [low, high]
    return finest, [max(low, finest / FILTER_MARGIN, nyquist), max(high, finest * FILTER_MARGIN)]


def _held_at_edge(estimate: float, own: float, local: LocalResult) -> List[str]:
    """One sentence where the estimate is held at a filter's edge that the local answer did not name (all in A)."""
    edge = local.info.get("filter_edge_A")
    if local.info.get("filtered_to_A") or not edge or estimate != float(edge) or own >= estimate:
        return []
    return [
        f"The map's spectrum falls at {estimate:.1f} A as behind a low-pass filter; the estimate is held there (the network "
        f"alone says {own:.1f} A)."
    ]


@dataclass(frozen=True)
class _Answer:
    """What the network says of one map by one criterion of FSC; resolutions in angstroms.

    Attributes:
        estimate: held at what the map can show.
        interval: of 68 %, likewise.
        own: the answer before that.
        own_interval: likewise.
        probabilities: of the three classes.
        measured: the estimate is the FSC of the half maps.
        network: what the network alone says.
        contradicted: the half maps' FSC is not what the signal shows.
    """

    estimate: float
    interval: List[float]
    own: float
    own_interval: Tuple[float, float]
    probabilities: np.ndarray
    measured: bool
    network: float
    contradicted: bool


def _answer_by(loaded: Any, local: LocalResult, voxel: float, criterion: str) -> _Answer:
    rows = np.asarray(local.profile)[None]
    calibration = loaded.card.get("calibration", {})
    told = global_answers(
        loaded.card["network"], loaded.weights, rows, np.array([voxel]), calibration, criterion
    )
    low, middle, high, network = (
        2.0 ** float(values[0]) * voxel for values in (told.low, told.middle, told.high, told.own)
    )
    three = told.probabilities[0]
    finest = _finest_shown(local, middle, 2.0 * voxel)
    if finest > 2.0 * voxel:
        three = _not_finer_than(three, finest, resolution_terms.GLOBAL_EDGES_A)
    estimate, interval = _bounded(middle, (low, high), finest, voxel)
    contradicted = bool(told.contradicted[0])
    measured = bool(local.info.get("half_maps")) and not contradicted
    return _Answer(estimate, interval, middle, (low, high), three, measured, network, contradicted)


def _doubts(loaded: Any, local: LocalResult, answer: _Answer) -> List[str]:
    """What makes the answers doubtful, by that of FSC 0.143, which the local resolution is held against."""
    rows = np.asarray(local.profile)[None]
    scaled = network_runners.scaled_profile(loaded.weights, rows)[0]
    problems = _unlike_training(scaled, local, loaded.card.get("calibration", {}))
    problems += local.info.get("problems", [])
    if answer.contradicted:
        problems.append(_contradiction(local.info["half_map_fsc0143_A"], answer.network))
    # What was moved to a filter's edge no longer shows what it contradicted.
    problems += _disagreement(answer.estimate, answer.interval, local.info) or _disagreement(
        answer.own, answer.own_interval, local.info
    )
    return problems + _at_its_end(answer.own, answer.own_interval)


def _band_classify(
    density: DensityMap,
    claimed: Optional[float],
    loaded: Any,
    local: LocalResult,
    shown: Optional[Dict[str, Any]] = None,
    criterion: str = CRITERIA[0],
) -> Dict[str, Any]:
    """The entry of a map; ``shown`` is what the chosen local model says, where it is not the default one's answer."""
    answers = {one: _answer_by(loaded, local, density.voxel_size, one) for one in CRITERIA}
    answer, problems = answers[criterion], _doubts(loaded, local, answers[CRITERIA[0]])
    entry = _entry(density, loaded, answer.probabilities)
    entry.update(
        {
            "estimate_from": "half maps" if answer.measured else "map",
            "criterion": criterion,
            "resolution_A": round(answer.estimate, 4),
            "interval_A": [round(v, 4) for v in answer.interval],
            "by_criterion": {
                one: {
                    "resolution_A": round(found.estimate, 4),
                    "interval_A": [round(v, 4) for v in found.interval],
                }
                for one, found in answers.items()
            },
            "in_distribution": not problems,
            "warnings": list(density.warnings)
            + problems
            + [w for w in local.info.get("warnings", []) if w not in density.warnings + problems]
            + _held_at_edge(answer.estimate, answer.own, local),
        }
    )
    if claimed is not None:
        told = {"half_map_fsc0143_A": local.info.get("half_map_fsc0143_A"), **(shown or local.info)}
        verdicts = {
            one: claim_verdict.verdict(
                claimed,
                found.estimate,
                found.interval,
                dict(zip(resolution_terms.GLOBAL_CLASSES, map(float, found.probabilities))),
                not problems,
                2.0 * density.voxel_size,
                local_summary=told,
                measured=found.measured,
                criterion=one,
            )
            for one, found in answers.items()
        }
        entry["claim"] = verdicts[criterion]
        if criterion == CRITERIA[0]:
            entry["claim"]["reasons"] += claim_verdict.other_meaning(
                verdicts[criterion], verdicts[CRITERIA[1]], density.path
            )
    return entry
