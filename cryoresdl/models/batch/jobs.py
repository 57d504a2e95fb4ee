"""One map of a list: the job, its options, and the row that becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..base.resolution_terms import COMPARED, CRITERIA
from ..base.runs import run_record
from ..networks.model_files import model_store

LIST_COLUMNS = (
    "map",
    "mask",
    "voxel_size",
    "claimed",
    "half1",
    "half2",
    *COMPARED,
    "criterion",
)
"""Columns of a list; only ``map`` is needed, and others are carried into the results."""
FIELDS = (
    "map",
    "folder",
    "status",
    "error",
    "class",
    "p_high",
    "p_medium",
    "p_low",
    "resolution_A",
    "interval_low_A",
    "interval_high_A",
    "in_distribution",
    "claimed_A",
    "criterion",
    "verdict",
    "reasons",
    "local_median_A",
    "local_q1_A",
    "local_q3_A",
    "direction_best_A",
    "direction_median_A",
    "direction_worst_A",
    "direction_worst_zyx",
    "anisotropy",
    "cfar",
    "claim_share",
    "mask_voxels",
    "voxel_size_A",
    "nyquist_A",
    "warnings",
    "model_global",
    "model_local",
    "inference_seconds",
    "seconds",
)
DONE, FAILED, CRASHED = "done", "failed", "crashed"
"""``crashed`` (killed, out of memory) is what another try may mend, so that a resume does it again."""
STOP = "stop"
"""Set in the row of a map that failed for want of a disk to write on."""
FILE_COLUMNS = ("map", "mask", "half1", "half2", *COMPARED)


@dataclass(frozen=True)
class ValidationOptions:
    """How to validate; the same for every map of a list.

    Attributes:
        networks: "both", "global" or "local".
        model_global: name or file of a global model.
        model_local: name or file of a local model.
        report: make figures and a report for every map.
        filtered: also write the map low-passed at its local resolution.
        b_factor: of the map that is filtered, A^2; below 0 sharpens.
        pdf: also write every report as PDF.
        audit: also ask about the map's variants.
        digests: of the model files: results of a model that was replaced do not count for a resume.
    """

    networks: str = "both"
    model_global: str = model_store.DEFAULT_GLOBAL_MODEL
    model_local: str = model_store.DEFAULT_LOCAL_MODEL
    report: bool = True
    filtered: bool = False
    b_factor: float = 0.0
    pdf: bool = False
    audit: bool = False
    digests: str = ""


@dataclass(frozen=True)
class Job:
    """One map to validate; paths as the file system knows them, resolved against the list's folder.

    Attributes:
        map: the map; the other files are "" where there are none.
        voxel_size: A, or None for the header's.
        claimed: A, or None.
        criterion: of FSC, which claim and estimate are meant by.
        folder: name of the sub-folder for the results; "" in the folder of a single map.
        titles: what compared volumes are called, by column, where that is not `COMPARED`'s.
        key: identifies row and options across runs.
        extra: further columns of the list.
        problem: why the row cannot be run at all, or "".
    """

    map: str
    mask: str = ""
    voxel_size: float | None = None
    claimed: float | None = None
    criterion: str = CRITERIA[0]
    half1: str = ""
    half2: str = ""
    monores: str = ""
    resmap: str = ""
    relion: str = ""
    cryosparc: str = ""
    blocres: str = ""
    phenix: str = ""
    deepres: str = ""
    titles: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    key: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    problem: str = ""


def empty_row(job: Job) -> dict[str, Any]:
    """A row of the results with nothing in it but the job; extra columns that collide get a prefix."""
    row: dict[str, Any] = dict.fromkeys(FIELDS)
    row.update(map=job.map, folder=job.folder, error="")
    for name, value in job.extra.items():
        row[f"list_{name}" if name in (*FIELDS, "key", "inputs") else name] = value
    return row


def failed_row(job: Job, error: str, status: str = FAILED) -> dict[str, Any]:
    """The row of a map that could not be validated."""
    row = empty_row(job)
    row.update(status=status, error=" ".join(error.split()))
    return row


def rounded(value: Any) -> float | None:
    """A number as rows hold it."""
    return None if value is None else round(float(value), 4)


def stamps(job: Job, digest: bool = True) -> dict[str, Any]:
    """`run_record.stamp` of every input file of a job; None for one that cannot be read."""
    return {name: run_record.stamp(path, digest) for name, path in input_files(job)}


def input_files(job: Job) -> list[tuple[str, str]]:
    """Role and path of every file that a job reads."""
    return [(name, getattr(job, name)) for name in FILE_COLUMNS if getattr(job, name)]


def same_inputs(job: Job, earlier: Any) -> bool:
    """Whether every input file of a job is what it was when ``earlier`` was taken by `stamps`."""
    paths = dict(input_files(job))
    if not isinstance(earlier, dict) or earlier.keys() != paths.keys():
        return False
    return all(run_record.unchanged(path, earlier[name]) for name, path in paths.items())
