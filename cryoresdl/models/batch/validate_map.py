"""Validate one map: class, local resolution, comparison and report, in its own folder."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import traceback
from pathlib import Path
from typing import Any

from ..base import atomic_files, run_record
from ..base.atomic_files import PathLike, shown
from ..base.errors import InputError, MemoryLimitError, OutputError
from ..results import fsc_files, result_files
from .jobs import (
    COMPARED,
    CRASHED,
    DONE,
    STOP,
    Job,
    ValidationOptions,
    _inputs,
    _rounded,
    empty_row,
    failed_row,
    same_inputs,
    stamps,
)

ERROR_LOG = "error.log"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_RESULTS = (
    result_files.VALIDATION_JSON,
    result_files.CLASSIFICATION_JSON,
    result_files.LOCAL_JSON,
    result_files.LOCAL_RESOLUTION,
    result_files.LOCAL_CLASS,
    result_files.LOCAL_INTERVAL,
    result_files.MASK_USED,
    result_files.COMPARISON_JSON,
    result_files.DISAGREEMENT,
    result_files.REPORT_HTML,
    result_files.REPORT_JSON,
    result_files.REPORT_PDF,
    *fsc_files.FSC_FILES,
    run_record.RUN_JSON,
)


def validate_map(job: Job, options: ValidationOptions, folder: PathLike) -> dict[str, Any]:
    """Validate one map and write everything about it into ``folder``.

    All inputs are read before anything is written.

    Args:
        job: what to validate.
        options: how.
        folder: where; it exists.

    Returns:
        The map's row of the results (`FIELDS` and the extra columns), and ``inputs``, the stamps of its files.

    Raises:
        InputError: bad input.
    """
    from ..inference import global_resolution, local_resolution
    from ..maps import foreign_volumes, mask_reader, mrc_reader
    from ..results import result_files

    start = time.perf_counter()
    if job.problem:
        raise InputError(job.problem)
    folder = Path(folder)
    before = stamps(job, digest=False)
    density = mrc_reader.read(job.map, job.voxel_size)
    halves = [
        mrc_reader.read(path, job.voxel_size, "half map") if path else None for path in (job.half1, job.half2)
    ]
    mask = mask_reader.read_mask(job.mask, density) if job.mask else None
    others = {
        title: foreign_volumes.read_resolution(getattr(job, name), density, f"{title} volume", mask=mask)
        for name, title in COMPARED.items()
        if getattr(job, name)
    }
    for volume in others.values():
        density.warnings += volume.warnings
    local = entry = None
    ready = time.perf_counter()
    if options.networks != "global":
        local = local_resolution.localres(
            density, halves[0], halves[1], mask, model=options.model_local, seed=options.seed
        )
    if options.networks != "local":
        entry = global_resolution.classify(
            density,
            mask=mask,
            claimed=job.claimed,
            model=options.model_global,
            local=local,
            half1=halves[0],
            half2=halves[1],
        )
    inference = time.perf_counter() - ready
    after = stamps(job)
    for name, path in _inputs(job):
        run_record.check_unchanged(path, before[name], after[name])
    _clear(folder)
    if local is not None:
        result_files.write_local(local, density, folder)
    if entry is not None:
        result_files.write_classification([entry], folder)
    if halves[0] is not None and halves[1] is not None and local is not None:
        _write_fsc(job, halves[0], halves[1], local.mask, folder)
    _compare(folder, density, local, others, mask)
    if options.report:
        _report(folder, options.pdf)
    row = _row(job, options, density, entry, local)
    row["inference_seconds"] = round(inference, 4)
    row["seconds"] = round(time.perf_counter() - start, 4)
    record = {"key": job.key, "inputs": after, "files": dict(_inputs(job)), "row": row}
    atomic_files.write_json(folder / result_files.VALIDATION_JSON, record)
    return {**row, "inputs": after}


def is_complete(job: Job, folder: PathLike) -> bool:
    """Whether ``folder`` holds all results of this job, from the files as they are now."""
    path = Path(folder) / result_files.VALIDATION_JSON
    try:
        record = atomic_files.read_json(path) if path.is_file() else None
    except InputError:
        return False
    if not isinstance(record, dict) or record.get("key") != job.key:
        return False
    return same_inputs(job, record.get("inputs"))


def _clear(folder: Path) -> None:
    """Remove an earlier run's results, the mark of completeness first: this run may not make all of them.

    What a killed run left half written goes, too.
    """
    for name in _RESULTS:
        _drop(folder / name)
    for leftover in (*folder.glob(".part-*"), *folder.glob("figures/.part-*")):
        _drop(leftover)
    for figure in (folder / "figures").glob("*.png"):
        _drop(figure)


def _write_fsc(job: Job, half1: Any, half2: Any, mask: Any, folder: Path) -> None:
    """The curves of the half maps, in the mask as it was given (soft, where it is) or made."""
    from ..features.map_features import region_of
    from ..maps import half_map_fsc

    soft = half_map_fsc.read_soft_mask(job.mask) if job.mask else None
    fsc = half_map_fsc.measure(half1, half2, mask, region_of(mask), soft, whole=True)
    fsc_files.write_fsc(fsc, folder)


def _compare(folder: Path, density: Any, local: Any, others: dict[str, Any], mask: Any) -> None:
    from ..results import volume_comparison

    estimates = [
        volume_comparison.Estimate(
            title, volume.data, os.path.abspath(volume.path or ""), tuple(volume.warnings)
        )
        for title, volume in others.items()
    ]
    if local is not None:
        own = os.path.abspath(folder / result_files.LOCAL_RESOLUTION)
        estimates.insert(0, volume_comparison.Estimate("CryoResDL", local.resolution, own))
        mask = local.mask
    if others and len(estimates) > 1:
        volume_comparison.write_comparison(folder, estimates, mask, density)


def _report(folder: Path, pdf: bool) -> None:
    from ..results.report import build_report

    build_report.write_report(folder, pdf)


def _row(job: Job, options: ValidationOptions, density: Any, entry: Any, local: Any) -> dict[str, Any]:
    row = empty_row(job)
    row.update(
        status=DONE, voxel_size_A=_rounded(density.voxel_size), nyquist_A=_rounded(2 * density.voxel_size)
    )
    warnings = list(density.warnings)
    if entry is not None:
        low, high = entry.get("interval_A") or (None, None)
        claim = entry.get("claim") or {}
        row.update({f"p_{name}": _rounded(p) for name, p in entry["probabilities"].items()})
        row.update(
            {
                "class": entry["class"],
                "resolution_A": _rounded(entry.get("resolution_A")),
                "interval_low_A": _rounded(low),
                "interval_high_A": _rounded(high),
                "in_distribution": entry["in_distribution"],
                "claimed_A": _rounded(claim.get("claimed_A", job.claimed)),
                "verdict": claim.get("verdict"),
                "reasons": " ".join(claim.get("reasons", [])),
                "model_global": options.model_global,
            }
        )
        warnings += entry["warnings"]
    if local is not None:
        info = local.info
        first, third = info.get("quartiles_A") or (None, None)
        row.update(
            local_median_A=_rounded(info.get("median_A")),
            local_q1_A=_rounded(first),
            local_q3_A=_rounded(third),
            mask_voxels=int(local.mask.sum()),
            model_local=options.model_local,
        )
        warnings += info.get("warnings", [])
    row["warnings"] = " ".join(dict.fromkeys(warnings))
    return row


def run_job(job: Job, options: ValidationOptions, out: PathLike) -> dict[str, Any]:
    """Validate one map of a list into its sub-folder; whatever goes wrong becomes its row.

    This is what workers, and Dask, run. A row with `STOP` says that no map can be written.
    """
    folder = Path(out) / job.folder
    try:
        if job.problem:
            raise InputError(job.problem)
        atomic_files.make_folder(folder)
        row = validate_map(job, options, folder)
        _drop(folder / ERROR_LOG)
        return row
    except OutputError as error:
        return {**failed_row(job, str(error)), STOP: True}
    except MemoryLimitError as error:
        row = failed_row(job, str(error), CRASHED)
    except InputError as error:
        row = failed_row(job, _with_columns(str(error)))
    except MemoryError:
        row = failed_row(job, "Not enough memory for this map; bin or crop it.", CRASHED)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            return {**failed_row(job, f"Cannot write in {shown(folder)}: {error.strerror}."), STOP: True}
        with contextlib.suppress(OSError):
            (folder / ERROR_LOG).write_text(
                traceback.format_exc(), encoding="utf-8", errors="backslashreplace"
            )
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        row = failed_row(job, f"Unexpected failure ({what}); see {ERROR_LOG} in its folder.")
    row["inputs"] = stamps(job, digest=False)
    with contextlib.suppress(OSError):
        if folder != Path(out):
            folder.rmdir()  # only where nothing was written
    return row


_COLUMNS_OF_OPTIONS = (
    ("both --half1 and --half2", "both columns half1 and half2"),
    ("give --voxel-size", "give --voxel-size or the column voxel_size of a list"),
)


def _with_columns(sentence: str) -> str:
    """A remedy of one map, told as that of a list, which has columns in the place of options."""
    for option, column in _COLUMNS_OF_OPTIONS:
        sentence = sentence.replace(option, column)
    return sentence


def _drop(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
