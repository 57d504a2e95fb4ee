"""Jobs that name an entry of the EMDB in place of a map: its files and claim come in."""

from __future__ import annotations

from dataclasses import replace

from ..maps.emdb_download import EmdbEntry, entry_number, fetch_entry
from .jobs import Job


def with_entry(job: Job) -> tuple[Job, EmdbEntry | None]:
    """A job with the files of the entry that it names, and the entry; as it was, and None, where it names a file.

    Half maps and claim of the job itself count before the entry's.

    Raises:
        InputError: no such entry.
        NetworkError: the EMDB cannot be reached.
    """
    number = entry_number(job.map)
    if number is None:
        return job, None
    own = bool(job.half1 or job.half2)
    entry = fetch_entry(number, halves=not own)
    claimed = entry.resolution_A if job.claimed is None else job.claimed
    changed = replace(job, map=entry.map, claimed=claimed)
    return (changed if own else replace(changed, half1=entry.half1, half2=entry.half2)), entry
