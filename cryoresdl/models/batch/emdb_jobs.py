"""Jobs that name an entry of the EMDB in place of a map: its files and claim come in."""

from __future__ import annotations

import re
from dataclasses import replace

from ..base.resolution_terms import CRITERIA
from ..maps.emdb_download import EmdbEntry, entry_number, fetch_entry
from .jobs import Job

_BY_HALF = re.compile(r"FSC\s*=?\s*0?\.50*\b", re.IGNORECASE)


def with_entry(job: Job) -> tuple[Job, EmdbEntry | None]:
    """A job with the files of the entry that it names, and the entry; as it was, and None, where it names a file.

    Half maps and claim of the job itself count before the entry's. A claim of the entry is judged by the FSC that its
    authors name.

    Raises:
        InputError: no such entry.
        NetworkError: the EMDB cannot be reached.
    """
    number = entry_number(job.map)
    if number is None:
        return job, None
    own = bool(job.half1 or job.half2)
    entry = fetch_entry(number, halves=not own)
    changed = replace(job, map=entry.map)
    if job.claimed is None:
        criterion = CRITERIA[1] if _BY_HALF.search(entry.method) else job.criterion
        changed = replace(changed, claimed=entry.resolution_A, criterion=criterion)
    return (changed if own else replace(changed, half1=entry.half1, half2=entry.half2)), entry
