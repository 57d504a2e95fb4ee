"""Lists of maps as CSV files, run in this process, and their results read back."""

import csv
import json

from cryoresdl.models.batch import job_list, jobs, results_ledger, run_list
from cryoresdl.models.results import result_files

OPTIONS = jobs.ValidationOptions(report=False)


def write_list(path, rows, columns=None):
    """Write dictionaries as a list; ``map`` is the first column unless the columns are given."""
    columns = columns or sorted({name for row in rows for name in row}, key=lambda name: name != "map")
    with open(path, "w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, columns, restval="")
        table.writeheader()
        table.writerows(rows)
    return str(path)


def read_rows(out):
    """The rows of ``results.csv``."""
    with open(out / result_files.RESULTS_CSV, newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def read_lines(out):
    """The records of ``results.jsonl``."""
    return [json.loads(line) for line in (out / results_ledger.RESULTS_JSONL).read_text().splitlines()]


def run_rows(rows, tmp_path, workers=1, resume=False, options=OPTIONS, columns=None):
    """Validate a list; returns what `run_list` counted, and the folder of the results."""
    path = write_list(tmp_path / "list.csv", rows, columns)
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    return run_list.run_list(job_list.read_list(path, options), options, out, workers, resume), out
