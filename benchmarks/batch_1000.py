"""A thousand small maps through the batch command: overhead per map, memory, five kills, correct rows.

    python benchmarks/batch_1000.py [--maps 1000] [--box 32] [--workers 1] [--kills 5] [--stand-in]

Two runs of the same list. The first is left alone: its wall time per map less the time that the worker spent in the
networks (`inference_seconds` of each row) is the overhead, given as the median and range over ten blocks of the list;
the memory of the worker is fitted against the number of maps done. The second run is killed (signal 9) at random
moments and resumed until the list is complete: every row must be there once and equal that of the first run, and every
volume must be the same byte for byte. ``--stand-in`` puts an instant engine in the place of the networks.
"""

import argparse
import csv
import hashlib
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

from cryoresdl import __version__
from cryoresdl.models.batch import jobs, results_ledger
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.results import result_files
from cryoresdl.tests.helpers.quick_engine import PROGRAM

TIMES = ("seconds", "inference_seconds")
BLOCKS = 10


def main():
    """Make the maps, run twice, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--box", type=int, default=32)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--stand-in", action="store_true", help="an instant engine instead of the networks")
    args = parser.parse_args()
    cpu = next((line for line in open("/proc/cpuinfo") if line.startswith("model name")), ": unknown")
    print(
        f"CryoResDL {__version__}, Python {platform.python_version()}, {os.cpu_count()} x {cpu.split(':')[1].strip()}, "
        f"load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), args)


def measure(base, args):
    """One complete experiment in the folder ``base``; ends with an error when a row is wrong."""
    for number in range(args.maps):
        write_map(base / f"m{number}.mrc", number, args.box)
    names = [f"m{number}.mrc" for number in range(args.maps)]
    (base / "list.csv").write_text(
        "map,claimed\n" + "".join(f"{name},{3 + i % 9}\n" for i, name in enumerate(names))
    )
    (base / "quick.py").write_text(PROGRAM)
    engine = [str(base / "quick.py")] if args.stand_in else ["-m", "cryoresdl.models"]
    words = [sys.executable, *engine, "validate", str(base / "list.csv"), "--workers", str(args.workers)]
    words += ["--resume", "--no-report", "--quiet", "--out"]

    alone = base / "alone"
    watched = watch(subprocess.Popen([*words, str(alone)], stdout=subprocess.DEVNULL), alone)
    first = read_rows(alone)
    show_overhead(watched, first, args)
    show_memory(watched)
    show_report(alone, args.maps)

    killed = base / "killed"
    kill_and_resume([*words, str(killed)], killed, args)
    second = read_rows(killed)
    lines = [json.loads(line) for line in (killed / results_ledger.RESULTS_JSONL).read_text().splitlines()]
    checks = {
        "rows in the order of the list": [Path(row["map"]).name for row in second] == names,
        "every map once": len({line["key"] for line in lines}) == len(lines) == args.maps,
        "all done": all(row["status"] == jobs.DONE for row in second),
        "rows equal to those of the run left alone": [without_times(row) for row in second]
        == [without_times(row) for row in first],
        "volumes equal byte for byte": digests(alone) == digests(killed),
        "nothing half written left": not list(killed.rglob(".part-*")),
    }
    for what, met in checks.items():
        print(f"{what:45} {'yes' if met else 'NO'}")
    print(
        "classes: "
        + ", ".join(f"{name} {sum(r['class'] == name for r in second)}" for name in ("high", "medium", "low"))
    )
    if not all(checks.values()):
        sys.exit("The rows are not right.")


def write_map(path, seed, box):
    """A cloud of atoms of one of many sharpnesses, in noise."""
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 0.03, (box,) * 3)
    spread = 1.2 + 3 * (seed % 17) / 17
    grid = np.arange(box)
    for centre in rng.normal(box / 2, box / 9, (40, 3)):
        axes = [np.exp(-((grid - c) ** 2) / (2 * spread**2)) for c in centre]
        data += np.einsum("i,j,k->ijk", *axes)
    data = data.astype(np.float32)
    mrc_writer.write_volume(path, data, density_map.DensityMap(data, 1.5))


def watch(process, out):
    """Follow a run: (time, rows, memory in MB of its largest child and of itself) every 50 ms."""
    seen = []
    ledger = out / results_ledger.RESULTS_JSONL
    parent = psutil.Process(process.pid)
    while process.poll() is None:
        time.sleep(0.05)
        try:
            children = [child.memory_info().rss for child in parent.children(recursive=True)]
            seen.append(
                (
                    time.perf_counter(),
                    count(ledger),
                    max(children, default=0) / 1e6,
                    parent.memory_info().rss / 1e6,
                )
            )
        except psutil.Error:
            continue
    return seen


def show_overhead(watched, rows, args):
    """Wall time per map less the time in the networks, over blocks of the list."""
    marks = []
    for part in range(BLOCKS + 1):
        wanted = max(1, round(part * args.maps / BLOCKS))
        # The run may end between two looks: the last block then ends at the last look.
        marks.append(next(((t, n) for t, n, _, _ in watched if n >= wanted), watched[-1][:2]))
    spent = [float(row["inference_seconds"]) for row in rows]
    wall, over = [], []
    for (t0, n0), (t1, n1) in zip(marks, marks[1:]):
        if n1 > n0:
            wall.append(1000 * (t1 - t0) / (n1 - n0))
            over.append(wall[-1] - 1000 * statistics.mean(spent[n0:n1]) / args.workers)
    inside = [1000 * (float(row["seconds"]) - float(row["inference_seconds"])) for row in rows]
    print(f"{args.maps} maps of {args.box}^3, {args.workers} worker(s), {len(over)} blocks")
    print(f"wall per map      {spread(wall)} ms")
    print(f"networks per map  {spread([1000 * s for s in spent])} ms")
    print(f"overhead per map  {spread(over)} ms   (limit: 50)")
    print(f"  reading and writing in the worker {spread(inside)} ms")


def show_memory(watched):
    """Memory of the worker and of the parent against the maps done, without the first tenth."""
    last = watched[-1][1]
    # The last looks may see processes that are already ending.
    used = [(n, worker, parent) for _, n, worker, parent in watched if last / 10 <= n < last]
    for place, who in ((1, "worker"), (2, "parent")):
        slope = np.polyfit([u[0] for u in used], [u[place] for u in used], 1)[0]
        print(
            f"memory of the {who}: {used[0][place]:.1f} MB after {used[0][0]} maps, {max(u[place] for u in used):.1f} MB "
            f"at most, {used[-1][place]:.1f} MB after {used[-1][0]}; fit {1000 * slope:+.1f} kB per map"
        )


def show_report(out, number):
    """What the one report of all maps costs, which the command makes at its end."""
    start = time.perf_counter()
    words = [sys.executable, "-m", "cryoresdl.models", "report", str(out), "--overwrite"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    spent = time.perf_counter() - start
    print(f"report of all maps: {spent:.1f} s, {1000 * spent / number:.1f} ms per map")


def kill_and_resume(words, out, args):
    """Kill the run at random moments, each after at least one more row, then let it end."""
    chance = random.Random(args.seed)
    ledger = out / results_ledger.RESULTS_JSONL
    for kill in range(args.kills):
        before = count(ledger)
        share = (args.maps - before) / (args.kills - kill + 1)
        wanted = before + 1 + int(chance.uniform(0, 2 * share - 1))
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while process.poll() is None and count(ledger) < min(wanted, args.maps - 1):
            time.sleep(0.01)
        # Anywhere between two rows, too.
        time.sleep(chance.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"killed at {count(ledger)} rows", flush=True)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def read_rows(out):
    """The table of a run."""
    with open(out / result_files.RESULTS_CSV, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def without_times(row):
    """A row without what differs between two runs of the same."""
    return {name: value for name, value in row.items() if name not in TIMES}


def digests(out):
    """Digest of every volume under ``out``."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*.mrc")
        if path.name[0] != "."
    }


def spread(values):
    """Median, and the range from the 5th to the 95th percentile."""
    low, high = np.percentile(values, (5, 95))
    return f"{statistics.median(values):6.1f} ({low:.1f} to {high:.1f})"


def count(path):
    """Lines of a file that may not be there yet."""
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


if __name__ == "__main__":
    main()
