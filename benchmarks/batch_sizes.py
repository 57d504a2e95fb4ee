"""What a map of each size costs through the batch command on one processor, and the EMDB on a cluster by these rates.

    python benchmarks/batch_sizes.py [--boxes 128 256 384 512] [--nodes 100] [--cores 32] [--emdb 45000]

Each box is a list of two maps, masks made by the program, one worker bound to one processor; the first map, of 64^3,
takes the loading of the networks. Seconds are of wall and of processor (the second is what a loaded machine may be
judged by), memory is the worker's peak. The estimate takes the smaller half of the EMDB at the rate of 256^3 and
the larger half between that of 384^3 and of 512^3, one map per processor.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy import ndimage

from cryoresdl import __version__
from cryoresdl.models.batch import jobs, results_ledger
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer


def main():
    """Measure, and print the table and the estimate."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, nargs="+", default=[128, 256, 384, 512])
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--cores", type=int, default=32, help="of a node")
    parser.add_argument("--emdb", type=int, default=45_000, help="maps")
    parser.add_argument("--json", metavar="FILE", help="keep the figures, and those of earlier calls, here")
    args = parser.parse_args()
    kept = Path(args.json) if args.json else None
    rates = json.loads(kept.read_text()) if kept and kept.is_file() else {}
    cpu = next((line for line in open("/proc/cpuinfo") if line.startswith("model name")), ": unknown")
    print(
        f"CryoResDL {__version__}, Python {platform.python_version()}, one of {os.cpu_count()} x {cpu.split(':')[1].strip()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    print("box     mask voxels   wall s   processor s   in the networks s   peak MB   written MB")
    for box in args.boxes:
        rates[str(box)] = one(box)
        print(
            "{box}^3 {mask_voxels:12,d} {wall:8.1f} {processor:13.1f} {inference:19.1f} {peak_mb:9.0f} {written_mb:12.0f}".format(
                **rates[str(box)]
            ),
            flush=True,
        )
    if kept:
        kept.write_text(json.dumps(rates, indent=1))
    if {"256", "384", "512"} <= rates.keys():
        estimate(rates, args)


def one(box):
    """Seconds and memory of one map of ``box``^3 in a worker that has its networks."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        write_map(base / "first.mrc", 64)
        write_map(base / "map.mrc", box)
        (base / "list.csv").write_text("map\nfirst.mrc\nmap.mrc\n")
        (base / "short.csv").write_text("map\nfirst.mrc\n")
        before = spent(base, "short")
        both = spent(base, "list")
        row = [
            json.loads(line)
            for line in (base / "list" / results_ledger.RESULTS_JSONL).read_text().splitlines()
        ][1]
        if row["status"] != jobs.DONE:
            sys.exit(row["error"])
        written = sum(path.stat().st_size for path in (base / "list" / "map").rglob("*"))
        return {
            "box": box,
            "mask_voxels": row["mask_voxels"],
            "wall": row["seconds"],
            "inference": row["inference_seconds"],
            "processor": both[0] - before[0],
            "peak_mb": both[1],
            "written_mb": written / 1e6,
        }


def write_map(path, box):
    """A ball of structure that fills a twelfth of the box, in noise."""
    rng = np.random.default_rng(box)
    data = rng.standard_normal((box,) * 3, dtype=np.float32)
    smooth = ndimage.gaussian_filter(data, 1.5)
    axis = (np.arange(box, dtype=np.float32) - box / 2) ** 2
    inside = axis[:, None, None] + axis[:, None] + axis < (0.27 * box) ** 2
    data = 0.1 * np.roll(data, 7) + inside * (smooth / smooth.std() + 1.5)
    mrc_writer.write_volume(path, data.astype(np.float32), density_map.DensityMap(data, 1.1))


def spent(base, name):
    """Processor seconds and peak MB of a batch of one list by one worker on one processor."""
    words = [sys.executable, "-m", "cryoresdl.models", "validate", str(base / f"{name}.csv")]
    words += ["--out", str(base / name), "--no-report", "--quiet"]
    cpus = sorted(os.sched_getaffinity(0))
    code = (
        "import os, resource, subprocess, sys; os.sched_setaffinity(0, [int(sys.argv[1])]);"
        "subprocess.run(sys.argv[2:], check=True, stdout=subprocess.DEVNULL);"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN); print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(cpus[-1]), *words], check=True, capture_output=True, text=True
    ).stdout.split()
    return float(printed[-2]), float(printed[-1])


def estimate(rates, args):
    """The EMDB on a cluster, from the processor seconds."""
    small = rates["256"]["processor"]
    processors = args.nodes * args.cores
    print(f"{args.emdb:,} maps, half of them above 256^3, {args.nodes} nodes of {args.cores} processors:")
    for name in ("384", "512"):
        hours = args.emdb / 2 * (small + rates[name]["processor"]) / 3600
        volume = args.emdb / 2 * (256**3 * 4 + int(name) ** 3 * 4) / 1e12
        written = args.emdb / 2 * (rates["256"]["written_mb"] + rates[name]["written_mb"]) / 1e6
        print(
            f"  larger half as {name}^3: {hours:,.0f} processor hours, {60 * hours / processors:.0f} minutes; reads {volume:.1f} TB, "
            f"writes {written:.1f} TB; a node needs {args.cores * rates[name]['peak_mb'] / 1000:.0f} GB"
        )


if __name__ == "__main__":
    main()
