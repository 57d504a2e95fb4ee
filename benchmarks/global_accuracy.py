"""Accuracy, calibration and false alarms of the global model on data never trained on.

Usage: python benchmarks/global_accuracy.py [--features SET.h5 ...] [--maps GLOBAL.h5] [--real SHARED] [--known SHARED]
    [--limit N] [--json FILE]

--features: feature sets with a test split (`cryoresdl dataset features`): realistic and clean simulated maps, class and
error by the FSC 0.143 measured between the half maps inside the molecule (the interval of half maps against the
expected FSC, since their estimate is the measurement). --known: the 56 maps of another generator in local_resolution/, each with
its mask, against the resolution in their index. --maps: the paper's noiseless maps (`cryoresdl dataset global`), masks made
from the maps. --real: the folder with maps/index.csv. Intervals are 95 % (Wilson, or bootstrap over maps).
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.base.accuracy_measures import bootstrap, wilson
from cryoresdl.models.base.accuracy_measures import calibration as reliability
from cryoresdl.models.base.resolution_terms import GLOBAL_CLASSES
from cryoresdl.models.inference import claim_verdict, global_resolution
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.models.networks import band_networks, network_runners
from cryoresdl.models.networks.model_files import model_archive
from cryoresdl.models.training import global_network, profile_table
from cryoresdl.models.training.calibration import global_calibration


def share(good: np.ndarray) -> str:
    low, high = wilson(int(good.sum()), int(good.size))
    return f"{int(good.sum())}/{good.size} = {100 * good.mean():.2f} % [{100 * low:.2f}, {100 * high:.2f}]"


def evaluate(
    rows: profile_table.ProfileTable, model: model_archive.Model, criterion: str = "0.143", seed: int = 0
) -> dict:
    """All figures of one table of profiles, whose resolutions are by that criterion."""
    calibration = model.card["calibration"]
    network = global_network.Ensemble.of(model)
    told = global_calibration.calibrated(network, rows, calibration, criterion)
    three, low, middle, high = told.probabilities, told.low, told.middle, told.high
    truth = global_calibration.true_classes(rows)
    true_A, estimate = 2.0**rows.log2_voxels * rows.voxel_size, 2.0 ** np.maximum(middle, 1) * rows.voxel_size
    error = np.abs(estimate / true_A - 1)
    covered = (rows.interval_target >= low) & (rows.interval_target <= high)
    found = {
        "class": share(three.argmax(1) == truth),
        "median relative error": float(np.median(error)),
        "its 95 % interval": [round(v, 4) for v in bootstrap(error, np.median, seed=seed)],
        "coverage of the 68 % interval": share(covered),
        "ece": reliability(three / three.sum(1, keepdims=True), truth)["ece"],
    }
    rng = np.random.default_rng(seed)
    for name, factor in (
        ("true claim", 1.0),
        ("claim 1.3 x too fine", 1 / 1.3),
        ("claim 1.6 x too fine", 1 / 1.6),
    ):
        claims = true_A * factor * np.exp(rng.normal(0, 0.02, true_A.size))
        verdicts = []
        for k, claim in enumerate(claims):
            interval = [
                2.0 ** max(low[k], 1) * rows.voxel_size[k],
                2.0 ** max(high[k], 1) * rows.voxel_size[k],
            ]
            verdicts.append(
                claim_verdict.verdict(
                    float(claim),
                    float(estimate[k]),
                    [float(v) for v in interval],
                    dict(zip(GLOBAL_CLASSES, three[k])),
                    True,
                    float(2 * rows.voxel_size[k]),
                )["verdict"]
            )
        found[name] = {v: f"{100 * np.mean([w == v for w in verdicts]):.1f} %" for v in sorted(set(verdicts))}
    return found


def known_maps(shared: Path) -> None:
    """Class and error on the 56 maps of local_resolution/, from one map and from half maps."""
    folder = shared / "local_resolution"
    index = json.loads((folder / "index.json").read_text())
    entries = index if isinstance(index, list) else next(v for v in index.values() if isinstance(v, list))
    found: dict = {"one map": [], "half maps": []}
    for entry in entries:
        place, truth = folder / entry["id"], entry["global_fsc0143_A"]
        density = mrc_reader.read(str(place / "map.mrc.gz"))
        mask = mask_reader.read_mask(str(place / "mask.mrc.gz"), density)
        answers = {"one map": global_resolution.classify(density, mask=mask)}
        if entry["has_half_maps"]:
            halves = [mrc_reader.read(str(place / f"half{k}.mrc.gz")) for k in (1, 2)]
            answers["half maps"] = global_resolution.classify(
                density, mask=mask, half1=halves[0], half2=halves[1]
            )
        for kind, told in answers.items():
            low, high = told["interval_A"]
            right = told["class"] == resolution_terms.global_class(truth)
            found[kind].append((right, abs(told["resolution_A"] / truth - 1), low <= truth <= high))
    print("\nthe maps of the other generator")
    for kind, rows in found.items():
        right, error, inside = (np.asarray(column) for column in zip(*rows))
        print(
            f"  {kind}: class {share(right)}; median relative error {np.median(error):.3f}; covered {share(inside)}"
        )


def real_maps(shared: Path) -> list:
    """Every real map with a class in the index: class, estimate, interval, in or out of distribution."""
    rows = []
    with open(shared / "maps" / "index.csv", newline="") as handle:
        for row in csv.DictReader(handle):
            if not row["class"]:
                continue
            density = mrc_reader.read(shared / "maps" / row["file"])
            entry = global_resolution.classify(density)
            rows.append((row["file"], row["class"], row["claimed_A"], entry))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--features", nargs="+", default=[])
    parser.add_argument("--maps")
    parser.add_argument("--real", type=Path)
    parser.add_argument("--known", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    model, local = (
        network_runners.load_model(args.model, "global"),
        network_runners.load_model("truth", "local"),
    )
    found: dict = {}
    if args.features:
        table = profile_table.make_table(args.features, "test", local, args.limit)
        for criterion in band_networks.criteria_of(model.card["network"]["config"]):
            rows = table.by(criterion)
            for kind in sorted(set(rows.kind)) + ["realistic"]:
                chosen = np.asarray([k.startswith(kind) for k in rows.kind])
                found[f"{kind}, FSC {criterion}"] = evaluate(rows.rows(chosen), model, criterion)
    if args.maps:
        found["the paper's noiseless maps"] = evaluate(
            profile_table.make_table([args.maps], "test", local, args.limit), model
        )
    for name, figures in found.items():
        print(f"\n{name}")
        for key, value in figures.items():
            print(f"  {key}: {value if not isinstance(value, float) else round(value, 4)}")
    if args.known:
        known_maps(args.known)
    if args.real:
        rows = real_maps(args.real)
        print("\nreal maps")
        for file, truth, claimed, entry in rows:
            mark = "right" if entry["class"] == truth else "WRONG"
            print(
                f"  {mark} {file}: index {truth} {claimed}; said {entry['class']} "
                f"{entry['resolution_A']:.2f} A {[round(v, 2) for v in entry['interval_A']]} "
                f"{entry['probabilities']} in distribution: {entry['in_distribution']}"
            )
        print("  class " + share(np.asarray([e["class"] == t for _, t, _, e in rows])))
        found["real"] = [(f, t, c, e) for f, t, c, e in rows]
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
