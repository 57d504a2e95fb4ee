"""Training throughput: steps and examples a second of the networks, and the share of the machine's matrix product.

    python benchmarks/training_speed.py [--steps 40] [--full-unet] [--json FILE]

Random examples of the real sizes go through the real training loops; the first quarter of the steps (compilation, filling of
buffers) is not counted. Nothing is validated or saved in between. --full-unet measures instead one step of the paper's U-Net at
its full width (127.9 million parameters, batch 32) after a first one, and the memory of the process at its peak.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from unittest import mock

import common
import numpy as np

from cryoresdl.models.datasets.feature_sets import feature_set_file
from cryoresdl.models.features import band_energies, network_inputs
from cryoresdl.models.networks import band_networks, paper_networks, tensorflow_import
from cryoresdl.models.paper import epoch_loop, examples, keras_stepper
from cryoresdl.models.training import crop_batches, local_fit
from cryoresdl.tests.helpers import small_maps


def random_items(count: int = 4, side: int = 48) -> list[feature_set_file.FeatureItem]:
    """Maps of a feature set as they are in memory, filled with noise."""
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        local = {
            v: rng.standard_normal((network_inputs.N_LOCAL,) + (side,) * 3, dtype=np.float32).astype(
                np.float16
            )
            for v in feature_set_file.VARIANTS
        }
        summary = {
            v: rng.standard_normal(network_inputs.summary_length()).astype(np.float32)
            for v in feature_set_file.VARIANTS
        }
        rise = {v: np.zeros(band_energies.N_BANDS, np.float32) for v in feature_set_file.VARIANTS}
        truth = np.where(common.ball(side, side**3 // 4), 5.0, 0.0).astype(np.float32)
        found.append(feature_set_file.FeatureItem(local, summary, rise, truth, {"voxel_size_A": 1.2}))
    return found


def default_local(steps: int, bfloat16: bool) -> dict:
    """The default local network by `fit_local` itself, timed by when it asks for batches."""
    recipe = crop_batches.LocalNetworkRecipe(steps=steps, bfloat16=bfloat16)
    items, times = random_items(), []
    real = crop_batches.crop_batch

    def timed(*words):
        times.append(time.perf_counter())
        return real(*words)

    nothing = {"val_single_log2": 1.0, "val_halves_log2": 1.0}
    own = {"load_split": lambda *words: items, "validate_local": lambda *words: nothing}
    cuts = mock.patch.object(crop_batches, "crop_batch", timed)
    with tempfile.TemporaryDirectory() as folder, cuts, mock.patch.multiple(local_fit, **own):
        # A run is bound to its set: a tiny one stands for the items in memory.
        path = small_maps.write_items(Path(folder) / "set.h5", {"train": [small_maps.make_item(0)]})
        local_fit.fit_local(path, folder, recipe, report=lambda line: None)
    kept = np.asarray(times[len(times) // 4 :])
    cells = recipe.batch * recipe.crop**3
    # Backward costs twice what forward does.
    flop = 3 * cells * flops_per_cell(band_networks.local_network()["config"])
    return {"seconds": np.diff(kept).tolist(), "examples": recipe.batch, "gflop": flop / 1e9}


def paper(kind: str, width: float, batch: int, steps: int) -> dict:
    """A network of the paper by the paper's stepper."""
    network = paper_networks.describe_network(kind, width)
    side = network["config"]["side"]
    rng = np.random.default_rng(0)
    shape = (batch,) + (side,) * 3
    labels = rng.integers(0, 3, shape if kind == paper_networks.UNET else (batch,))
    data = examples.Arrays(rng.random(shape, dtype=np.float32), labels)
    recipe = epoch_loop.EpochRecipe("adam", 1e-3, batch, 1, None)
    stepper = keras_stepper.KerasStepper(
        paper_networks.build_paper_network(network), data, data, recipe, 0, kind != paper_networks.UNET
    )
    times = [time.perf_counter()]
    for epoch in range(steps):
        stepper.train_epoch(epoch)
        times.append(time.perf_counter())
    return {"seconds": np.diff(times[1 + steps // 4 :]).tolist(), "examples": batch, "gflop": None}


def flops_per_cell(config: dict) -> float:
    """Multiply-adds times two of the local network per input cell."""
    from inference_speed import flops_per_cell as count

    return count(config)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument(
        "--full-unet", action="store_true", help="one step of the full-width U-Net, time and memory"
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    tensorflow_import.import_tensorflow()
    common.heading("Training throughput", "tensorflow-cpu", "tensorflow")
    from inference_speed import common_peak

    peak = common_peak()
    print(
        f"float32 matrix product: {peak:.0f} GFLOP/s\nnetwork                          n    s per step            examples/s"
    )
    jobs = {
        "default local, bfloat16": lambda: default_local(args.steps, True),
        "default local, float32": lambda: default_local(args.steps, False),
        "paper U-Net, 1/8 width": lambda: paper(paper_networks.UNET, 0.125, 32, max(args.steps // 4, 4)),
        "paper CNN, 1/8 width": lambda: paper(paper_networks.CNN, 0.125, 5, max(args.steps // 4, 4)),
    }
    if args.full_unet:
        jobs = {"paper U-Net, full width": lambda: paper(paper_networks.UNET, 1.0, 32, 2)}
    found = {}
    for label, job in jobs.items():
        row = found[label] = job()
        median = float(np.median(row["seconds"]))
        rate = (
            f"{row['gflop'] / median:6.0f} GFLOP/s = {100 * row['gflop'] / median / peak:.0f} % of it"
            if row["gflop"]
            else ""
        )
        print(
            f"{label:28s} {len(row['seconds']):5d}    {common.spread(row['seconds'], 3):20s} {row['examples'] / median:10.1f}  {rate}",
            flush=True,
        )
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of the process: {peak_gb:.1f} GiB")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
