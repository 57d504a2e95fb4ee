"""A thousand small maps through the batch command: memory, overhead per map, five kills, resume.

    python benchmarks/batch_1000.py [--maps 1000] [--kills 5] [--real]

Without ``--real`` an instant stand-in takes the place of the networks, so that what is measured is everything else:
reading, masking, writing, the ledger and the pipe to the worker. It prints the overhead as processor time and as wall
time per map, the worker's memory after a tenth of the last run and at most, and whether every map has one row.
"""

import argparse
import csv
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from cryoresdl.models import batch, constants
from cryoresdl.tests.test_batch import write_map
from cryoresdl.tests.test_faults import QUICK


def main():
    """Make the maps, run, kill, resume, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--maps", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--box", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--real", action="store_true", help="with the shipped networks")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), args)


def measure(base, args):
    """One complete experiment in the folder ``base``."""
    for number in range(args.maps):
        write_map(base / f"m{number}.mrc", number, args.box)
    names = [f"m{number}.mrc" for number in range(args.maps)]
    (base / "list.csv").write_text("map\n" + "".join(f"{name}\n" for name in names))
    (base / "quick.py").write_text(QUICK)
    engine = ["-m", "cryoresdl.models"] if args.real else [str(base / "quick.py")]
    words = [sys.executable, *engine, "validate", str(base / "list.csv"), "--out", str(base / "out")]
    words += ["--resume", "--no-report", "--quiet"]
    chance = random.Random(args.seed)
    ledger = base / "out" / batch.RESULTS_JSONL
    for _ in range(args.kills):
        before = _lines(ledger)
        # From the first new row on, within the time that a share of the maps takes.
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        while process.poll() is None and _lines(ledger) <= before:
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 3))
        process.kill()
        process.wait()
        print(f"killed at {_lines(ledger)} rows", flush=True)
    before, start = _lines(ledger), time.perf_counter()
    memory, cpu = _watch(subprocess.Popen(words, stdout=subprocess.DEVNULL))
    wall, fresh = time.perf_counter() - start, args.maps - before
    with open(base / "out" / constants.RESULTS_CSV, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    keys = [json.loads(line)["key"] for line in ledger.read_text().splitlines()]
    right = [Path(row["map"]).name for row in rows] == names and len(set(keys)) == len(keys) == args.maps
    print(f"{sum(row['status'] == 'done' for row in rows)} of {args.maps} rows done, each once: {right}")
    print(
        f"last run: {fresh} maps, {1000 * wall / fresh:.1f} ms wall and {1000 * cpu / fresh:.1f} ms CPU per map"
    )
    print(f"worker memory: {memory[len(memory) // 10]:.1f} MB after a tenth, {max(memory):.1f} MB at most")


def _lines(path):
    try:
        return path.read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def _watch(process):
    """Memory (MB) of the worker over time, and processor seconds of it and of the parent."""
    memory, cpu = [0.0], 0.0
    while process.poll() is None:
        time.sleep(0.25)
        try:
            parent = psutil.Process(process.pid)
            family = [parent, *parent.children(recursive=True)]
            if len(family) > 1:  # at the end the worker goes before the parent
                memory.append(max(child.memory_info().rss for child in family[1:]) / 1e6)
                times = [child.cpu_times() for child in family]
                cpu = max(cpu, sum(spent.user + spent.system for spent in times))
        except psutil.Error:
            continue
    return memory, cpu


if __name__ == "__main__":
    main()
