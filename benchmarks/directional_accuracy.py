"""How well directions are measured, and what uneven views do to the local and global answers.

    python benchmarks/directional_accuracy.py --structures DIR [--split test] [--maps 60] [--even 100] [--keep DIR]

DIR holds ``manifest.csv`` and ``pdb/ID.pdb.gz``. Maps of structures of one split are simulated over 20 distributions of
views; each has a twin of even views, of which some more are made: the same structure, resolution, conditions and seed.
Truth is the simulator's. Conditions are drawn as for training, but the background is kept and no low-pass is put on.
``--keep`` stores the maps for another run. ``--locres`` adds RELION's local FSC on that many pairs. ``--cost 256`` measures
processor time and memory of white noise in such a box instead, beside the local network's.
"""

import argparse
import csv
import dataclasses
import multiprocessing
import resource
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from common import ball, heading

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.inference import directional_resolution, global_resolution, local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.fsc import directional_fsc
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.simulation import imaging_conditions, realistic_map, view_distribution
from cryoresdl.models.structures import structure_reader

VIEWS = [f"axis:{n}" for n in (50, 65, 75, 85, 92, 97)] + [f"two:{n}" for n in (60, 75, 85, 95)]
VIEWS += [f"cone:{n}" for n in (10, 15, 20, 30, 40)] + [f"tilt:{n}" for n in (25, 35, 45, 55, 65)]
SEEDS = {"validation": 31, "test": 32}
NEARLY_WORST = 0.97
TARGETS = {
    "smooth": "to where the smoothed truth is nearly worst",
    "cone": "to the nearest cone that is",
    "views": "to where sections are scarcest",
}
SOURCES = {"halves": "half maps", "alone": "one map"}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a pair of maps is made from; resolution and voxel in angstroms, box in voxels."""

    structure: str
    resolution: float
    voxel: float
    box: int
    options: imaging_conditions.ImagingConditions
    seed: int


def recipes(folder, split, largest):
    """Endless draws of maps of a split's structures."""
    with open(folder / "manifest.csv", newline="") as stream:
        rows = [r for r in csv.DictReader(stream) if r["split"] == split]
    rows = [r for r in rows if float(r["mw_kda"]) > 15 and float(r["max_extent_A"]) < 170]
    rng = np.random.default_rng([SEEDS[split], 77])
    while True:
        for place in rng.permutation(len(rows)):
            extent = float(rows[place]["max_extent_A"])
            resolution = float(np.exp(rng.uniform(np.log(3), np.log(9))))
            voxel = resolution / float(rng.uniform(2.3, 4.0))
            box = int(extent * rng.uniform(1.4, 2.0) / voxel)
            box = min(max(box + box % 2, 48), largest)
            options = imaging_conditions.random_options(rng, resolution)
            limit = max(options.band_limit, 1.1 * voxel / resolution)
            options = dataclasses.replace(options, background="noise", band_limit=limit, low_pass=0.0)
            yield Recipe(rows[place]["id"], resolution, voxel, box, options, int(rng.integers(2**31)))


def simulated(folder, recipe, views):
    """A map of these views as a dictionary of arrays."""
    atoms = structure_reader.read_structure(folder / "pdb" / f"{recipe.structure}.pdb.gz")
    options = dataclasses.replace(recipe.options, views=views)
    size = (recipe.resolution, recipe.box, recipe.voxel, recipe.seed)
    made = realistic_map.simulate(atoms, *size, options, 2, directional=True)
    arrays = {name: getattr(made, name) for name in ("map", "half1", "half2", "mask", "truth")}
    truth = made.info["directional_truth"]["resolution_A"]
    return {**arrays, "directions": np.array(truth), "global": made.info["global_fsc0143_A"]}


def pairs(args):
    """Number, recipe, views and map: of uneven views with their twins, then of even views alone."""
    drawn = recipes(args.structures, args.split, args.largest_box)
    number = 0
    while number < max(args.maps, args.even):
        recipe = next(drawn)
        kinds = [VIEWS[number % len(VIEWS)]] if number < args.maps else []
        kinds += [view_distribution.UNIFORM] if number < args.even else []
        for views in kinds:
            name = f"{recipe.structure}_{recipe.box}_{recipe.seed}_{views.replace(':', '')}.npz"
            path = args.keep / name if args.keep else None
            if path is not None and path.is_file():
                one = dict(np.load(path))
            else:
                try:
                    one = simulated(args.structures, recipe, views)
                except InputError:  # the molecule does not fit its box
                    break
                if path is not None:
                    np.savez(path, **one)
            yield number, recipe, views, one
        else:
            number += 1


def measured(recipe, views, one):
    """Errors of one map: by direction from halves and from the map alone, local and global."""
    voxel, mask, truth = recipe.voxel, one["mask"], one["directions"]
    density = DensityMap(one["map"].astype(np.float32), voxel)
    halves = (one["half1"].astype(np.float32), one["half2"].astype(np.float32))
    local = local_resolution.localres(density, mask=mask)
    entry = global_resolution.classify(density, mask=mask, local=local)
    by_direction = directional_resolution.resolution_by_direction
    level = (entry["resolution_A"], entry["interval_A"])
    found = {
        "halves": by_direction(density.data, mask, voxel, halves),
        "alone": by_direction(density.data, mask, voxel, None, *level),
    }
    row = {"views": views, "ratio": truth.max() / truth.min()}
    row["global"] = abs(entry["resolution_A"] / float(one["global"]) - 1)
    row["local"] = local_errors(local.resolution, one["truth"])
    for name, result in found.items():
        row[name] = direction_errors(result, truth, recipe, views) if result.resolution.size else None
    return row


def local_errors(resolution, truth):
    """Mean absolute error in angstroms, and relative, over the cells of the truth's grid."""
    cells = resolution[1::2, 1::2, 1::2][tuple(slice(0, n) for n in truth.shape)]
    truth = truth[tuple(slice(0, n) for n in cells.shape)]
    chosen = (truth > 0) & (cells > 0)
    error = np.abs(cells[chosen] - truth[chosen])
    return float(error.mean()), float((error / truth[chosen]).mean())


def direction_errors(found, truth, recipe, views):
    worst = np.asarray(found.summary["worst_axis_zyx"])
    smooth = directional_fsc.smooth_over_axes(np.log(truth))
    places = {
        "smooth": found.axes[smooth >= smooth.max() + np.log(NEARLY_WORST)],
        "cone": found.axes[truth >= NEARLY_WORST * truth.max()],
        "views": scarcest_axes(recipe, views),
    }
    angles = {name: degrees(np.abs(near @ worst).max()) for name, near in places.items()}
    return {
        "error": float(np.median(np.abs(found.resolution / truth - 1))),
        "covered": float(np.mean((truth >= found.low) & (truth <= found.high))),
        "called": found.summary["anisotropic"],
        **angles,
    }


def scarcest_axes(recipe, views):
    """Axes about which the cone's signal over noise, for one and the same molecule, is within 0.25 (log) of the least."""
    options = recipe.options
    known = view_distribution.views_of(views, options.view_axis, options.view_floor)
    points = directional_fsc.sphere_points(4000)
    density = known.density(points.T)
    axes = directional_fsc.cone_axes()
    cosine = np.cos(np.radians(directional_fsc.HALF_ANGLE))
    within = (np.abs(points @ axes.T) > cosine).astype(float)
    signal, noise = (known.transfer(density) ** 2) @ within, known.noise(density) @ within
    log_ratio = np.log(np.maximum(signal / np.maximum(noise, 1e-12), 1e-3))
    return axes[log_ratio < log_ratio.min() + 0.25]


def degrees(cosine):
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def relion_error(recipe, one):
    """Mean absolute error of RELION's local FSC on the truth's grid, angstroms."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "out").mkdir()
        for name in ("half1", "half2", "mask"):
            data = DensityMap(one[name].astype(np.float32), recipe.voxel)
            mrc_writer.write_volume(folder / f"{name}.mrc", data.data, data)
        words = [
            "relion_postprocess",
            "--i",
            "half1.mrc",
            "--i2",
            "half2.mrc",
            "--mask",
            "mask.mrc",
            "--o",
            "out/run",
        ]
        words += ["--angpix", f"{recipe.voxel:g}", "--adhoc_bfac", "0", "--locres"]
        subprocess.run(words, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        values = mrc_reader.read_values(folder / "out" / "run_locres.mrc").data
    return local_errors(values, one["truth"])


def percent(values):
    return f"{100 * np.mean(values):.0f} %" if len(values) else "-"


def report(uneven, even):
    print("\nmeasured from   n  median error  interval covers  called anisotropic")
    for title, rows in (("uneven views", uneven), ("even views", even)):
        for name, source in SOURCES.items():
            told = [r[name] for r in rows if r[name]]
            if told:
                errors = np.median([t["error"] for t in told])
                print(
                    f"{source + ', ' + title:24s} {len(told):4d} {100 * errors:6.1f} %"
                    f" {percent([t['covered'] for t in told]):>8s} {sum(t['called'] for t in told):5d} of {len(told)}"
                )
    print("\nworst axis of maps whose true ratio is above 1.3: median degrees, share within 15")
    for name, source in SOURCES.items():
        strong = [r[name] for r in uneven if r[name] and r["ratio"] > directional_resolution.ANISOTROPIC]
        for title, rows in (("all", strong), ("called anisotropic", [s for s in strong if s["called"]])):
            line = [
                f"{told} {np.median([r[name] for r in rows]):.0f}, {percent([r[name] <= 15 for r in rows])}"
                for name, told in TARGETS.items()
                if rows
            ]
            print(f"{source}, {title} ({len(rows)}): {'; '.join(line)}")


def report_local(uneven, even):
    """Local and global errors of uneven maps beside those of their twins."""
    twins = list(zip(uneven, even))
    print(
        f"\n{len(twins)} pairs of one structure, resolution, conditions and seed    uneven     even    ratio"
    )
    for title, part in (("all", twins), ("true ratio above 1.3", [t for t in twins if t[0]["ratio"] > 1.3])):
        for name, place in (
            ("local, A", ("local", 0)),
            ("local, relative", ("local", 1)),
            ("RELION, A", ("relion", 0)),
        ):
            told = [t for t in part if all(place[0] in one for one in t)]
            if told:
                both = [np.mean([t[k][place[0]][place[1]] for t in told]) for k in (0, 1)]
                line = f"{both[0]:8.3f} {both[1]:8.3f} {both[0] / both[1]:8.2f}"
                print(f"mean error, {name}, {title} ({len(told)}): {line}")
    both = [100 * np.median([t[k]["global"] for t in twins]) for k in (0, 1)]
    print(f"global, median error against the expected FSC: {both[0]:.1f} % {both[1]:.1f} %")


def cost(box):
    """Processor seconds and memory above the volumes of each part, in a process of its own."""
    mask = ball(box, int(0.108 * box**3))
    rng = np.random.default_rng(box)
    first, second = (rng.standard_normal((box,) * 3, dtype=np.float32) for _ in range(2))
    first[mask] *= 3
    density = DensityMap(first, 1.0)
    parts = {
        "directions, half maps": lambda: directional_resolution.resolution_by_direction(
            first, mask, 1.0, (first, second)
        ),
        "directions, one map": lambda: directional_resolution.resolution_by_direction(
            first, mask, 1.0, None, 4.0
        ),
        "local network, one map": lambda: local_resolution.localres(density, mask=mask),
    }
    context = multiprocessing.get_context("fork")
    print(f"\n{box}^3, {int(mask.sum())} masked voxels           processor s     MB above the volumes")
    for name, call in parts.items():
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=measured_cost, args=(call, sender))
        child.start()
        seconds, megabytes = receiver.recv()
        child.join()
        print(f"{name:24s} {seconds:24.2f} {megabytes:16.0f}", flush=True)


def measured_cost(call, sender):
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    call()
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sender.send((time.process_time() - begun, used / 1024))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=Path)
    parser.add_argument("--split", choices=sorted(SEEDS), default="test")
    parser.add_argument("--maps", type=int, default=60)
    parser.add_argument("--even", type=int, default=100)
    parser.add_argument("--largest-box", type=int, default=80)
    parser.add_argument("--locres", type=int, default=0, help="pairs that RELION's local FSC is run on, too")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--cost", type=int, metavar="BOX")
    args = parser.parse_args()
    heading("Directional resolution on simulated maps")
    if args.cost:
        cost(args.cost)
        return
    if args.structures is None:
        parser.error("give --structures or --cost")
    if args.keep:
        args.keep.mkdir(parents=True, exist_ok=True)
    found = {True: [], False: []}
    for number, recipe, views, one in pairs(args):
        row = measured(recipe, views, one)
        if number < args.locres:
            row["relion"] = relion_error(recipe, one)
        found[views == view_distribution.UNIFORM].append(row)
        told = [(row[n] or {}).get("error", float("nan")) for n in SOURCES]
        print(
            f"{number:3d} {views:8s} true ratio {row['ratio']:.2f}, errors {told[0]:.3f} {told[1]:.3f}",
            flush=True,
        )
    report(found[False], found[True])
    if found[False] and found[True]:
        report_local(found[False], found[True])


if __name__ == "__main__":
    main()
