"""Accuracy of a local-resolution model against truth, beside MonoRes, ResMap and the trivial baselines.

Usage: python benchmarks/local_accuracy.py SHARED [--model truth] [--simulated 100] [--own SET.h5 ...] [--json FILE]

SHARED is the data folder with local_resolution/ (56 maps of an independent generator with recorded MonoRes and ResMap
results) and structures/. --simulated makes that many maps of test-split structures as `cryoresdl simulate --mode
realistic` makes them (default options, 2.5 to 10 A in voxels of 0.6 A and more, 2.2 to 5 of them); --own is a feature set's test split, with all that
`dataset features` draws: masks, filters, sharpening, noise inside the molecule, 1 to 22 A. Every figure is a
mean over maps with a 95 % bootstrap interval over maps. "Corrected" errors are what is left after the best affine map
from the method's values to the truth, fitted per map.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy import ndimage
from scipy.stats import spearmanr

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.datasets import input_lists
from cryoresdl.models.datasets.feature_sets.feature_set_file import load_split
from cryoresdl.models.inference import answers, local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader
from cryoresdl.models.simulation import realistic_map
from cryoresdl.models.structures.structure_reader import read_structure


def affine_corrected(values: np.ndarray, truth: np.ndarray) -> float:
    """MAE after the least-squares line from values to truth."""
    if np.ptp(values) < 1e-6:
        return float(np.abs(truth - np.median(truth)).mean())
    slope, shift = np.polyfit(values, truth, 1)
    return float(np.abs(slope * values + shift - truth).mean())


def figures(values: np.ndarray, truth: np.ndarray) -> dict:
    near = np.abs(resolution_terms.class_of(values).astype(int) - resolution_terms.class_of(truth)) <= 1
    same = resolution_terms.class_of(values) == resolution_terms.class_of(truth)
    return {
        "mae": float(np.abs(values - truth).mean()),
        "bias": float((values - truth).mean()),
        "corrected_mae": affine_corrected(values, truth),
        "rho": float(spearmanr(values, truth)[0]),
        "within1": float(near.mean()),
        "exact": float(same.mean()),
    }


def interval(values: list, seed: int = 0) -> tuple:
    values = np.asarray([v for v in values if np.isfinite(v)])
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, values.size).mean() for _ in range(1000)]
    return float(values.mean()), float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def table(rows: dict, title: str) -> None:
    print(f"\n{title}")
    for name, entries in rows.items():
        keys = list(entries[0])
        parts = []
        for key in keys:
            mean, low, high = interval([e[key] for e in entries])
            parts.append(f"{key} {mean:.3f} [{low:.3f}, {high:.3f}]")
        print(f"  {name} (n={len(entries)}): " + "; ".join(parts))


def load(folder: Path, name: str, voxel: float) -> DensityMap:
    density = mrc_reader.read_values(folder / f"{name}.mrc.gz")
    density.voxel_size = voxel
    return density


def independent(shared: Path, model: str, limit: int | None, splits: tuple) -> dict:
    """The 56 maps of the independent generator."""
    index = json.loads((shared / "local_resolution" / "index.json").read_text())
    rows: dict = {}
    for entry in [e for e in index if e["split"] in splits][:limit]:
        folder = shared / "local_resolution" / entry["id"]
        voxel = entry["voxel_A"]
        density = load(folder, "map", voxel)
        mask = load(folder, "mask", voxel).data > 0
        truth = load(folder, "truth", voxel).data
        inside = mask & (truth > 0)
        t = truth[inside]

        def add(name: str, values: np.ndarray, chosen: np.ndarray, truth: np.ndarray = truth) -> None:
            rows.setdefault(name, []).append(figures(values[chosen], truth[chosen]))

        result = local_resolution.localres(density, mask=mask, model=model)
        row = estimate_row(result, truth, inside)
        rows.setdefault("network, one map", []).append(row)
        if entry["split"] != "validation":
            rows.setdefault("network, one map, without the 8 that have a say in its widths", []).append(row)
        if entry["has_half_maps"]:
            h1, h2 = load(folder, "half1", voxel), load(folder, "half2", voxel)
            halves = local_resolution.localres(density, h1, h2, mask, model)
            rows.setdefault("network, half maps", []).append(estimate_row(halves, truth, inside))
        rows.setdefault("best constant", []).append(
            {"mae": float(np.abs(t - np.median(t)).mean()), "within1": constant_within(t)}
        )
        rows.setdefault("global FSC value", []).append(
            {"mae": float(np.abs(t - entry["global_fsc0143_A"]).mean())}
        )
        for peer in ("monores", "resmap"):
            if peer == "resmap" and not entry["has_resmap"]:
                continue
            values = load(folder, peer, voxel).data
            common = inside & resolution_terms.estimated(values)
            if common.sum() < 100:
                continue
            add(peer, values, common)
            add(f"network on {peer}'s voxels", result.resolution, common)
    return rows


def constant_within(truth: np.ndarray) -> float:
    classes = resolution_terms.class_of(truth).astype(int)
    return float((np.abs(classes - np.median(classes)) <= 1).mean())


def estimate_row(result: answers.LocalResult, truth: np.ndarray, inside: np.ndarray) -> dict:
    """Figures of one result on a map's voxels, with the coverage of its interval."""
    row = figures(result.resolution[inside], truth[inside])
    hits = np.abs(result.resolution - truth)[inside] <= result.halfwidth[inside]
    row["coverage68"] = float(hits.mean())
    row["log2"] = float(np.abs(np.log2(result.resolution[inside] / truth[inside])).mean())
    return row


def simulated(shared: Path, model: str, count: int) -> dict:
    """Maps of the simulator's default options: structures of the test split, resolution and sampling log-uniform."""
    manifest = input_lists.read_manifest(shared / "structures", "test")
    rows: dict = {}
    index = 0
    while len(rows.get("best constant", [])) < count:
        rng = np.random.default_rng((991, index))
        index += 1
        entry = manifest[int(rng.integers(len(manifest)))]
        target = float(np.exp(rng.uniform(np.log(2.5), np.log(10.0))))
        voxel = max(target / float(np.exp(rng.uniform(np.log(2.2), np.log(5.0)))), 0.6)
        if not 40 <= float(entry["max_extent_A"]) * 1.4 / voxel <= 128:
            continue
        made = realistic_map.simulate(read_structure(entry["path"]), target, None, voxel, index)
        truth, inside = made.truth, made.mask & (made.truth > 0)
        density, *halves = (DensityMap(data, voxel) for data in (made.map, made.half1, made.half2))
        for name, given in (("network, one map", []), ("network, half maps", halves)):
            result = local_resolution.localres(density, *given, mask=made.mask, model=model)
            row = estimate_row(result, truth, inside)
            rows.setdefault(name, []).append(row)
            if target < 5:
                rows.setdefault(f"{name}, finer than 5 A", []).append(row)
        t = truth[inside]
        rows.setdefault("best constant", []).append(
            {"mae": float(np.abs(t - np.median(t)).mean()), "within1": constant_within(t)}
        )
        rows.setdefault("global FSC value", []).append(
            {"mae": float(np.abs(t - made.info["global_fsc0143_A"]).mean())}
        )
    return rows


def beta_galactosidase(shared: Path, model: str) -> None:
    """Rank correlation with RELION's own volume of the real map, as it is and smoothed by one voxel, and the medians."""
    folder = shared / "maps"
    density = mrc_reader.read(folder / "relion_betagal.map.gz")
    mask = mask_reader.read_mask(folder / "relion_betagal_mask.mrc.gz", density)
    relion = mrc_reader.read_values(folder / "relion_betagal_locres.map.gz").data
    ours = local_resolution.localres(density, mask=mask, model=model).resolution[mask]
    weight = ndimage.gaussian_filter(mask.astype(np.float32), 1)
    smooth = (ndimage.gaussian_filter(np.where(mask, relion, 0), 1) / np.maximum(weight, 1e-3))[mask]
    print(
        f"\nBeta-galactosidase against RELION's volume (n = 1 map, {mask.sum()} voxels): Spearman "
        f"{spearmanr(ours, relion[mask])[0]:.3f}, smoothed by one voxel {spearmanr(ours, smooth)[0]:.3f} (RELION with its smoothed "
        f"self {spearmanr(relion[mask], smooth)[0]:.3f}); median {np.median(ours):.2f} A, RELION {np.median(relion[mask]):.2f} A"
    )


def groups(info: dict) -> list:
    """What kind of map an item is: whether it is finer than 10 A, and what lies outside its molecule."""
    found = ["global < 10 A"] if info["global_fsc0143_A"] < 10 else []
    options = info.get("options")
    if not options:
        return [*found, "noiseless"]
    kept = options["background"] == "noise"
    found.append("background kept" if kept else "masked, clipped or cut out")
    if kept and info["global_fsc0143_A"] < 10:
        found.append("background kept, global < 10 A")
    return found


def own(paths: list, model: str, limit: int | None) -> dict:
    """Test splits of feature sets: features and truth on the cell grid."""
    from cryoresdl.models.features import map_features
    from cryoresdl.models.inference.bands import map_corrections
    from cryoresdl.models.inference.bands.cell_estimates import cell_estimates
    from cryoresdl.models.networks.network_runners import load_model

    loaded = load_model(model, "local")
    known = map_corrections.Corrections.of(loaded)
    rows: dict = {}
    for item in load_split(paths, "test", limit):
        inside = item.truth > 0
        truth, voxel = item.truth[inside], item.info["voxel_size_A"]
        for variant in ("single", "halves"):
            feats = map_features.Features(
                item.local[variant].astype(np.float32), item.summary[variant], inside, True, 0.0
            )
            median, spread, _ = cell_estimates(loaded, feats)
            u, s = map_corrections.corrected(
                known, item.summary[variant], item.rise[variant], median[inside], spread[inside]
            )
            values = np.exp2(u) * voxel
            width = (np.exp2(u + s) - np.exp2(u - s)) * voxel / 2
            row = figures(values, truth)
            row["coverage68"] = float((np.abs(values - truth) <= width).mean())
            row["log2"] = float(np.abs(np.log2(values / truth)).mean())
            rows.setdefault(f"network, {variant}", []).append(row)
            for group in groups(item.info):
                rows.setdefault(f"network, {variant}, {group}", []).append(row)
        rows.setdefault("best constant", []).append(
            {"mae": float(np.abs(truth - np.median(truth)).mean()), "within1": constant_within(truth)}
        )
        rows.setdefault("global FSC value", []).append(
            {"mae": float(np.abs(truth - item.info["global_fsc0143_A"]).mean())}
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("shared", type=Path)
    parser.add_argument("--model", default="truth")
    parser.add_argument("--own", metavar="SET.h5", nargs="+")
    parser.add_argument("--simulated", metavar="N", type=int)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--splits", nargs="+", default=["train", "validation", "test"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = {"independent": independent(args.shared, args.model, args.limit, tuple(args.splits))}
    table(found["independent"], "Independent generator (56 maps, none used for training), voxels in the mask")
    beta_galactosidase(args.shared, args.model)
    if args.simulated:
        found["simulated"] = simulated(args.shared, args.model, args.simulated)
        table(found["simulated"], "The simulator's default maps of test-split structures, voxels in the mask")
    if args.own:
        found["own"] = own(args.own, args.model, args.limit)
        table(found["own"], "Own simulator, test split, cells in the mask")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
