"""What happens with inputs unlike the training ones: sharpened and blurred copies, noise, empty boxes, a wrong voxel size.

    python benchmarks/unlike_inputs.py [--shared DIR] [--limit 12] [--model truth] [--json FILE]

Without --shared: the bundled sample map, whose truth is known. With it also the test maps of another generator in
DIR/local_resolution (truth known), and the whole real maps of DIR/maps (no truth: compared with the untouched map).
Columns: local error against the truth; the local median over that of the untouched map; coverage of the 68 % interval; the
global estimate over the untouched one's; how often the class stays; how often the answer is flagged as unlike the training
maps; how often any warning is printed. Means over maps.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

import common
import numpy as np
from scipy import ndimage

from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.models.maps.density_map import DensityMap
from cryoresdl.models.maps.mrc import mask_reader, mrc_reader

DATA = Path(mrc_reader.__file__).resolve().parents[3] / "data"


@dataclass(frozen=True)
class Case:
    """One map with its mask, and the truth in A (0 = none) where it is known."""

    name: str
    density: DensityMap
    mask: np.ndarray
    truth: np.ndarray | None


def frequencies(shape: tuple[int, ...], voxel: float) -> np.ndarray:
    """Spatial frequency (1/A) of every coefficient of ``rfftn``."""
    axes = [np.fft.fftfreq(n, voxel) for n in shape[:-1]] + [np.fft.rfftfreq(shape[-1], voxel)]
    return np.sqrt(sum(f**2 for f in np.meshgrid(*axes, indexing="ij", sparse=True)))


def filtered(density: DensityMap, weights: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The map with every Fourier coefficient weighed by a function of its frequency in 1/A."""
    data = density.data
    transform = np.fft.rfftn(data) * weights(frequencies(data.shape, density.voxel_size))
    return np.fft.irfftn(transform, data.shape).astype(np.float32)


def b_factor(b: float) -> Callable[[Case], Case]:
    """Multiply the amplitudes by exp(-b f^2 / 4): negative sharpens."""
    return lambda case: changed(case, filtered(case.density, lambda f: np.exp(-b * f**2 / 4)))


def doubled_fall_off(case: Case) -> Case:
    """Sharpened x2: the radial mean amplitude becomes its own square root, so that it falls half as fast in the log."""
    f = frequencies(case.density.data.shape, case.density.voxel_size)
    transform = np.fft.rfftn(case.density.data)
    shell = np.minimum((f * case.density.voxel_size * 100).astype(int), 50)
    sums = np.bincount(shell.ravel(), np.abs(transform).ravel())
    mean = sums / np.maximum(np.bincount(shell.ravel()), 1)
    gain = 1 / np.sqrt(np.maximum(mean, mean.max() * 1e-9))
    return changed(case, np.fft.irfftn(transform * gain[shell], case.density.data.shape).astype(np.float32))


def low_pass(resolution: float) -> Callable[[Case], Case]:
    """Nothing left beyond a resolution (cosine edge over a tenth of it): the truth can be no finer there."""

    def change(case: Case) -> Case:
        cut = 1 / resolution
        data = filtered(
            case.density, lambda f: 0.5 + 0.5 * np.cos(np.pi * np.clip((f - 0.95 * cut) / (0.1 * cut), 0, 1))
        )
        truth = (
            None if case.truth is None else np.where(case.truth > 0, np.maximum(case.truth, resolution), 0)
        )
        return changed(case, data, truth=truth)

    return change


def noise(color: float) -> Callable[[Case], Case]:
    """Nothing but Gaussian noise, white or with a B-factor; there is no truth."""

    def change(case: Case) -> Case:
        data = np.random.default_rng(5).standard_normal(case.density.data.shape, dtype=np.float32)
        white = changed(case, data)
        result = changed(
            case, filtered(white.density, lambda f: np.exp(-color * f**2 / 4)) if color else data
        )
        return Case(result.name, result.density, result.mask, None)

    return change


def empty_half(cut_molecule: bool) -> Callable[[Case], Case]:
    """Zeros in half of the box, beside the molecule or through it."""

    def change(case: Case) -> Case:
        data, mask, truth = case.density.data.copy(), case.mask.copy(), case.truth
        half = data.shape[0] // 2
        if cut_molecule:
            data[:half], mask[:half] = 0, False
            truth = None if truth is None else np.where(mask, truth, 0)
        else:
            data[:half][~ndimage.binary_dilation(mask, iterations=3)[:half]] = 0
        return changed(case, data, mask=mask, truth=truth)

    return change


def declared(factor: float) -> Callable[[Case], Case]:
    """The header's voxel size is wrong by a factor; the truth is not."""

    def change(case: Case) -> Case:
        density = DensityMap(case.density.data, case.density.voxel_size * factor)
        return Case(case.name, density, case.mask, case.truth)

    return change


def changed(
    case: Case, data: np.ndarray, mask: np.ndarray | None = None, truth: np.ndarray | None = None
) -> Case:
    """The same case with other voxels."""
    density = DensityMap(np.ascontiguousarray(data, np.float32), case.density.voxel_size)
    return Case(
        case.name, density, case.mask if mask is None else mask, case.truth if truth is None else truth
    )


VARIANTS: dict[str, Callable[[Case], Case]] = {
    "untouched": lambda case: case,
    "grey values x -1000 + 7": lambda case: changed(case, case.density.data * -1000 + 7),
    "sharpened x2 (half the fall-off)": doubled_fall_off,
    "sharpened, B = -100 A^2": b_factor(-100),
    "sharpened, B = -200 A^2": b_factor(-200),
    "blurred, B = 100 A^2": b_factor(100),
    "blurred, B = 200 A^2": b_factor(200),
    "low-passed at 10 A": low_pass(10),
    "white noise only": noise(0),
    "blurred noise only, B = 200 A^2": noise(200),
    "half of the background zeroed": empty_half(False),
    "half of the molecule zeroed": empty_half(True),
    "voxel size declared x 1.5": declared(1.5),
    "voxel size declared / 1.5": declared(1 / 1.5),
}


def sample() -> Case:
    """The bundled map."""
    density = mrc_reader.read(DATA / "sample_map.mrc")
    mask = mask_reader.read_mask(DATA / "sample_mask.mrc.gz", density)
    return Case("sample", density, mask, mrc_reader.read_values(DATA / "sample_truth.mrc.gz", density).data)


def generated(shared: Path, limit: int) -> list[Case]:
    """Test maps of the independent generator."""
    found = []
    for entry in json.loads((shared / "local_resolution" / "index.json").read_text()):
        if entry["split"] != "test" or len(found) >= limit:
            continue
        folder = shared / "local_resolution" / entry["id"]
        density = mrc_reader.read(folder / "map.mrc.gz", entry["voxel_A"])
        mask = mrc_reader.read_values(folder / "mask.mrc.gz").data > 0
        found.append(Case(entry["id"], density, mask, mrc_reader.read_values(folder / "truth.mrc.gz").data))
    return found


def real(shared: Path) -> list[Case]:
    """The whole experimental maps that come with a mask."""
    found = []
    for name, voxel in (("relion_betagal", 3.54), ("emd_1832", None)):
        density = mrc_reader.read(shared / "maps" / f"{name}.map.gz", voxel)
        mask = mrc_reader.read_values(shared / "maps" / f"{name}_mask.mrc.gz").data > 0.5
        found.append(Case(name, density, mask, None))
    return found


def answer(case: Case, model: str) -> dict:
    """What the default networks say about a case."""
    local = local_resolution.localres(case.density, mask=case.mask, model=model)
    entry = global_resolution.classify(case.density, local=local)
    values, widths = local.resolution[case.mask], local.halfwidth[case.mask]
    row = {
        "median": float(np.median(values)),
        "estimate": entry["resolution_A"],
        "class": entry["class"],
        "flagged": not entry["in_distribution"],
        "warned": bool(entry["warnings"]),
    }
    if case.truth is not None:
        inside = case.mask & (case.truth > 0)
        error = np.abs(local.resolution - case.truth)[inside]
        row["mae"] = float(error.mean())
        row["covered"] = float((error <= local.halfwidth[inside]).mean())
    row["width"] = float(np.median(widths))
    return row


def table(title: str, cases: list[Case], model: str) -> dict:
    """All variants of some maps; returns the rows."""
    print(
        f"\n{title} (n = {len(cases)})\n{'':34s}  MAE, A  local median  covered  estimate  same class  flagged  warned"
    )
    rows: dict[str, list[dict]] = {}
    for variant, change in VARIANTS.items():
        rows[variant] = [answer(change(case), model) for case in cases]
        base = rows["untouched"]
        mean = {
            "median": np.mean([a["median"] / b["median"] for a, b in zip(rows[variant], base)]),
            "estimate": np.mean([a["estimate"] / b["estimate"] for a, b in zip(rows[variant], base)]),
            "same": np.mean([a["class"] == b["class"] for a, b in zip(rows[variant], base)]),
            "flagged": np.mean([a["flagged"] for a in rows[variant]]),
            "warned": np.mean([a["warned"] for a in rows[variant]]),
        }
        known = [row for row in rows[variant] if "mae" in row]
        error = f"{np.mean([r['mae'] for r in known]):7.2f}" if known else "      -"
        covered = f"{100 * np.mean([r['covered'] for r in known]):6.0f} %" if known else "       -"
        print(
            f"{variant:34s} {error}  {mean['median']:10.2f} x {covered}  {mean['estimate']:6.2f} x  {100 * mean['same']:8.0f} %"
            f" {100 * mean['flagged']:6.0f} % {100 * mean['warned']:5.0f} %",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--limit", type=int, default=12)
    parser.add_argument("--model", default="truth")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    common.heading("Inputs unlike the training ones", "openvino")
    found = {"sample": table("The bundled sample", [sample()], args.model)}
    if args.shared:
        found["generated"] = table(
            "Test maps of another generator", generated(args.shared, args.limit), args.model
        )
        found["real"] = table("Experimental maps", real(args.shared), args.model)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
