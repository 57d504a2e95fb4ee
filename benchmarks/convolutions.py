"""How near the network's convolutions run to the machine's matrix product, layer by layer, and what holds the rest.

    python benchmarks/convolutions.py [--cells 72] [--repeats 7] [--json FILE]

The peak is the fastest large matrix product of this machine in the same run and precision (numpy's BLAS and OpenVINO's).
Layers are those of the shipped local model on one tile of --cells^3 feature cells, timed by OpenVINO's own counters.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import common
import numpy as np

PRECISIONS = ("f32", "bf16")
SIZES = (1024, 2048, 3072)
"""Edges of the square products that the peak is taken from."""


def matrix_peak(precision: str, threads: int) -> dict[str, float]:
    """GFLOP/s of the fastest of a few large matrix products, by library."""
    found: dict[str, float] = {}
    for size in SIZES:
        for name, rate in _product(precision, threads, size).items():
            found[name] = max(rate, found.get(name, 0.0))
    return found


def _product(precision: str, threads: int, size: int, repeats: int = 4) -> dict[str, float]:
    """GFLOP/s of one square product; OpenVINO's with constant weights, as convolutions have."""
    import openvino as ov
    from openvino import opset13 as opset

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size), dtype=np.float32) for _ in range(2))
    found = {}
    if precision == "f32":
        found["numpy"] = 2 * size**3 / min(common.seconds(lambda: a @ b, repeats)) / 1e9
    x = opset.parameter([size, size], np.float32)
    graph = ov.Model([opset.matmul(x, opset.constant(b), False, False)], [x], "product")
    settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads, "PERF_COUNT": True}
    request = ov.Core().compile_model(graph, "CPU", settings).create_infer_request()
    best = np.inf
    for _ in range(repeats + 1):
        request.infer([a])
        # Only the product itself: copying in and out is no part of the peak.
        best = min(best, max(item.real_time.total_seconds() for item in request.get_profiling_info()))
    found["OpenVINO"] = 2 * size**3 / best / 1e9
    return found


def named_network(model, threads: int, precision: str):
    """The shipped network, its convolutions under their own names, with counters, and their shapes."""
    import openvino as ov
    from openvino import opset13 as opset

    from cryoresdl.models.networks import band_networks, network_runners

    config = model.card["network"]["config"]
    shapes = {}

    class Named(network_runners.OpenVinoOps):
        def conv(self, name, x, width, size):
            h = super().conv(name, x, width, size)
            h.input_value(0).get_node().set_friendly_name("conv:" + name)
            shapes[name] = self.weights[name + "/kernel"].shape
            return h

    x = opset.parameter([1, config["inputs"], -1, -1, -1], np.float32, name="x")
    summary = opset.parameter([1, config["summary"]], np.float32, name="summary")
    output = band_networks.forward_local(Named(model.weights, opset), x, summary, config)
    settings = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "PERF_COUNT": True,
    }
    compiled = ov.Core().compile_model(ov.Model([output], [x, summary], "named"), "CPU", settings)
    return compiled.create_infer_request(), shapes, config


def level_of(name: str, config: dict) -> int:
    """How often a layer's grid was halved."""
    if name.startswith("root"):
        return len(config["channels"]) - 1
    if name.startswith("down"):
        return int(name[4])
    if name == "logits":
        return 0
    return int(name[2]) + name.endswith("p")


def profile(model, precision: str, cells: int, threads: int, repeats: int) -> dict:
    """Median milliseconds and GFLOP of every convolution, and milliseconds of everything else by kind."""
    request, shapes, config = named_network(model, threads, precision)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, config["inputs"], cells, cells, cells), dtype=np.float32)
    summary = rng.standard_normal((1, config["summary"]), dtype=np.float32)
    layers, others, whole = defaultdict(list), defaultdict(list), []
    kernels = {}
    for number in range(repeats + 1):
        request.infer([x, summary])
        if number == 0:
            continue
        rest, total = defaultdict(float), 0.0
        for item in request.get_profiling_info():
            spent = item.real_time.total_seconds()
            total += spent
            if item.node_name.startswith("conv:"):
                layers[item.node_name[5:]].append(spent)
                kernels[item.node_name[5:]] = item.exec_type
            else:
                rest[item.node_type] += spent
        for kind, spent in rest.items():
            others[kind].append(spent)
        whole.append(total)
    table = {}
    for name, shape in shapes.items():
        flop = 2 * np.prod(shape) * (cells / 2 ** level_of(name, config)) ** 3
        table[name] = {
            "shape": list(shape),
            "gflop": float(flop) / 1e9,
            "ms": 1e3 * float(np.median(layers[name])),
            "best_ms": 1e3 * min(layers[name]),
            "kernel": kernels.get(name, "?"),
        }
    rest = {kind: 1e3 * float(np.median(values)) for kind, values in others.items()}
    return {"layers": table, "rest_ms": rest, "whole_ms": [1e3 * value for value in whole]}


def report(precision: str, found: dict, peak: float) -> float:
    """Print one precision's table; returns the convolutions' share of the peak."""
    print(
        f"\n{precision}, peak {peak:.0f} GFLOP/s\nlayer      kernel             GFLOP      ms  GFLOP/s  of peak  implementation"
    )
    for name, layer in found["layers"].items():
        rate = layer["gflop"] / layer["ms"] * 1e3
        print(
            f"{name:10s} {'x'.join(map(str, layer['shape'])):16s} {layer['gflop']:7.2f} {layer['ms']:7.2f}"
            f" {rate:8.0f} {100 * rate / peak:7.0f} %  {layer['kernel']}"
        )
    gflop = sum(layer["gflop"] for layer in found["layers"].values())
    spent = sum(layer["ms"] for layer in found["layers"].values())
    whole = float(np.median(found["whole_ms"]))
    share = gflop / spent * 1e3 / peak
    print(
        f"convolutions {gflop:.1f} GFLOP in {spent:.1f} ms: {gflop / spent * 1e3:.0f} GFLOP/s = {100 * share:.0f} % of the peak"
        f" (layers at their best {100 * share_of(found, peak):.0f} %)"
    )
    rest = ", ".join(
        f"{kind} {ms:.1f}" for kind, ms in sorted(found["rest_ms"].items(), key=lambda p: -p[1])[:6]
    )
    print(
        f"whole network {common.spread(found['whole_ms'], 1)} ms: convolutions {100 * spent / whole:.0f} %; the rest (ms): {rest}"
    )
    return share


def measure(cells: int, repeats: int, show: bool = True) -> dict:
    """Both precisions: peak, profile and share."""
    from cryoresdl.models.base import machine
    from cryoresdl.models.networks import network_runners

    model, threads = network_runners.load_model("truth", "local"), machine.processors()
    results = {}
    for precision in PRECISIONS:
        # The machine's clock wanders: the peak is taken before and after what it is compared with.
        before = matrix_peak(precision, threads)
        found = profile(model, precision, cells, threads, repeats)
        after = matrix_peak(precision, threads)
        peaks = {key: max(before[key], after[key]) for key in before}
        if show:
            print(
                "\nmatrix product, "
                + precision
                + ": "
                + ", ".join(f"{k} {v:.0f} GFLOP/s" for k, v in peaks.items())
            )
        found["peak_gflops"] = peaks
        found["share"] = (
            report(precision, found, max(peaks.values())) if show else share_of(found, max(peaks.values()))
        )
        results[precision] = found
    return results


def share_of(found: dict, peak: float) -> float:
    """The convolutions' share of the peak at their best, as the peak is taken at its best: other work only disturbs."""
    layers = found["layers"].values()
    return sum(one["gflop"] for one in layers) / sum(one["best_ms"] for one in layers) * 1e3 / peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--cells", type=int, default=72, help="edge of the tile; a 256^3 map with 733 k masked voxels has 72"
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    common.heading(
        f"Convolutions against the matrix product, {args.cells}^3 cells, n = {args.repeats}", "openvino"
    )
    found = measure(args.cells, args.repeats)
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
