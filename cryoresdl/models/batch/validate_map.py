"""Validate one map: class, local resolution, comparison and report, in its own folder."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import traceback
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..base.errors import (
    CryoResError,
    ForeignFileError,
    InputError,
    MemoryLimitError,
    NetworkError,
    OutputError,
    is_out_of_memory,
)
from ..base.resolution_terms import COMPARED
from ..base.runs import atomic_files, output_folder
from ..base.runs.atomic_files import PathLike, shown
from ..base.runs.run_record import Run, guarding
from ..results import deposition, fsc_files, result_files
from .audit_map import audit_of_answer, write_audit
from .directions import direction_columns, judged_directions
from .emdb_jobs import with_entry
from .jobs import (
    CRASHED,
    DONE,
    STOP,
    Job,
    ValidationOptions,
    empty_row,
    failed_row,
    input_files,
    rounded,
    stamps,
)

ERROR_LOG = "error.log"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_COMMAND, LIST_COMMAND, DEPOSIT_COMMAND = "validate", "validate list", "validate --deposit"
_ANSWERS = (
    result_files.VALIDATION_JSON,
    result_files.EMDB_JSON,
    result_files.AUDIT_JSON,
    result_files.AUDIT_CSV,
    result_files.CLASSIFICATION_JSON,
    *result_files.LOCAL_FILES,
    result_files.DIRECTIONAL_JSON,
    result_files.DIRECTIONAL_CSV,
    result_files.COMPARISON_JSON,
    result_files.DISAGREEMENT,
    *fsc_files.FSC_FILES,
    *result_files.FILTER_FILES,
)
_REPORT = (result_files.REPORT_HTML, result_files.REPORT_JSON, result_files.REPORT_PDF)


@dataclass(frozen=True)
class DepositionPlan:
    """A folder for the EMDB, and the recommended contour in the map's units (None: one is found)."""

    folder: Path
    contour: float | None = None


def validate_map(
    job: Job,
    options: ValidationOptions,
    folder: PathLike,
    *,
    overwrite: bool = False,
    deposit: DepositionPlan | None = None,
) -> dict[str, Any]:
    """Validate one map and write everything about it into ``folder``.

    All inputs are read before anything is written, and earlier results of the same command are then removed: this
    run may not make all of them.

    Args:
        job: what to validate.
        options: how.
        folder: where; it exists.
        overwrite: results of other commands may be replaced.
        deposit: also write what the EMDB asks for; the map has half maps and the local network is asked.

    Returns:
        The map's row of the results (`FIELDS` and the extra columns), and ``inputs``, the stamps of its files; with
        ``deposit`` also ``deposition``, the sentences about what the EMDB would send back.

    Raises:
        InputError: bad input, or files of others where the results would go.
    """
    start, folder = time.perf_counter(), Path(folder)
    if job.problem:
        raise InputError(job.problem)
    made = _run_of(job, folder)
    with guarding(folder, made.command, overwrite) as record:
        for name in _names(options):
            record.check(name)
        asked, (job, emdb) = job, with_entry(job)
        inputs = _read(job)
        ready = time.perf_counter()
        local, entry = _answer(job, options, inputs)
        directions = judged_directions(inputs.density, inputs.halves, inputs.mask, local, entry, job.claimed)
        audited = _audited(job, options, inputs, local, entry)
        inference = time.perf_counter() - ready
        after = made.stamps()
        with made.writing():
            record.remove([name for name in record.made if _stale(name)])
            _write_answers(local, entry, inputs, folder)
            _write_further(directions, audited, emdb, folder)
            if options.filtered and local is not None:
                _write_filtered(inputs.density, local, folder, options.b_factor)
            _compare(folder, inputs.density, local, inputs.others, inputs.mask)
            if options.report:
                _report(folder, options.pdf)
            row = _row(replace(job, map=asked.map), options, inputs.density, entry, local)
            row.update(direction_columns(directions.summary))
            row["inference_seconds"] = round(inference, 4)
            row["seconds"] = round(time.perf_counter() - start, 4)
            summary = {"key": job.key, "inputs": after, "files": dict(input_files(asked)), "row": row}
            if deposit is not None:
                stops = _deposit(asked, inputs, local, deposit)
            atomic_files.write_json(folder / result_files.VALIDATION_JSON, summary)
    return {**row, "inputs": after, **({"deposition": stops} if deposit is not None else {})}


def _audited(job: Job, options: ValidationOptions, inputs: _Inputs, local: Any, entry: Any) -> Any:
    """What the verdict hangs on, where that was asked for; None elsewhere."""
    if not options.audit or local is None or entry is None:
        return None
    halves = (inputs.halves[0], inputs.halves[1]) if inputs.halves[0] is not None else None
    asked_for = (job.claimed, job.criterion)
    return audit_of_answer(inputs.density, halves, local, entry, asked_for, inputs.soft_mask)


def _write_answers(local: Any, entry: Any, inputs: _Inputs, folder: Path) -> None:
    """The volumes of the local answer with the curves of its half maps, and the entry of the whole map."""
    if local is not None:
        result_files.write_local(local, inputs.density, folder)
    if entry is not None:
        result_files.write_classification([entry], folder)
    if local is not None and local.fsc is not None:
        fsc_files.write_fsc(_whole_fsc(local.fsc, inputs.halves), folder)


def _write_further(directions: Any, audited: Any, emdb: Any, folder: Path) -> None:
    """The resolution by direction, what the verdict hangs on, and the entry of the EMDB; None where there is none."""
    result_files.write_directional(directions, folder)
    if audited is not None:
        write_audit(audited, folder)
    if emdb is not None:
        atomic_files.write_json(folder / result_files.EMDB_JSON, asdict(emdb))


def _run_of(job: Job, folder: PathLike) -> Run:
    command = LIST_COMMAND if job.folder else _COMMAND
    return Run(folder, {"command": command, "key": job.key}, dict(input_files(job)))


def is_complete(job: Job, folder: PathLike, deposit: DepositionPlan | None = None) -> bool:
    """Whether ``folder`` (and the deposition) holds all results of this job, whole and from the files as they are now."""
    return _run_of(job, folder).complete() and (deposit is None or _deposition_run(job, deposit).complete())


def _deposition_run(job: Job, plan: DepositionPlan) -> Run:
    request = {"command": DEPOSIT_COMMAND, "key": job.key, "contour": plan.contour}
    return Run(plan.folder, request, dict(input_files(job)))


@dataclass(frozen=True)
class _Inputs:
    """The files of a job, read; ``others`` are the volumes to compare with, by their titles."""

    density: Any
    halves: list[Any]
    mask: Any
    others: dict[str, Any]
    soft_mask: Any = None


def _read(job: Job) -> _Inputs:
    from ..maps import foreign_volumes
    from ..maps.fsc import half_map_fsc
    from ..maps.mrc import mask_reader, mrc_reader

    density = mrc_reader.read(job.map, job.voxel_size)
    halves = [
        mrc_reader.read(path, job.voxel_size, "half map") if path else None for path in (job.half1, job.half2)
    ]
    mask = mask_reader.read_mask(job.mask, density) if job.mask else None
    given = {name: job.titles.get(name, title) for name, title in COMPARED.items() if getattr(job, name)}
    others = {
        title: foreign_volumes.read_resolution(getattr(job, name), density, f"{title} volume", mask=mask)
        for name, title in given.items()
    }
    for name, title in given.items():
        density.warnings += [*others[title].warnings, *foreign_volumes.criterion_warnings(name, title)]
    soft = half_map_fsc.read_soft_mask(job.mask) if job.mask and halves[0] is not None else None
    return _Inputs(density, halves, mask, others, soft)


def _answer(job: Job, options: ValidationOptions, inputs: _Inputs) -> tuple[Any, Any]:
    """The local resolution and the entry of ``classification.json``; None for what was not asked for."""
    from ..inference import global_resolution, local_resolution

    local = entry = None
    if options.networks != "global":
        local = local_resolution.localres(
            inputs.density,
            inputs.halves[0],
            inputs.halves[1],
            inputs.mask,
            model=options.model_local,
            soft_mask=inputs.soft_mask,
        )
    if options.networks != "local":
        entry = global_resolution.classify(
            inputs.density,
            mask=inputs.mask,
            claimed=job.claimed,
            criterion=job.criterion,
            model=options.model_global,
            local=local,
            half1=inputs.halves[0],
            half2=inputs.halves[1],
        )
    return local, entry


def _names(options: ValidationOptions) -> list[str]:
    """Files that a validation may write."""
    report = _REPORT if options.pdf else _REPORT[:2]
    return [*_ANSWERS, *(report if options.report else ())]


def _stale(name: str) -> bool:
    """Whether a file of an earlier run says something about its map."""
    return name in (*_ANSWERS, *_REPORT) or name.startswith(
        ("figures" + os.sep, result_files.CHIMERAX + os.sep)
    )


def _whole_fsc(fsc: Any, halves: list[Any]) -> Any:
    """The curves of the half maps that the estimate rests on, with the unmasked one of the whole box."""
    from ..maps.fsc import half_map_fsc

    one, two = halves
    return half_map_fsc.with_whole_box(fsc, one.data, two.data, one.voxel_size)


def _deposit(job: Job, inputs: _Inputs, local: Any, plan: DepositionPlan) -> list[str]:
    """Write the folder for the EMDB; what it would send back."""
    from ..maps.fsc import half_map_fsc

    made = _deposition_run(job, plan)
    one, two = (half.data for half in inputs.halves)
    voxel = inputs.density.voxel_size
    soft = half_map_fsc.with_soft_edge(local.mask if inputs.soft_mask is None else inputs.soft_mask, voxel)
    whole = (slice(None),) * 3
    fsc = local.fsc or half_map_fsc.measure_fsc(one, two, voxel, local.mask, whole, inputs.soft_mask)
    maps = deposition.DepositedMaps(
        inputs.density, inputs.halves, soft, local, _whole_fsc(fsc, inputs.halves), plan.contour
    )
    with made.writing():
        return deposition.write_deposition(maps, plan.folder).stops


def _write_filtered(density: Any, local: Any, folder: Path, b_factor: float) -> None:
    """The map with a B-factor (A^2), low-passed at its local resolution."""
    from ..maps import local_filter

    found = local_filter.filter_locally(density.data, local.resolution, density.voxel_size, b_factor)
    result_files.write_filtered(found, density, folder, result_files.LOCAL_RESOLUTION)


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
        status=DONE, voxel_size_A=rounded(density.voxel_size), nyquist_A=rounded(2 * density.voxel_size)
    )
    warnings = list(density.warnings)
    if entry is not None:
        low, high = entry.get("interval_A") or (None, None)
        claim = entry.get("claim") or {}
        row.update({f"p_{name}": rounded(p) for name, p in entry["probabilities"].items()})
        row.update(
            {
                "class": entry["class"],
                "resolution_A": rounded(entry.get("resolution_A")),
                "interval_low_A": rounded(low),
                "interval_high_A": rounded(high),
                "in_distribution": entry["in_distribution"],
                "claimed_A": rounded(claim.get("claimed_A", job.claimed)),
                "criterion": entry.get("criterion"),
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
            local_median_A=rounded(info.get("median_A")),
            local_q1_A=rounded(first),
            local_q3_A=rounded(third),
            mask_voxels=int(local.mask.sum()),
            model_local=options.model_local,
        )
        warnings += info.get("warnings", [])
    row["warnings"] = " ".join(dict.fromkeys(warnings))
    return row


def run_job(job: Job, options: ValidationOptions, out: PathLike, overwrite: bool = False) -> dict[str, Any]:
    """Validate one map of a list into its sub-folder; whatever goes wrong becomes its row.

    This is what workers, and Dask, run. A row with `STOP` says that no map can be written.
    """
    folder = Path(out) / job.folder
    try:
        if job.problem:
            raise InputError(job.problem)
        atomic_files.make_folder(folder)
        output_folder.sweep_folder(folder)
        with guarding(folder, LIST_COMMAND if job.folder else _COMMAND, overwrite) as record:
            try:
                row = validate_map(job, options, folder, overwrite=overwrite)
                record.remove([ERROR_LOG])
                return row
            except Exception as error:
                row = _failed(job, error, folder)
    except Exception as error:  # the folder or its record
        row = _failed(job, error, folder)
    if row.get(STOP):
        return row
    row["inputs"] = stamps(job, digest=False)
    with contextlib.suppress(OSError):
        if folder != Path(out):
            folder.rmdir()  # only where nothing was written
    return row


def _failed(job: Job, error: Exception, folder: Path) -> dict[str, Any]:
    """The row of a map that could not be validated; what is unexpected leaves a log in its folder."""
    if isinstance(error, OutputError):
        return {**failed_row(job, str(error)), STOP: True}
    if isinstance(error, (MemoryLimitError, NetworkError, ForeignFileError)):
        return failed_row(job, str(error), CRASHED)
    if isinstance(error, InputError):
        return failed_row(job, _with_columns(str(error)))
    if is_out_of_memory(error):
        return failed_row(job, "Not enough memory for this map; bin or crop it.", CRASHED)
    if isinstance(error, OSError) and error.errno in _DISK:
        return {**failed_row(job, f"Cannot write in {shown(folder)}: {error.strerror}."), STOP: True}
    log = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    with contextlib.suppress(CryoResError, OSError), atomic_files.atomic_path(
        folder / ERROR_LOG
    ) as temporary:
        temporary.write_text(log, encoding="utf-8", errors="backslashreplace")
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    # Not the map's fault, so that another try is worth it: the machine's, or ours in this version.
    return failed_row(job, f"Unexpected failure ({what}); see {ERROR_LOG} in its folder.", CRASHED)


_COLUMNS_OF_OPTIONS = (
    ("both --half1 and --half2", "both columns half1 and half2"),
    ("give --voxel-size", "give --voxel-size or the column voxel_size of a list"),
)


def _with_columns(sentence: str) -> str:
    """A remedy of one map, told as that of a list, which has columns in the place of options."""
    for option, column in _COLUMNS_OF_OPTIONS:
        sentence = sentence.replace(option, column)
    return sentence
