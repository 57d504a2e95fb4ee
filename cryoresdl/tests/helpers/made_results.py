"""Results folders made by hand, in the files that the commands promise, for the tests of what shows them."""

import csv
import json

import numpy as np

from cryoresdl.models.base import resolution_terms
from cryoresdl.models.inference import claim_verdict
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.results import result_files

BOX = (20, 24, 28)
ORIGIN = (-30.0, 10.0, 5.0)
VOXEL = 1.5


def volumes(box=BOX):
    """Density, mask, resolution (2-11 A from the centre outwards) and interval."""
    grids = np.meshgrid(*(np.linspace(-1, 1, n) for n in box), indexing="ij")
    radius = np.sqrt(sum(g**2 for g in grids))
    mask = radius < 0.7
    noise = np.random.default_rng(4).standard_normal(box)
    density = (np.where(mask, 3.0, 0.0) + 0.2 * noise).astype(np.float32)
    values = np.where(mask, 3.0 + 11 * radius**2, 0).astype(np.float32)
    return density, mask, values, np.where(mask, 0.1 * values, 0).astype(np.float32)


def validation(folder, box=BOX, claim=True, compared=True):
    """A finished ``validate`` folder."""
    folder.mkdir(parents=True, exist_ok=True)
    density, mask, values, interval = volumes(box)
    like = density_map.DensityMap(density, VOXEL, ORIGIN)
    mrc_writer.write_volume(folder / "input.mrc", density, like)
    mrc_writer.write_volume(folder / result_files.LOCAL_RESOLUTION, values, like)
    mrc_writer.write_volume(folder / result_files.LOCAL_INTERVAL, interval, like)
    mrc_writer.write_volume(folder / result_files.LOCAL_CLASS, resolution_terms.class_of(values), like)
    mrc_writer.write_volume(folder / result_files.MASK_USED, mask.astype(np.int8), like)
    summary = resolution_terms.summarize(values, mask)
    summary.update(
        voxel_size_A=VOXEL,
        box_zyx=list(box),
        mask={"source": "auto", "voxels": int(mask.sum()), "threshold": 0.5},
        timings_s={"total": 1.5},
        peak_memory_mb=300.0,
        warnings=["The map is sharpened."],
        model={"name": "truth", "digest": "0" * 64},
        map=str(folder / "input.mrc"),
        half_maps=False,
        seed=7,
        version="0.1.0",
        nyquist_A=2 * VOXEL,
    )
    _json(folder / result_files.LOCAL_JSON, summary)
    chances = {"high": 0.7, "medium": 0.29, "low": 0.01}
    entry = {
        "map": str(folder / "input.mrc"),
        "voxel_size_A": VOXEL,
        "class": "high",
        "probabilities": chances,
        "resolution_A": 4.4,
        "interval_A": [3.9, 5.0],
        "in_distribution": True,
        "warnings": [],
        "claim": None,
        "model": "default",
    }
    if claim:
        entry["claim"] = claim_verdict.verdict(3.2, 4.4, (3.9, 5.0), chances, True, 3.0, summary)
    _json(folder / result_files.CLASSIFICATION_JSON, [entry])
    if compared:
        comparison(folder, values, like)
    return folder


def comparison(folder, values, like):
    """``comparison.json`` and its volumes beside them: MonoRes says 1 A more everywhere."""
    other = np.where(values > 0, values + 1, 0).astype(np.float32)
    mrc_writer.write_volume(folder / "monores.mrc", other, like)
    mrc_writer.write_volume(
        folder / result_files.DISAGREEMENT, np.where(values > 0, 1.0, 0.0).astype(np.float32), like
    )
    _json(
        folder / result_files.COMPARISON_JSON,
        {
            "volumes": [
                {"name": "cryoresdl", "path": str(folder / result_files.LOCAL_RESOLUTION)},
                {
                    "name": "MonoRes",
                    "path": str(folder / "monores.mrc"),
                    "median_A": float(np.median(other[other > 0])),
                    "quartiles_A": [float(v) for v in np.quantile(other[other > 0], (0.25, 0.75))],
                },
            ],
            "pairs": [
                {
                    "names": ["cryoresdl", "MonoRes"],
                    "kappa": 0.25,
                    "spearman": 1.0,
                    "bias_A": 1.0,
                    "mae_A": 1.0,
                    "n_voxels": int((values > 0).sum()),
                }
            ],
        },
    )


def training(folder, epochs=5):
    """A ``train`` folder after some epochs."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "history.csv", "w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("epoch", "loss", "accuracy", "val_loss", "val_accuracy"))
        for epoch in range(1, epochs + 1):
            rows.writerow((epoch, 1 / epoch, 1 - 0.5 / epoch, 1.1 / epoch, 1 - 0.6 / epoch))
    return folder


def simulation(folder, box=BOX):
    """A ``simulate --mode realistic`` folder."""
    folder.mkdir(parents=True, exist_ok=True)
    density, _, values, _ = volumes(box)
    like = density_map.DensityMap(density, VOXEL, ORIGIN)
    mrc_writer.write_volume(folder / "map.mrc", density, like)
    mrc_writer.write_volume(folder / "truth.mrc", values, like)
    frequency = [0.01 * number for number in range(34)]
    curve = [1 / (1 + (one / 0.2) ** 8) for one in frequency]
    _json(
        folder / "simulation.json",
        {
            "seed": 5,
            "global_fsc0143_A": 4.0,
            "measured_fsc0143_masked_A": 4.1,
            "fsc": {"frequency_per_A": frequency, "masked": curve},
        },
    )
    return folder


def _json(path, value):
    path.write_text(json.dumps(value))
