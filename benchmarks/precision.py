"""Float32 against bfloat16: do the default networks' answers differ, and what does bfloat16 save?

    python benchmarks/precision.py --shared DIR [--limit 56] [--model truth] [--json FILE]

Every map of DIR/local_resolution is estimated twice in one process, as `CRYORESDL_PRECISION=f32` and `=bf16` do. Differences are
between the two answers in the mask; errors are against the truth; means over maps with 95 % bootstrap intervals over maps.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import common
import numpy as np

from cryoresdl.models.inference import answers, global_resolution, local_resolution
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks import network_runners

PRECISIONS = ("f32", "bf16")


def estimate(
    density: density_map.DensityMap, mask: np.ndarray, model: str, precision: str
) -> answers.LocalResult:
    """One map at one precision; the network is compiled once for each."""
    os.environ[network_runners.PRECISION_VARIABLE] = precision
    network_runners._RUNNERS = _RUNNERS.setdefault(precision, {})
    return local_resolution.localres(density, mask=mask, model=model)


_RUNNERS: dict[str, dict] = {}


def compare(entry: dict, folder: Path, model: str) -> dict:
    """Figures of one map."""
    density = mrc_reader.read(folder / "map.mrc.gz", entry["voxel_A"])
    mask = mrc_reader.read_values(folder / "mask.mrc.gz").data > 0
    truth = mrc_reader.read_values(folder / "truth.mrc.gz").data
    inside = mask & (truth > 0)
    found = {p: estimate(density, mask, model, p) for p in PRECISIONS}
    full, half = (found[p] for p in PRECISIONS)
    gap = np.abs(full.resolution - half.resolution)[mask]
    classes = {p: global_resolution.classify(density, local=found[p]) for p in PRECISIONS}
    row = {
        "difference_A": float(gap.mean()),
        "difference_p99_A": float(np.quantile(gap, 0.99)),
        "same_class": float((full.classes == half.classes)[mask].mean()),
        "within_one": float((np.abs(full.classes.astype(int) - half.classes) <= 1)[mask].mean()),
        "same_global": float(classes["f32"]["class"] == classes["bf16"]["class"]),
    }
    for p in PRECISIONS:
        error = np.abs(found[p].resolution - truth)[inside]
        row[f"mae_{p}"] = float(error.mean())
        row[f"covered_{p}"] = float((error <= found[p].halfwidth[inside]).mean())
        row[f"network_s_{p}"] = found[p].info["timings_s"]["network"]
    return row


def interval(values: list[float]) -> str:
    """Mean and its 95 % bootstrap interval over maps."""
    rng, data = np.random.default_rng(0), np.asarray(values)
    means = [rng.choice(data, data.size).mean() for _ in range(1000)]
    return f"{data.mean():.4f} [{np.quantile(means, 0.025):.4f}, {np.quantile(means, 0.975):.4f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=56)
    parser.add_argument("--model", default="truth")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    common.heading("Float32 against bfloat16", "openvino")
    root = args.shared / "local_resolution"
    entries = json.loads((root / "index.json").read_text())[: args.limit]
    compare(entries[0], root / entries[0]["id"], args.model)  # compiles both
    rows = [compare(entry, root / entry["id"], args.model) for entry in entries]
    print(f"n = {len(rows)} maps")
    for key in rows[0]:
        if not key.startswith("network_s"):
            print(f"{key:18s} {interval([row[key] for row in rows])}")
    for p in PRECISIONS:
        print(f"network, {p:5s} s      {common.spread([row[f'network_s_{p}'] for row in rows], 3)}")
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
