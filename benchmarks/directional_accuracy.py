"""How well directions are measured, and what uneven views do to the local and global answers.

    python benchmarks/directional_accuracy.py --structures DIR [--maps 60] [--even 100] [--keep DIR]

DIR holds ``manifest.csv`` and ``pdb/ID.pdb.gz``. Maps of structures of the test split are simulated over 20 distributions of
views and, for comparison, even ones; truth is the simulator's. Conditions are drawn as for training, but the background is
kept and no low-pass is put on. ``--keep`` stores the maps for another run.
"""

import argparse
import csv
import dataclasses
from pathlib import Path

import numpy as np
from common import heading

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.inference import directional_resolution, global_resolution, local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.models.structures import structure_reader

UNEVEN = [f"axis:{n}" for n in (50, 65, 75, 85, 92, 97)] + [f"two:{n}" for n in (60, 75, 85, 95)]
UNEVEN += [f"cone:{n}" for n in (10, 15, 20, 30, 40)] + [f"tilt:{n}" for n in (25, 35, 45, 55, 65)]
SEEDS = {"views": 21, "uniform": 22}
NEARLY_WORST = 0.97
ANISOTROPIC = directional_resolution.ANISOTROPIC


def recipes(folder, kind, count):
    """Structure, resolution, voxel size, box, options and seed of each map."""
    with open(folder / "manifest.csv", newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if r["split"] == "test"]
    rows = [r for r in rows if float(r["mw_kda"]) > 15 and float(r["max_extent_A"]) < 170]
    rng = np.random.default_rng([SEEDS[kind], 77])
    order, tried, made = rng.permutation(len(rows)), 0, 0
    while made < count:
        row = rows[order[tried % len(rows)]]
        tried += 1
        resolution = float(np.exp(rng.uniform(np.log(3), np.log(9))))
        voxel = resolution / float(rng.uniform(2.3, 4.0))
        box = int(float(row["max_extent_A"]) * rng.uniform(1.4, 2.0) / voxel)
        box = min(max(box + box % 2, 48), 128)
        options = imaging_conditions.random_options(rng, resolution)
        options = dataclasses.replace(
            options,
            views="uniform" if kind == "uniform" else UNEVEN[made % len(UNEVEN)],
            background="noise",
            band_limit=max(options.band_limit, 1.1 * voxel / resolution),
            low_pass=0.0,
        )
        seed = int(rng.integers(2**31))
        if (yield made, row["id"], resolution, voxel, box, options, seed):
            made += 1


def maps(folder, kind, count, keep):
    """Simulated maps as dictionaries of arrays; a structure that does not fit its box gives way to the next."""
    drawn = recipes(folder, kind, count)
    answer = None
    while True:
        try:
            number, name, resolution, voxel, box, options, seed = drawn.send(answer)
        except StopIteration:
            return
        path = keep / f"test_{kind}_{SEEDS[kind]}_{number}.npz" if keep else None
        answer = True
        if path is not None and path.is_file():
            yield dict(np.load(path))
            continue
        atoms = structure_reader.read_structure(folder / "pdb" / f"{name}.pdb.gz")
        try:
            made = realistic_map.simulate(atoms, resolution, box, voxel, seed, options, 2, directional=True)
        except InputError:
            answer = False
            continue
        found = {
            "map": made.map,
            "half1": made.half1,
            "half2": made.half2,
            "mask": made.mask,
            "truth": made.truth,
            "voxel": voxel,
            "views": options.views,
            "res": np.array(made.info["directional_truth"]["resolution_A"]),
            "global": made.info["global_fsc0143_A"],
        }
        if path is not None:
            np.savez(path, **found)
        yield found


def measured(one):
    """Errors of one map: by direction from halves and from the map alone, local and global."""
    voxel, mask, truth = float(one["voxel"]), one["mask"], one["res"]
    density, first, second = (
        DensityMap(one[name].astype(np.float32), voxel) for name in ("map", "half1", "half2")
    )
    halves = directional_resolution.resolution_by_direction(
        density.data, mask, voxel, (first.data, second.data)
    )
    local = local_resolution.localres(density, mask=mask)
    entry = global_resolution.classify(density, mask=mask, local=local)
    alone = directional_resolution.resolution_by_direction(
        density.data, mask, voxel, None, entry["resolution_A"], entry["interval_A"]
    )
    row = {"views": str(one["views"]), "true ratio": truth.max() / truth.min()}
    row["global"] = abs(entry["resolution_A"] / float(one.get("global", np.nan)) - 1)
    cells = local.resolution[1::2, 1::2, 1::2][tuple(slice(0, n) for n in one["truth"].shape)]
    known = one["truth"][tuple(slice(0, n) for n in cells.shape)]
    chosen = (known > 0) & (cells > 0)
    row["local"] = float(np.mean(np.abs(cells[chosen] / known[chosen] - 1)))
    for name, found in (("halves", halves), ("one map", alone)):
        if not found.resolution.size:
            row[name] = None
            continue
        error = np.abs(found.resolution / truth - 1)
        worst = np.asarray(found.summary["worst_axis_zyx"])
        near = found.axes[truth >= NEARLY_WORST * truth.max()]
        row[name] = {
            "error": float(np.median(error)),
            "covered": float(np.mean((truth >= found.low) & (truth <= found.high))),
            "called": found.summary["anisotropic"],
            "nearest": degrees(np.abs(near @ worst).max()),
            "middle": degrees(abs(directional_resolution.extreme_axis(np.log(truth)) @ worst)),
        }
    return row


def degrees(cosine):
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def report(uneven, even):
    print(
        "\nmeasured from   n   median error   interval covers   worst axis within 15 degrees (to the nearest of the"
    )
    print(
        "                                                     worst; to their middle), of n   called anisotropic"
    )
    for name in ("halves", "one map"):
        told = [r for r in uneven if r[name]]
        strong = [r[name] for r in told if r["true ratio"] > ANISOTROPIC]
        print(
            f"{name:12s} {len(told):4d} {100 * np.median([r[name]['error'] for r in told]):10.1f} %"
            f" {100 * np.mean([r[name]['covered'] for r in told]):14.0f} %"
            f" {100 * np.mean([s['nearest'] <= 15 for s in strong]):18.0f} %;"
            f" {100 * np.mean([s['middle'] <= 15 for s in strong]):.0f} %, {len(strong)}"
            f" {100 * np.mean([s['called'] for s in strong]):20.0f} %"
        )
        clear = [s for s in strong if s["called"]]
        if clear:
            print(
                f"   of the {len(clear)} called anisotropic: within 15 degrees"
                f" {100 * np.mean([s['nearest'] <= 15 for s in clear]):.0f} %;"
                f" {100 * np.mean([s['middle'] <= 15 for s in clear]):.0f} %,"
                f" median {np.median([s['nearest'] for s in clear]):.0f} degrees"
            )
    for name in ("halves", "one map"):
        told = [r[name] for r in even if r[name]]
        if told:
            print(
                f"even views, {name}: {sum(t['called'] for t in told)} of {len(told)} called anisotropic,"
                f" median error {100 * np.median([t['error'] for t in told]):.1f} %,"
                f" interval covers {100 * np.mean([t['covered'] for t in told]):.0f} %"
            )
    print(
        "\nviews      n   local: mean error (mean over maps)   global: median error (against the expected FSC)"
    )
    for name, rows in (("uneven", uneven), ("even", even)):
        if rows:
            print(
                f"{name:8s} {len(rows):3d} {100 * np.mean([r['local'] for r in rows]):20.1f} %"
                f" {100 * np.nanmedian([r['global'] for r in rows]):30.1f} %"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=Path, required=True)
    parser.add_argument("--maps", type=int, default=60)
    parser.add_argument("--even", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    heading("Directional resolution on simulated maps")
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    found = {"views": [], "uniform": []}
    for kind, count in (("views", args.maps), ("uniform", args.even)):
        for one in maps(args.structures, kind, count, args.keep) if count else ():
            row = measured(one)
            found[kind].append(row)
            told = [(row[n] or {}).get("error", float("nan")) for n in ("halves", "one map")]
            print(
                f"{row['views']:8s} true worst over best {row['true ratio']:.2f}, errors {told[0]:.3f} {told[1]:.3f}",
                flush=True,
            )
    report(found["views"], found["uniform"])


if __name__ == "__main__":
    main()
