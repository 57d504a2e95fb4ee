"""Time and memory of `localres` and `classify` as whole processes, against the box, the mask and their number of voxels.

    python benchmarks/inference_speed.py [--boxes 64 128 256 512] [--fractions 0.01 0.04 0.16] [--repeats 3]
    python benchmarks/inference_speed.py --classify --no-mask --halves --backends [--json FILE]

White-noise maps of 1 A/voxel, three times louder in a ball that is the mask. Every line is a process of its own, median of
--repeats and range. Then two fits, with every measured point beside what the fit says:

    processor time = start + a * masked voxels + b * voxels of the box
    memory         = start + c * voxels of the box + d * voxels of the region

beside the bound that is promised: 200 MB + 12 bytes per voxel of the box + 28 per voxel of the region + what one tile of the
network takes, 130 bytes per voxel of the region but 750 MB at most (half maps: 12 bytes per voxel of the box and of the
region more). The region is the mask's bounding box with 16 voxels around it. `--backends` compares OpenVINO (f32, bf16), numpy and
TensorFlow on one 64^3-cell input, beside a matrix product of the same machine in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np

from cryoresdl.models.features import map_features
from cryoresdl.models.networks import network_runners

START_MB, TILE_MB, TILE_BYTES, REGION_BYTES, BOX_BYTES = 200, 750, 130, 28, 12
"""The stated bound: MB of the program, MB of the largest tile, and bytes per voxel of a tile, the region and the box."""


def promised_mb(box_voxels: float, region_voxels: float, halves: bool = False) -> float:
    """The stated bound of `localres`' memory in MB (of 2^20 bytes)."""
    box, region = box_voxels / 2**20, region_voxels / 2**20
    more = 12 * (box + region) if halves else 0
    return START_MB + BOX_BYTES * box + REGION_BYTES * region + min(TILE_BYTES * region, TILE_MB) + more


def measured(words: list, repeats: int) -> dict[str, list[float]]:
    """Wall s, processor s and peak MB of several processes."""
    runs = [common.engine(*words) for _ in range(repeats)]
    return {"wall": [r.wall for r in runs], "cpu": [r.cpu for r in runs], "mb": [r.peak_mb for r in runs]}


def points(args: argparse.Namespace, folder: Path) -> list[dict]:
    """One row per box and mask fraction, printed as it is measured."""
    rows = []
    print(
        "\n  box   masked voxels      region  job                wall s               CPU s       peak MB   promised MB"
    )
    for box in args.boxes:
        for fraction in args.fractions:
            # Fraction 1 is a mask of every voxel: the most that a box can ask for.
            mask = np.ones((box,) * 3, bool) if fraction >= 1 else common.ball(box, int(fraction * box**3))
            path, given = common.noise_map(folder, box, mask)
            region = int(np.prod([edge.stop - edge.start for edge in map_features.region_of(mask)]))
            jobs = {"localres": ["localres", path, "--mask", given]}
            if args.halves:
                halves = [common.noise_map(folder, box, mask, f"half{k}", k)[0] for k in (1, 2)]
                jobs["localres, halves"] = [*jobs["localres"], "--half1", halves[0], "--half2", halves[1]]
            if args.no_mask:
                jobs["localres, no mask"] = ["localres", path]
            if args.classify:
                jobs["classify"] = ["classify", path, "--mask", given]
            for job, words in jobs.items():
                repeats = args.repeats if region < 3e7 else 1
                found = measured([*words, "--out", folder / "out", "--overwrite"], repeats)
                row = {"box": box, "voxels": int(mask.sum()), "region": region, "job": job, **found}
                bound = promised_mb(box**3, region, "halves" in job)
                print(
                    f"{box:5d} {row['voxels']:15,d} {region:11,d}  {job:17s} {common.spread(found['wall']):20s}"
                    f" {common.spread(found['cpu'], 1):20s} {max(found['mb']):6.0f}"
                    + (
                        f" {bound:10.0f}{'' if max(found['mb']) <= bound else '  EXCEEDED'}"
                        if job.startswith("localres") and job != "localres, no mask"
                        else ""
                    ),
                    flush=True,
                )
                rows.append(row)
            for used in folder.glob("*.mrc"):
                used.unlink()
    return rows


def fits(rows: list[dict]) -> dict:
    """Time against masked voxels, memory against box and region; prints points beside the fit."""
    rows = [row for row in rows if row["job"] == "localres"]
    if len(rows) < 4:
        return {}
    masked, box, region = (
        np.array([row["voxels"] for row in rows]) / 1e6,
        np.array([row["box"] ** 3 for row in rows]) / 1e6,
        np.array([row["region"] for row in rows]) / 1e6,
    )
    found = {}
    for name, unit, values, terms in (
        # Processor time: the clock also holds what else the machine does.
        ("cpu", "s", [np.median(row["cpu"]) for row in rows], {"masked": masked, "box": box}),
        ("mb", "MB", [max(row["mb"]) for row in rows], {"box": box, "region": region}),
    ):
        values = np.asarray(values)
        design = np.stack([np.ones_like(values), *terms.values()], 1)
        # Relative residuals: a large box must not drown the small ones.
        factors, *_ = np.linalg.lstsq(design / values[:, None], np.ones_like(values), rcond=None)
        fitted = design @ factors
        r2 = 1 - ((values - fitted) ** 2).sum() / ((values - values.mean()) ** 2).sum()
        words = " + ".join(
            f"{factor:.2f} {unit} per million {term} voxels" for factor, term in zip(factors[1:], terms)
        )
        print(f"\n{name}: {factors[0]:.2f} {unit} + {words}; R2 = {r2:.4f}, n = {len(values)}")
        for row, value, fit in zip(rows, values, fitted):
            print(
                f"  {row['box']:4d}^3, {row['voxels']:12,d} masked: {value:8.2f} {unit}, fit {fit:8.2f} ({value / fit - 1:+.0%})"
            )
        found[name] = {"factors": factors.tolist(), "r2": float(r2)}
    return found


def common_peak() -> float:
    """GFLOP/s of a float32 matrix product in this process."""
    a = np.random.default_rng(0).standard_normal((2048, 2048), dtype=np.float32)
    return 2 * 2048**3 / min(common.seconds(lambda: a @ a, 5)) / 1e9


def backends() -> dict:
    """Seconds of one 64^3-cell input on each backend, the largest difference, and GFLOP/s beside the matrix product."""
    model = network_runners.load_model("truth", "local")
    config = model.card["network"]["config"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 64, 64, 64, config["inputs"]), dtype=np.float32)
    values = {"x": x, "summary": rng.standard_normal((1, config["summary"]), dtype=np.float32)}
    flop = 64**3 * flops_per_cell(config)
    peak = common_peak()
    found: dict = {"matrix product GFLOP/s (f32)": peak, "GFLOP of the network": flop / 1e9}
    reference = None
    for name, precision in (
        ("openvino", "f32"),
        ("openvino", "bf16"),
        ("tensorflow", "f32"),
        ("numpy", "f32"),
    ):
        os.environ[network_runners.PRECISION_VARIABLE] = precision
        try:
            function, _ = network_runners.runner(model.card["network"], model.weights, name)
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
    os.environ.pop(network_runners.PRECISION_VARIABLE, None)
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
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.01, 0.04, 0.16])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--classify", action="store_true")
    parser.add_argument("--no-mask", action="store_true")
    parser.add_argument("--halves", action="store_true")
    parser.add_argument("--backends", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    common.heading(
        f"Inference as whole processes, n = {args.repeats} (1 above 30 million voxels)", "openvino"
    )
    found: dict = {}
    with tempfile.TemporaryDirectory() as name:
        found["rows"] = points(args, Path(name))
    found["fits"] = fits(found["rows"])
    if args.backends:
        found["backends"] = backends()
        for key, value in found["backends"].items():
            print(f"{key}: {value if isinstance(value, str) else round(value, 1)}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1, default=float))


if __name__ == "__main__":
    sys.exit(main())
