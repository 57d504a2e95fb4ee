"""What the benchmarks share: the line that names the machine, processes measured from outside, medians with their spread."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np

_CHILD = (
    "import json, resource, subprocess, sys, time;"
    "begun = time.perf_counter();"
    "code = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL, timeout=float(sys.argv[1])).returncode;"
    "wall = time.perf_counter() - begun;"
    "u = resource.getrusage(resource.RUSAGE_CHILDREN);"
    "print(json.dumps([code, wall, u.ru_utime + u.ru_stime, u.ru_maxrss / 1024]))"
)


@dataclass(frozen=True)
class Run:
    """One process: seconds on the clock, seconds of processor, and the most memory it held (MB)."""

    wall: float
    cpu: float
    peak_mb: float


def machine() -> str:
    """Processor, number of them allowed, memory, and how busy the machine is."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{model}, {len(os.sched_getaffinity(0))} processors, {memory:.0f} GiB, load {os.getloadavg()[0]:.1f}"
    )


def versions(*packages: str) -> str:
    """Versions of Python, this package and others that matter for a figure."""
    found = [f"Python {platform.python_version()}"]
    for name in ("scipion-em-cryoresdl", "numpy", "scipy", *packages):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)


def heading(title: str, *packages: str) -> None:
    """Print what every table begins with."""
    print(f"# {title}\n{machine()}\n{versions(*packages)}", flush=True)


def process(words: Sequence[Any], limit_s: float = 3600.0) -> Run:
    """Run a program and measure it with all of its children.

    Raises:
        RuntimeError: it failed or ran past ``limit_s``.
    """
    command = [sys.executable, "-c", _CHILD, str(limit_s), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True)
    try:
        code, wall, cpu, peak = json.loads(done.stdout)
    except ValueError:
        raise RuntimeError(f"{words[0]} did not end: {done.stderr.strip().splitlines()[-1:]}") from None
    if code:
        raise RuntimeError(f"{words[0]} ended with {code}: {done.stderr.strip().splitlines()[-1:]}")
    return Run(wall, cpu, peak)


def engine(*words: Any) -> Run:
    """Run one command of the engine in a process of its own."""
    return process([sys.executable, "-m", "cryoresdl.models", *words, "--quiet"])


def seconds(call: Callable[[], Any], repeats: int) -> list[float]:
    """Wall seconds of several calls in this process, after one that is not counted."""
    call()
    found = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        found.append(time.perf_counter() - begun)
    return found


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range: ``1.60 (1.55-1.71)``."""
    return f"{np.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def ball(box: int, voxels: int) -> np.ndarray:
    """A ball of about ``voxels`` voxels in the middle of a cubic box, bool (z, y, x)."""
    radius = (3 * voxels / (4 * np.pi)) ** (1 / 3)
    z, y, x = np.ogrid[:box, :box, :box]
    return (z - box / 2) ** 2 + (y - box / 2) ** 2 + (x - box / 2) ** 2 < radius**2


def noise_map(
    folder: Path, box: int, mask: np.ndarray, name: str = "map", seed: int = 0
) -> tuple[Path, Path]:
    """White noise, three times louder in the mask, and the mask: the peers' table was made with such maps."""
    from cryoresdl.models.maps import density_map
    from cryoresdl.models.maps.mrc import mrc_writer

    data = np.random.default_rng([box, seed]).standard_normal((box,) * 3, dtype=np.float32)
    data[mask] *= 3
    like = density_map.DensityMap(data, 1.0)
    paths = folder / f"{name}.mrc", folder / f"{name}_mask.mrc"
    mrc_writer.write_volume(paths[0], data, like)
    mrc_writer.write_volume(paths[1], mask.astype(np.int8), like)
    return paths
