"""How fast realistic maps with half maps and truth are made, and what a 256^3 one costs.

    python benchmarks/realistic_speed.py --structures DIR [--count 8]

DIR holds manifest.csv and pdb/ID.pdb.gz. Prints a table; nothing is asserted.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import numpy as np
import scipy

from cryoresdl.models.datasets import input_lists
from cryoresdl.models.simulation import realistic_map
from cryoresdl.models.structures import structure_reader

LARGE = """
import json, resource, sys, time
from cryoresdl.models.simulation import realistic_map
from cryoresdl.models.structures import structure_reader
baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
atoms = structure_reader.read_structure(sys.argv[1])
begun, cpu = time.perf_counter(), time.process_time()
realistic_map.simulate(atoms, 4.0, 256, 1.0, seed=0, truth_stride=int(sys.argv[2]))
print(json.dumps({"wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "baseline": baseline,
                  "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def fitting(folder, count):
    """Test structures that fit 96 voxels of 1 A, evenly over the manifest."""
    rows = [r for r in input_lists.read_manifest(folder, "test") if 30 < float(r["max_extent_A"]) < 80]
    return rows[:: max(1, len(rows) // count)][:count]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", required=True)
    parser.add_argument("--count", type=int, default=8)
    args = parser.parse_args()
    print(
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} processors, Python {platform.python_version()}, "
        f"numpy {np.__version__}, scipy {scipy.__version__}; load average {os.getloadavg()[0]:.1f}"
    )
    rows = fitting(args.structures, args.count)
    print("realistic 96^3, 1 A, half maps and truth; the default options, seconds a map")
    for stride in (1, 2):
        wall, cpu = [], []
        for seed, row in enumerate(rows):
            atoms = structure_reader.read_structure(row["path"])
            begun, used = time.perf_counter(), time.process_time()
            realistic_map.simulate(atoms, 4.0, 96, 1.0, seed, truth_stride=stride)
            wall.append(time.perf_counter() - begun)
            cpu.append(time.process_time() - used)
        print(
            f"truth on every {stride}. voxel: wall {statistics.mean(wall):.2f} (slowest {max(wall):.2f}), "
            f"processor {statistics.mean(cpu):.2f}, n = {len(wall)}"
        )
    for stride in (1, 2):
        words = [sys.executable, "-c", LARGE, rows[0]["path"], str(stride)]
        done = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        print(
            f"256^3, 1 A, truth on every {stride}. voxel: wall {done['wall']:.1f} s, processor {done['cpu']:.1f} s, "
            f"peak memory {done['peak'] / 1048576:.2f} GiB (of which imports {done['baseline'] / 1048576:.2f}), n = 1"
        )


if __name__ == "__main__":
    main()
