"""Time and memory of `localres` and `classify` as whole processes, and how near the network runs to the machine's peak.

Usage: python benchmarks/inference_speed.py [--boxes 64 128 256 512] [--backends] [--json FILE]

White-noise maps of 1 A/voxel with a ball-shaped mask of the voxel counts of the peers' table (18 k, 183 k, 733 k); 512^3 with a
mask of 4 % too. Times are of the whole process, wall and CPU, median of --repeats. `--backends` compares OpenVINO (f32, bf16),
numpy and TensorFlow on one 64^3-cell input, beside a matrix product of the same machine in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cryoresdl.models import maps
from cryoresdl.models.maps import DensityMap

MASKED = {64: 18_000, 128: 183_000, 256: 733_000, 512: 5_400_000}
PEERS = {64: (0.33, 8.7, 0.8), 128: (3.6, 99.0, 6.4), 256: (67.0, 204.0, 1788.0)}
"""Recorded wall seconds of MonoRes, ResMap (one map) and RELION (half maps) on the same kind of machine."""


def ball_map(folder: Path, box: int, voxels: int) -> tuple[Path, Path]:
    """White noise, louder inside a ball of ``voxels`` voxels, and the ball as the mask."""
    rng = np.random.default_rng(box)
    radius = (3 * voxels / (4 * np.pi)) ** (1 / 3)
    z, y, x = np.ogrid[:box, :box, :box]
    mask = (z - box / 2) ** 2 + (y - box / 2) ** 2 + (x - box / 2) ** 2 < radius**2
    data = rng.standard_normal((box,) * 3, dtype=np.float32)
    data[mask] *= 3
    like = DensityMap(data, 1.0)
    paths = folder / f"map{box}_{voxels}.mrc", folder / f"mask{box}_{voxels}.mrc"
    maps.write(paths[0], data, like)
    maps.write(paths[1], mask.astype(np.int8), like)
    return paths


def run(words: list[str]) -> tuple[float, float, float]:
    """Wall s, CPU s and peak MB of one process."""
    code = (
        "import resource, subprocess, sys;"
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL);"
        "u = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(u.ru_utime + u.ru_stime, u.ru_maxrss / 1024)"
    )
    begun = time.perf_counter()
    command = [sys.executable, "-c", code, sys.executable, "-m", "cryoresdl.models", *words]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return time.perf_counter() - begun, float(printed[-2]), float(printed[-1])


def gemm_rate(size: int = 2048) -> float:
    """GFLOP/s of a float32 matrix product in this process."""
    a = np.random.default_rng(0).standard_normal((size, size), dtype=np.float32)
    a @ a
    begun = time.perf_counter()
    for _ in range(5):
        a @ a
    return 5 * 2 * size**3 / (time.perf_counter() - begun) / 1e9


def backends() -> dict:
    """Seconds of one 64^3-cell input on each backend, the largest difference, and GFLOP/s beside the matrix product."""
    from cryoresdl.models import backend, inference

    model = inference.load_model("truth", "local")
    config = model.card["network"]["config"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 64, 64, 64, config["inputs"]), dtype=np.float32)
    values = {"x": x, "summary": rng.standard_normal((1, config["summary"]), dtype=np.float32)}
    flop = 64**3 * flops_per_cell(config)
    peak = gemm_rate()
    found: dict = {"matrix product GFLOP/s (f32)": peak, "GFLOP of the network": flop / 1e9}
    reference = None
    for name, precision in (
        ("openvino", "f32"),
        ("openvino", "bf16"),
        ("tensorflow", "f32"),
        ("numpy", "f32"),
    ):
        os.environ[backend.PRECISION_VARIABLE] = precision
        try:
            function, _ = backend.runner(model.card["network"], model.weights, name)
        except Exception as error:  # noqa: BLE001 - a missing backend is a row of the table
            found[f"{name} {precision}"] = str(error)
            continue
        out = function(values)
        times = []
        for _ in range(3):
            begun = time.perf_counter()
            function(values)
            times.append(time.perf_counter() - begun)
        reference = out if reference is None else reference
        rate = flop / min(times) / 1e9
        found[f"{name} {precision}"] = (
            f"{min(times):.3f} s, {rate:.0f} GFLOP/s = {100 * rate / peak:.0f} % of the matrix product, "
            f"largest difference of logits {np.abs(out - reference).max():.4f}"
        )
    os.environ.pop(backend.PRECISION_VARIABLE, None)
    return found


def flops_per_cell(config: dict) -> float:
    """Multiply-adds times two of the local network's convolutions per input cell."""
    c = config["channels"]
    total, share, last = 0.0, 1.0, config["inputs"]
    for level, width in enumerate(c):
        total += share * 2 * 27 * (last * width + width * width)
        last = width
        if level < len(c) - 1:
            share /= 8
    for level in range(len(c) - 2, -1, -1):
        total += share * 2 * c[level + 1] * c[level]
        share *= 8
        total += share * 2 * 27 * c[level] ** 2
    return total + 2 * c[0] * config["bins"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--backends", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    )
    found: dict = {}
    points = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for box in args.boxes:
            path, mask = ball_map(folder, box, MASKED.get(box, int(0.04 * box**3)))
            voxels = int(maps.read_mask(mask, maps.read(path)).sum())
            jobs = {
                "localres, mask": ["localres", str(path), "--mask", str(mask)],
                "localres, no mask": ["localres", str(path)],
                "classify": ["classify", str(path), "--mask", str(mask)],
            }
            for job, words in jobs.items():
                rows = [
                    run([*words, "--out", str(folder / "out"), "--overwrite"]) for _ in range(args.repeats)
                ]
                wall, cpu, memory = np.median(np.asarray(rows), axis=0)
                line = f"{box}^3 {job} ({voxels} voxels): {wall:.2f} s wall, {cpu:.2f} s CPU, {memory:.0f} MB"
                if box in PEERS and job == "localres, mask":
                    line += " (MonoRes {:.2f}, ResMap {:.1f}, RELION {:.1f} s wall)".format(*PEERS[box])
                    points.append((voxels, wall))
                print(line, flush=True)
                found[f"{box} {job}"] = {"wall_s": wall, "cpu_s": cpu, "peak_mb": memory, "voxels": voxels}
    if len(points) > 2:
        n, t = np.asarray(points).T
        slope, start = np.polyfit(n, t, 1)
        print(f"fit: {start:.2f} s + {1e6 * slope:.2f} s per million masked voxels")
    if args.backends:
        found["backends"] = backends()
        for key, value in found["backends"].items():
            print(f"{key}: {value if isinstance(value, str) else round(value, 1)}")
    found["self_peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if args.json:
        args.json.write_text(json.dumps(found, indent=1, default=float))


if __name__ == "__main__":
    main()
