"""`localres` beside MonoRes, ResMap and RELION in one run, for those whose binaries are on PATH.

    python benchmarks/peers.py [--boxes 64 128] [--shared DIR] [--sampling 25] [--repeats 3] [--json FILE]

Cost: white-noise half maps of 1 A/voxel with a ball-shaped mask (18 k and 183 k voxels, as in the recorded table); whole
processes, wall and processor time, all programs on the same files, one after the other. With --shared also accuracy: the maps of
DIR/local_resolution that have half maps, every program on the same halves and mask, against the same truth.
RELION is Debian's package `relion`; MonoRes needs xmipp_resolution_monogenic_signal and ResMap needs `resmap` on PATH.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Callable

import common
import numpy as np
from scipy.stats import spearmanr

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer

MASKED = {64: 18_000, 128: 183_000, 256: 733_000}


class Peer:
    """A program: its binary, the command for one job, and where its volume is.

    A job is a folder with ``map.mrc``, ``half1.mrc``, ``half2.mrc`` and ``mask.mrc``.
    """

    def __init__(self, name: str, binary: str, halves: bool, command: Callable, volume: str):
        self.name, self.binary, self.halves, self.command, self.volume = name, binary, halves, command, volume

    def path(self) -> str | None:
        """The binary, if it is here."""
        return shutil.which(self.binary)

    def run(self, folder: Path, voxel: float, sampling: float) -> tuple[common.Run, np.ndarray]:
        """Run it on one job; its cost, and its volume in A (z, y, x)."""
        out = folder / "peer"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        cost = common.process(self.command(self.path(), folder, out, voxel, sampling))
        return cost, mrc_reader.read_values(out / self.volume).data


def relion(binary, folder, out, voxel, sampling):
    """RELION's local FSC between the halves."""
    words = [binary, "--i", folder / "half1.mrc", "--i2", folder / "half2.mrc", "--o", out / "run"]
    words += ["--mask", folder / "mask.mrc", "--angpix", voxel, "--adhoc_bfac", 0, "--verb", 0]
    return [*words, "--locres", "--locres_sampling", sampling]


def monores(binary, folder, out, voxel, sampling):
    """Xmipp's MonoRes on one map, as Scipion builds the command."""
    words = [binary, "--vol", folder / "map.mrc", "--sampling_rate", voxel, "--mask", folder / "mask.mrc"]
    words += ["--minRes", 0, "--maxRes", 20 * voxel, "--step", 0.5, "-o", out]
    return [*words, "--significance", 0.95, "--threads", 2]


def resmap(binary, folder, out, voxel, sampling):
    """ResMap 1.1.5 without its window; it writes beside its input."""
    shutil.copy(folder / "map.mrc", out / "map.mrc")
    words = [binary, out / "map.mrc", "--noguiSingle", f"--vxSize={voxel}"]
    return [
        *words,
        "--pVal=0.05",
        "--minRes=0",
        "--maxRes=0",
        "--stepRes=1",
        f"--maskVol={folder / 'mask.mrc'}",
    ]


PEERS = (
    Peer("RELION", "relion_postprocess", True, relion, "run_locres.mrc"),
    Peer("MonoRes", "xmipp_resolution_monogenic_signal", False, monores, "monoresResolutionMap.mrc"),
    Peer("ResMap", "resmap", False, resmap, "map_ori_resmap.mrc"),
)


def ours(folder: Path, halves: bool) -> tuple[common.Run, np.ndarray]:
    """The default model on one job."""
    out = folder / "ours"
    words = ["localres", folder / "map.mrc", "--mask", folder / "mask.mrc", "--out", out, "--overwrite"]
    if halves:
        words += ["--half1", folder / "half1.mrc", "--half2", folder / "half2.mrc"]
    return common.engine(*words), mrc_reader.read_values(out / "local_resolution.mrc").data


def write_job(folder: Path, half1: np.ndarray, half2: np.ndarray, mask: np.ndarray, voxel: float) -> None:
    """The files of one job, all float32: what every program reads."""
    like = density_map.DensityMap(half1, voxel)
    for name, data in (("half1", half1), ("half2", half2), ("map", (half1 + half2) / 2), ("mask", mask)):
        mrc_writer.write_volume(folder / f"{name}.mrc", np.ascontiguousarray(data, np.float32), like)


def cost(boxes: list[int], repeats: int, sampling: float) -> list[dict]:
    """Seconds and memory of every program on noise."""
    rows = []
    print("\n  box  masked   program              wall s                 CPU s                peak MB    n")
    for box in boxes:
        mask = common.ball(box, MASKED.get(box, int(0.07 * box**3)))
        rng = np.random.default_rng(box)
        signal = 2 * rng.standard_normal((box,) * 3, dtype=np.float32) * mask
        halves = [signal + rng.standard_normal((box,) * 3, dtype=np.float32) for _ in range(2)]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_job(folder, *halves, mask, 1.0)
            jobs = {
                "ours, one map": lambda f=folder: ours(f, False),
                "ours, half maps": lambda f=folder: ours(f, True),
            }
            for peer in PEERS:
                if peer.path():
                    what = ", half maps" if peer.halves else ", one map"
                    jobs[peer.name + what] = lambda f=folder, p=peer: p.run(f, 1.0, sampling)
            for label, job in jobs.items():
                runs = [job()[0] for _ in range(repeats if box < 256 or "ours" in label else 1)]
                print(
                    f"{box:5d} {int(mask.sum()):7d}   {label:18s} {common.spread([r.wall for r in runs]):22s}"
                    f" {common.spread([r.cpu for r in runs]):22s} {max(r.peak_mb for r in runs):6.0f} {len(runs):4d}",
                    flush=True,
                )
                rows.append(
                    {"box": box, "job": label, "wall": [r.wall for r in runs], "cpu": [r.cpu for r in runs]}
                )
    return rows


def accuracy(shared: Path, sampling: float, limit: int) -> dict[str, list[dict]]:
    """Errors of every program on the same half maps, where both estimate."""
    rows: dict[str, list[dict]] = {}
    entries = json.loads((shared / "local_resolution" / "index.json").read_text())
    for entry in [e for e in entries if e["has_half_maps"]][:limit]:
        source = shared / "local_resolution" / entry["id"]
        half1, half2 = (mrc_reader.read(source / f"half{k}.mrc.gz", entry["voxel_A"]) for k in (1, 2))
        mask = mrc_reader.read_values(source / "mask.mrc.gz").data > 0
        truth = mrc_reader.read_values(source / "truth.mrc.gz").data
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_job(folder, half1.data, half2.data, mask, entry["voxel_A"])
            found = {"ours, half maps": ours(folder, True), "ours, one map": ours(folder, False)}
            for peer in PEERS:
                if peer.path():
                    found[peer.name] = peer.run(folder, entry["voxel_A"], sampling)
        inside = mask & (truth > 0)
        for _, values in found.values():
            inside &= resolution_terms.estimated(values)
        for label, (run, values) in found.items():
            error = np.abs(values - truth)[inside]
            bias = np.median((values - truth)[inside])
            rows.setdefault(label, []).append(
                {
                    "mae": float(error.mean()),
                    "mae_unbiased": float(np.abs(values - truth - bias)[inside].mean()),
                    "spearman": float(spearmanr(values[inside], truth[inside])[0]),
                    "voxels": int(inside.sum()),
                    "cpu": run.cpu,
                }
            )
    print("\naccuracy on the voxels that all estimate; means over maps (and range)")
    for label, values in rows.items():
        cells = [
            f"{key} {np.mean([v[key] for v in values]):.2f} ({min(v[key] for v in values):.2f}-{max(v[key] for v in values):.2f})"
            for key in ("mae", "mae_unbiased", "spearman", "cpu")
        ]
        print(f"{label:18s} n = {len(values)}  " + "  ".join(cells))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--boxes", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--sampling", type=float, default=25.0, help="RELION's --locres_sampling in A (its default: 25)"
    )
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    common.heading("Local resolution beside its peers", "openvino")
    for peer in PEERS:
        print(f"{peer.name}: {peer.path() or f'not measured, {peer.binary} is not on PATH'}")
    found: dict = {"cost": cost(args.boxes, args.repeats, args.sampling)}
    if args.shared:
        found["accuracy"] = accuracy(args.shared, args.sampling, args.limit)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
