"""Tells results of different runs apart that lie in one folder."""

from __future__ import annotations

import os
from typing import Any, List, Mapping

from ...base.runs.atomic_files import shown
from .. import compared_results, result_files
from ..results_folder import ResultsFolder

_APART = "Give every map a folder of its own with --out, or run validate here with --overwrite."


def _mixed(results: ResultsFolder, entry: Mapping[str, Any], summary: Mapping[str, Any]) -> List[str]:
    """Sentences about results in one folder that are not of one map, or not of one run of ``validate``."""
    said = (
        (result_files.LOCAL_JSON, summary.get("map")),
        (result_files.CLASSIFICATION_JSON, entry.get("map")),
        (result_files.COMPARISON_JSON, (results.comparison or {}).get("map")),
    )
    named = [(name, str(of)) for name, of in said if of]
    found = [
        f"{named[0][0]} is of the map {shown(named[0][1])} and {name} of {shown(of)}. {_APART}"
        for name, of in named[1:]
        if not _same_map(named[0][1], of)
    ]
    return found or _not_of_validate(results, entry, summary)


def _not_of_validate(
    results: ResultsFolder, entry: Mapping[str, Any], summary: Mapping[str, Any]
) -> List[str]:
    """Sentences about results that another command put in the place of those of ``validate``."""
    record = results.json(result_files.VALIDATION_JSON) if results.has(result_files.VALIDATION_JSON) else None
    row = record.get("row") if isinstance(record, dict) else None
    if not isinstance(row, dict):
        return []
    pairs = (
        (result_files.LOCAL_JSON, "local_median_A", summary.get("median_A"), summary.get("map")),
        (result_files.CLASSIFICATION_JSON, "resolution_A", entry.get("resolution_A"), entry.get("map")),
    )
    return [
        f"{name} (map {shown(str(of))}) is not what validate made of {shown(str(row.get('map')))}: it says "
        f"{now:.4g} Å, and {result_files.VALIDATION_JSON} {row[key]:.4g} Å. {_APART}"
        for name, key, now, of in pairs
        if compared_results.is_number(now)
        and compared_results.is_number(row.get(key))
        and abs(now - row[key]) > 1e-3
    ]


def _same_map(one: str, other: str) -> bool:
    """Whether two names may be of one map; a relative one counts from a folder that is not known here."""
    paths = [os.path.normpath(name.split(":mrc")[0]) for name in (one, other)]
    if all(os.path.isabs(path) for path in paths):
        return os.path.realpath(paths[0]) == os.path.realpath(paths[1])
    parts = [[part for part in path.split(os.sep) if part not in ("", "..")] for path in paths]
    least = min(len(part) for part in parts)
    return parts[0][-least:] == parts[1][-least:]


def _expected_problems(results: ResultsFolder, batch: bool) -> List[str]:
    """What a finished ``validate`` would hold and this folder does not, when it looks like one."""
    expected = (result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON, result_files.LOCAL_RESOLUTION)
    there = [name for name in expected if results.has(name)]
    if batch or not there:
        return []
    optional = (
        result_files.COMPARISON_JSON,
        result_files.DIRECTIONAL_JSON,
        result_files.AUDIT_JSON,
        result_files.EMDB_JSON,
    )
    return [text for name, text in results.problems.items() if name not in optional or results.has(name)]
