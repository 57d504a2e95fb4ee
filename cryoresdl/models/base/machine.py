"""What this machine can bear: memory left, processors allowed, and what these can compute."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Iterator

from .errors import MemoryLimitError

_MEMINFO = "/proc/meminfo"
_STATUS = "/proc/self/status"
_CPUINFO = "/proc/cpuinfo"
_CGROUP_V2 = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current")
_CGROUP_V1 = (
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes",
)


def memory_left() -> int | None:
    """Bytes that this process may still take, or None where the system does not say.

    The least of the free physical memory, what is left in the control group (containers, Slurm) and what
    ``ulimit -v`` leaves.
    """
    left = [_from_meminfo(), _from_cgroup(_CGROUP_V2), _from_cgroup(_CGROUP_V1), _from_ulimit()]
    known = [value for value in left if value is not None]
    return max(0, min(known)) if known else None


def require_memory(need: int, what: str) -> None:
    """Stop before the memory does not suffice.

    Raises:
        MemoryLimitError: ``what`` needs more bytes than are left.
    """
    left = memory_left()
    if left is not None and need > left:
        raise MemoryLimitError(
            f"{what} needs {need / 1e9:.2g} GB of memory and {left / 1e9:.2g} GB are left; "
            "bin or crop the map, or use a larger machine."
        )


def processors() -> int:
    """Number of processors that this process may use (affinity, not the machine's total)."""
    try:
        return max(1, len(os.sched_getaffinity(0)))
    except AttributeError:
        return max(1, os.cpu_count() or 1)


def has_avx() -> bool:
    """Whether the processor has AVX, which TensorFlow cannot do without and OpenVINO is slow or fails without.

    Only an Intel or AMD processor that lists its abilities and has none there lacks it.
    """
    flags = _cpu_flags()
    return not flags or "avx" in flags


def has_bfloat16() -> bool:
    """Whether the processor multiplies matrices of bfloat16 itself: AMX or AVX512-BF16."""
    return bool({"amx_bf16", "avx512_bf16"} & _cpu_flags())


def _cpu_flags() -> set[str]:
    """What the processor says that it can do; nothing where the system does not tell."""
    try:
        with open(_CPUINFO, encoding="ascii", errors="replace") as stream:
            return set(next((line for line in stream if line.startswith("flags")), "").split()[1:])
    except OSError:
        return set()


def _from_meminfo() -> int | None:
    value = _field(_MEMINFO, "MemAvailable:")
    return None if value is None else 1024 * value


def _from_ulimit() -> int | None:
    try:
        import resource
    except ImportError:  # not a POSIX system
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    used = _field(_STATUS, "VmSize:")
    if limit == resource.RLIM_INFINITY or used is None:
        return None
    return limit - 1024 * used


def _from_cgroup(paths: tuple[str, str]) -> int | None:
    values = []
    for path in paths:
        try:
            with open(path, encoding="ascii") as stream:
                text = stream.read().strip()
        except OSError:
            return None
        if not text.isdigit():  # "max": no limit
            return None
        values.append(int(text))
    return values[0] - values[1]


def _field(path: str, name: str) -> int | None:
    """The first number after ``name`` in a /proc file."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            for line in stream:
                if line.startswith(name):
                    return int(line.split()[1])
    except OSError:
        return None
    return None


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Matrix products on one thread meanwhile: with more they add up in another order, and bytes depend on the machine."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield
