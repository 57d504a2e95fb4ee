"""What the program says of experimental maps with a published resolution.

Usage: python benchmarks/real_maps.py --shared SHARED [--low-pass 5 7 9] [--criteria] [--model NAME|FILE] [--limit N]
    [--csv FILE]

SHARED holds real_maps/index.csv and maps/index.csv. Every map is classified without half maps and with the automatic mask,
with its claim, one 1.5 times too good and one 1.5 times too coarse. Beside it stands "3 x voxel size", which knows nothing
of the map. --low-pass: every map is also filtered to these wavelengths (those coarser than its claim and Nyquist), whole and
under a soft mask: the estimate must be within 20 % of the filter, or the map flagged. Maps whose file cannot carry their claim
are left out (finer than Nyquist). --criteria: claims of which the index says FSC 0.5 (old entries by their age) are judged by
that, else every claim is taken for FSC 0.143. These maps are for measuring: never train or choose on them. Intervals are 95 % (Wilson, or bootstrap over maps).
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Iterator, List, Optional

import numpy as np
import scipy.fft as sf
from common import heading

from cryoresdl.models.base.accuracy_measures import bootstrap, wilson
from cryoresdl.models.base.resolution_terms import (
    CANNOT_TELL,
    CRITERIA,
    OPTIMISTIC,
    PESSIMISTIC,
    global_class,
)
from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.maps import automatic_mask
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.fsc.fourier_shells import frequency_grid, soft_edge
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks.model_files import model_store

NAIVE_VOXELS = 3.0
TOO_MUCH = 1.5
WITHIN = 0.2
"""Share by which the estimate of a filtered map may be finer than its filter."""
APART_LOG2 = 0.6
"""Octaves between global estimate and local median that count as a contradiction."""
SOFT_EDGE_VOXELS = 5.0


@dataclass(frozen=True)
class Told:
    """What was said of one map, filtered or not; resolutions in angstroms."""

    file: str
    filtered: float
    masked: bool
    known_class: str
    claim: float
    voxel: float
    said_class: str
    estimate: float
    low: float
    high: float
    local_median: float
    flagged: bool
    verdict: str
    verdict_too_good: str
    verdict_too_coarse: str


@dataclass(frozen=True)
class Published:
    """A map of an index: its path, class, and claim where it has one."""

    path: Path
    known_class: str
    claim: Optional[float]
    criterion: str = CRITERIA[0]


@dataclass(frozen=True)
class Question:
    """How maps are asked about: the global model, and whether a claim is judged by the criterion that it was made by."""

    model: str
    by_criteria: bool


def published(shared: Path) -> Iterator[Published]:
    """The maps of both indices that have a class."""
    for folder in ("real_maps", "maps"):
        with open(shared / folder / "index.csv", newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                if row.get("class"):
                    claim = float(row["claimed_A"]) if row["claimed_A"] else None
                    said = " ".join(str(value) for value in row.values())
                    criterion = "0.5" if "FSC 0.5" in said else CRITERIA[0]
                    yield Published(shared / folder / row["file"], row["class"], claim, criterion)


def ask(
    one: Published,
    density: DensityMap,
    mask: np.ndarray,
    question: Question,
    filtered: float = 0.0,
    masked: bool = False,
) -> Told:
    """All questions about one map, with one pass of the local network."""
    local = local_resolution.localres(density, mask=mask)
    how = {"local": local, "model": question.model}
    if question.by_criteria:
        how["criterion"] = one.criterion
    answer = global_resolution.classify(density, **how)
    claim = one.claim or float("nan")
    verdicts = ["", "", ""]
    if one.claim:
        verdicts = [
            global_resolution.classify(density, claimed=claim * factor, **how)["claim"]["verdict"]
            for factor in (1.0, 1 / TOO_MUCH, TOO_MUCH)
        ]
    low, high = answer["interval_A"]
    return Told(
        one.path.name.split(".")[0],
        filtered,
        masked,
        one.known_class,
        claim,
        round(density.voxel_size, 3),
        answer["class"],
        answer["resolution_A"],
        low,
        high,
        local.info["median_A"],
        not answer["in_distribution"],
        *verdicts,
    )


def low_passed(density: DensityMap, wavelength: float) -> np.ndarray:
    """The map behind a raised cosine of 0.03 cycles per voxel whose half lies at ``wavelength`` angstroms."""
    f = frequency_grid(density.data.shape)
    cut = density.voxel_size / wavelength
    gain = 0.5 * (1 + np.cos(np.pi * np.clip((f - cut + 0.015) / 0.03, 0, 1)))
    return sf.irfftn(sf.rfftn(density.data) * gain, s=density.data.shape).astype(np.float32)


def all_told(
    shared: Path, wavelengths: List[float], limit: Optional[int], question: Question
) -> Iterator[Told]:
    """What is said of every map, and of its filtered copies."""
    for one in list(published(shared))[:limit]:
        density = mrc_reader.read(one.path)
        if one.claim and one.claim < 2 * density.voxel_size:
            print(
                f"{one.path.name}: left out, its claim of {one.claim:g} A is finer than Nyquist", flush=True
            )
            continue
        mask = automatic_mask.auto_mask(density)[0]
        yield ask(one, density, mask, question)
        for wavelength in wavelengths:
            if not one.claim or wavelength < max(one.claim, 2.2 * density.voxel_size):
                continue
            whole = low_passed(density, wavelength)
            for data, masked in ((whole, False), (whole * soft_edge(mask, SOFT_EDGE_VOXELS), True)):
                copy = DensityMap(data, density.voxel_size, density.origin, path=density.path)
                yield ask(one, copy, mask, question, wavelength, masked)


def share(good: List[bool]) -> str:
    """n of N, the share, and its interval."""
    if not good:
        return "none"
    low, high = wilson(sum(good), len(good))
    return f"{sum(good)} of {len(good)} = {100 * np.mean(good):.0f} % ({100 * low:.0f}-{100 * high:.0f})"


def report(told: List[Told]) -> None:
    """The table of rows that must hold."""
    maps = [one for one in told if not one.filtered]
    claimed = [one for one in maps if one.claim == one.claim]
    print("\n| measure | found |\n|---|---|")

    def line(name: str, text: str) -> None:
        print(f"| {name} | {text} |")

    line("class right", share([one.said_class == one.known_class for one in maps]))
    line(
        "class right, 3 x voxel size",
        share([global_class(NAIVE_VOXELS * m.voxel) == m.known_class for m in maps]),
    )
    for name in ("high", "medium", "low"):
        group = [one for one in maps if one.known_class == name]
        line(f"class right, {name}", share([one.said_class == name for one in group]))
    fine = [one for one in claimed if one.known_class != "low"]
    for name, group, factor in (
        ("high and medium", fine, None),
        ("high and medium, 3 x voxel size", fine, NAIVE_VOXELS),
    ):
        errors = np.array([abs((factor * m.voxel if factor else m.estimate) / m.claim - 1) for m in group])
        low, high = bootstrap(errors, np.median, seed=0)
        line(
            f"median relative error, {name}",
            f"{100 * np.median(errors):.1f} % ({100 * low:.1f}-{100 * high:.1f})",
        )
    line("true claim called optimistic", share([one.verdict == OPTIMISTIC for one in claimed]))
    line("true claim called pessimistic", share([one.verdict == PESSIMISTIC for one in claimed]))
    line("true claim: cannot tell", share([one.verdict == CANNOT_TELL for one in claimed]))
    line(
        "1.5 times too good called optimistic", share([one.verdict_too_good == OPTIMISTIC for one in claimed])
    )
    line(
        "1.5 times too coarse called pessimistic",
        share([one.verdict_too_coarse == PESSIMISTIC for one in claimed]),
    )
    against = [abs(np.log2(one.estimate / one.local_median)) > APART_LOG2 and not one.flagged for one in maps]
    line("global and local contradict each other without warning", share(against))
    for wavelength in sorted({one.filtered for one in told if one.filtered}):
        for masked in (False, True):
            group = [one for one in told if one.filtered == wavelength and one.masked == masked]
            kept = [one.flagged or one.estimate >= wavelength * (1 - WITHIN) for one in group]
            name = f"low-passed at {wavelength:g} A, {'masked' if masked else 'whole'}: not finer than 0.8 of it, or flagged"
            line(name, share(kept))


def main() -> None:
    """Ask, print every answer, and the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shared", required=True, type=Path)
    parser.add_argument("--low-pass", nargs="*", type=float, default=[])
    parser.add_argument("--criteria", action="store_true")
    parser.add_argument("--model", default=model_store.DEFAULT_GLOBAL_MODEL)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--csv", type=Path)
    args = parser.parse_args()
    heading("Experimental maps")
    told = []
    for one in all_told(args.shared, args.low_pass, args.limit, Question(args.model, args.criteria)):
        told.append(one)
        kind = f" filtered {one.filtered:g} A{' masked' if one.masked else ''}" if one.filtered else ""
        print(
            f"{one.file}{kind}: claim {one.claim:g}, said {one.estimate:.2f} ({one.low:.2f}-{one.high:.2f}) {one.said_class}"
            f" for {one.known_class}, local {one.local_median:.2f}, {'flagged, ' if one.flagged else ''}{one.verdict};"
            f" {one.verdict_too_good}; {one.verdict_too_coarse}",
            flush=True,
        )
        if args.csv:
            with open(args.csv, "w", newline="", encoding="utf-8") as handle:
                writer = csv.writer(handle)
                writer.writerow([field.name for field in fields(Told)])
                writer.writerows([[getattr(row, field.name) for field in fields(Told)] for row in told])
    report(told)


if __name__ == "__main__":
    main()
