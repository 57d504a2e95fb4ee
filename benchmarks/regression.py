"""Is it slower, hungrier or less accurate than what was last accepted?

    python benchmarks/regression.py [--repeats 3] [--accept] [--only NAME...]        (make bench)

Figures are ratios that hardly depend on the machine: processor seconds over those of a fixed matrix product or of the bare
interpreter in the same run, memory over the map's, shares of the peak, errors against a known truth. accepted.json beside this
file keeps the last accepted ones; a figure worse than its tolerance ends with exit code 1. `--accept` replaces the file.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

import common
import numpy as np

ACCEPTED = Path(__file__).with_name("accepted.json")
LOWER, HIGHER = "lower", "higher"


def unit(repeats: int = 5) -> float:
    """Processor seconds of a product of two 1024 x 1024 matrices (median): what everything is counted in."""
    a = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
    a @ a
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        for _ in range(5):
            a @ a
        found.append((time.process_time() - begun) / 5)
    return float(np.median(found))


def processor(call: Callable, repeats: int) -> float:
    """Least processor seconds of some calls: what else runs only adds."""
    call()
    found = []
    for _ in range(repeats):
        begun = time.process_time()
        call()
        found.append(time.process_time() - begun)
    return min(found)


def inference_figures(repeats: int) -> dict:
    """Whole processes on a 128^3 map: time in matrix products, memory in maps, and what a masked voxel costs."""
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = {}
        for voxels in (30_000, 300_000):
            path, mask = common.noise_map(folder, 128, common.ball(128, voxels), str(voxels))
            words = ["localres", path, "--mask", mask, "--out", folder / "out", "--overwrite"]
            runs[voxels] = [common.engine(*words) for _ in range(repeats)]
    one = unit()
    small, large = (min(r.cpu for r in runs[v]) for v in (30_000, 300_000))
    found["localres, 128^3, 300 k voxels: matrix products of 1024"] = large / one
    found["localres, 10 x the voxels: times the time"] = large / small
    found["localres, 128^3: memory beyond an idle engine, maps"] = (
        max(r.peak_mb for r in runs[300_000]) - idle_mb()
    ) / (128**3 * 4 / 2**20)
    return found


def idle_mb() -> float:
    """Memory of a process that has imported what inference needs and done nothing."""
    words = [sys.executable, "-c", "from cryoresdl.models import inference; import openvino"]
    return common.process(words).peak_mb


def start_figures(repeats: int) -> dict:
    """Start-up over the bare interpreter's."""
    bare = min(common.process([sys.executable, "-c", "pass"]).cpu for _ in range(2 * repeats))
    version = min(
        common.process([sys.executable, "-m", "cryoresdl.models", "--version"]).cpu
        for _ in range(2 * repeats)
    )
    return {"cryoresdl --version: times the bare interpreter": version / bare}


def convolution_figures(repeats: int) -> dict:
    """Share of the machine's matrix product that the convolutions reach."""
    import convolutions

    found = convolutions.measure(48, max(repeats, 9), show=False)
    return {f"convolutions, {p}: share of the matrix product": found[p]["share"] for p in found}


def simulation_figures(repeats: int) -> dict:
    """Simulated maps in matrix products, and against the loop over atoms."""
    import simulation_speed

    from cryoresdl.models.simulation import atom_density, realistic_map
    from cryoresdl.tests.helpers.small_maps import ball

    atoms = ball(1500, 24.0)
    one = unit()
    fast = processor(lambda: atom_density.pdb2mrc(atoms, 7.5, 64), 3 * repeats)
    xyz = atoms.xyz.astype(np.float32).astype(np.float64)
    loop = processor(lambda: simulation_speed.per_atom_loop(xyz, atoms.z_number, 7.5, 64, 1.0), 1)
    real = processor(lambda: realistic_map.simulate(atoms, 4.0, 64, 1.0, 0), 1)
    return {
        "pdb2mrc, 64^3, 7.5 A, 1500 atoms: times faster than a loop over atoms": loop / fast,
        "pdb2mrc, 64^3, 7.5 A, 1500 atoms: matrix products of 1024": fast / one,
        "realistic map with truth, 64^3: matrix products of 1024": real / one,
    }


def accuracy_figures(repeats: int) -> dict:
    """Errors of the shipped models on the bundled sample, whose truth is known."""
    import unlike_inputs

    case = unlike_inputs.sample()
    row = unlike_inputs.answer(case, "truth")
    halves = unlike_inputs.DATA
    from cryoresdl.models.inference import local_resolution
    from cryoresdl.models.maps.mrc import mrc_reader

    a, b = (mrc_reader.read(halves / f"sample_half{k}.mrc.gz") for k in (1, 2))
    both = local_resolution.localres(case.density, a, b, case.mask)
    inside = case.mask & (case.truth > 0)
    return {
        "sample map: local error, A": row["mae"],
        "sample map with halves: local error, A": float(np.abs(both.resolution - case.truth)[inside].mean()),
    }


GROUPS = {
    "start": (start_figures, LOWER, 0.30),
    "inference": (inference_figures, LOWER, 0.30),
    "convolutions": (convolution_figures, HIGHER, 0.25),
    "simulation": (simulation_figures, LOWER, 0.35),
    "accuracy": (accuracy_figures, LOWER, 0.10),
}
"""Name -> what measures it, which way is better, and the relative change that is accepted as noise."""


def measure(names: list[str], repeats: int) -> dict:
    """All figures of some groups."""
    found = {}
    for name in names:
        function, better, tolerance = GROUPS[name]
        for label, value in function(repeats).items():
            way = HIGHER if "times faster" in label else better
            found[label] = {"value": float(value), "better": way, "tolerance": tolerance, "group": name}
    return found


def judge(value: float, accepted: dict) -> tuple[float, bool]:
    """How many times worse than accepted (1 = the same), and whether that is still within the tolerance."""
    worse = value / accepted["value"] if accepted["better"] == LOWER else accepted["value"] / value
    return worse, worse <= 1 + accepted["tolerance"]


def compare(found: dict, accepted: dict) -> bool:
    """Print every figure beside the accepted one; whether all are good enough."""
    good = True
    print(f"{'figure':76s} {'now':>8s} {'accepted':>9s}  times worse")
    for label, row in found.items():
        old = accepted.get(label)
        if old is None:
            print(f"{label:76s} {row['value']:8.3g} {'new':>9s}")
            continue
        worse, fine = judge(row["value"], old)
        good &= fine
        print(
            f"{label:76s} {row['value']:8.3g} {old['value']:9.3g}  {worse:5.2f}{'' if fine else '  REGRESSION'}"
        )
    lost = [
        label
        for label, row in accepted.items()
        if label not in found and row["group"] in {r["group"] for r in found.values()}
    ]
    for label in lost:
        print(f"{label:76s} {'gone':>8s}")
    return good and not lost


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--only", nargs="+", choices=sorted(GROUPS), default=list(GROUPS))
    args = parser.parse_args()
    common.heading("Figures against the last accepted ones", "openvino")
    stored = json.loads(ACCEPTED.read_text()) if ACCEPTED.exists() else {"figures": {}}
    found = measure(args.only, args.repeats)
    good = compare(found, stored["figures"])
    if args.accept:
        kept = {k: v for k, v in stored["figures"].items() if v["group"] not in args.only}
        value = {
            "machine": common.machine(),
            "versions": common.versions("openvino"),
            "figures": {**kept, **found},
        }
        ACCEPTED.write_text(json.dumps(value, indent=1) + "\n")
        print(f"Accepted: {ACCEPTED}")
        return 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
