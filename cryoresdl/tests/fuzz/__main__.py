"""Coverage-guided fuzzing of everything that reads a user's file.

    python -m cryoresdl.tests.fuzz map --runs 100000

Targets: ``map``, ``mask``, ``resolution``, ``list``, ``ledger``, ``model``, ``structure``, ``results``. With atheris
installed (``pip install atheris``) the mutations follow the coverage; without it they are random. Text and JSON are also
mutated as what they are: numbers become extreme ones, lines and branches move, vanish or double. A run is clean when every
input is either accepted or refused with an `InputError`; anything else ends the run and keeps the input. The suite runs
a few hundred of every target (``test_fuzz.py``).
"""

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

from cryoresdl.tests.fuzz import seeds as seed_files
from cryoresdl.tests.fuzz.mutations import informed, mutated_bytes
from cryoresdl.tests.fuzz.seeds import MARK

REFUSED = 0
ACCEPTED = 0


def run_map(path):
    """Read, and hold what was read to its promises."""
    from cryoresdl.models.maps import automatic_mask
    from cryoresdl.models.maps.mrc import mrc_reader

    read = mrc_reader.read(path)
    if not (np.isfinite(read.data).all() and 0 < read.voxel_size < 1e3 and read.data.min() < read.data.max()):
        raise ValueError("a bad map was accepted")
    if ACCEPTED % 50 == 0:  # slow beside reading
        automatic_mask.auto_mask(read)


def run_mask(path):
    """As a mask on the grid of a small map."""
    from cryoresdl.models.maps import density_map
    from cryoresdl.models.maps.mrc import mask_reader

    like = density_map.DensityMap(np.zeros((4, 5, 6), np.float32), 1.5)
    found = mask_reader.read_mask(path, like)
    if found.dtype != bool or found.shape != like.data.shape or not found.any():
        raise ValueError("an empty mask was accepted")


def run_resolution(path):
    """As a local-resolution volume, with its map and without, and as figures and the comparison count it."""
    from cryoresdl.models.base.resolution_terms import estimated
    from cryoresdl.models.maps import density_map, foreign_volumes
    from cryoresdl.models.maps.mrc import mrc_reader

    raw = mrc_reader.read_values(path)
    if not np.isfinite(raw.data).all():
        raise ValueError("bad values were accepted")
    drawn = np.asarray(foreign_volumes.only_estimates(raw.data)[...])
    noise = np.random.default_rng(0).normal(size=raw.data.shape).astype(np.float32)
    for like in (None, density_map.DensityMap(noise, 1.5)):
        found = foreign_volumes.read_resolution(path, like)
        known = estimated(found.data)
        if not np.array_equal(found.data[known], raw.data[known]):
            raise ValueError("an estimate was changed")
        if not np.array_equal(known, estimated(drawn)):
            raise ValueError("what is drawn is not what is counted")
        if (
            known.any()
            and np.median(found.data[known]) < foreign_volumes.FINEST_A * foreign_volumes.BELOW_NYQUIST
        ):
            raise ValueError("values that no resolution has were accepted")


def run_list(path):
    """Read a list; its jobs must have names of their own."""
    from cryoresdl.models.batch import job_list
    from cryoresdl.models.batch.jobs import ValidationOptions

    jobs = job_list.read_list(path, ValidationOptions())
    if len({job.folder.lower() for job in jobs}) != len(jobs) or any(os.sep in job.folder for job in jobs):
        raise ValueError("two jobs share a folder, or one leaves it")


def run_ledger(path):
    """Resume from whatever is there."""
    from cryoresdl.models.batch import job_list, results_ledger
    from cryoresdl.models.batch.jobs import ValidationOptions

    out = Path(path).parent / "out"
    out.mkdir(exist_ok=True)
    (out / results_ledger.RESULTS_JSONL).write_bytes(Path(path).read_bytes())
    jobs = job_list.jobs_of(["a.mrc"], ValidationOptions())
    ledger = results_ledger.Ledger(out, jobs, resume=True)
    if len(ledger.left) + len(list(ledger.rows())) != 1:
        raise ValueError("a row was lost or doubled")


def run_model(path):
    """Load a model."""
    from cryoresdl.models.networks.model_files import model_store

    model_store.load_named(path)


def run_structure(path):
    """Read a structure."""
    from cryoresdl.models.structures import structure_reader

    if not np.isfinite(structure_reader.read_structure(path).xyz).all():
        raise ValueError("bad coordinates were accepted")


def run_results(path):
    """Make a report of damaged JSON; nothing of it may be read as markup."""
    from cryoresdl.models.results import result_files
    from cryoresdl.models.results.figures import figure_catalogue
    from cryoresdl.models.results.report import build_report, html_page
    from cryoresdl.models.results.results_folder import ResultsFolder

    out = Path(path).parent / "results"
    out.mkdir(exist_ok=True)
    names = (result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON, result_files.COMPARISON_JSON)
    raw = Path(path).read_bytes()
    try:
        parts = json.loads(raw)
    except (ValueError, RecursionError):
        parts = None
    whole = not isinstance(parts, list)
    parts = [] if whole else parts
    for number, name in enumerate(names):
        text = json.dumps(parts[number]).encode() if number < len(parts) else raw if whole else b"{}"
        (out / name).write_bytes(text)
    rows = parts[3] if len(parts) > 3 and isinstance(parts[3], list) else []
    lines = [",".join(str(cell) for cell in row) for row in rows if isinstance(row, list)]
    table = out / result_files.RESULTS_CSV
    table.unlink(missing_ok=True)
    if lines:
        table.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    results = ResultsFolder(out)
    page = build_report.content(results)
    if (ACCEPTED + REFUSED) % 10 == 0:  # ten times slower than the content
        html = html_page.render(page, {})
        if MARK in html:
            raise ValueError("a text of the results is markup in the report")
    json.dumps(page.plain(), allow_nan=False)
    if (ACCEPTED + REFUSED) % 1000 == 0:
        for entry in page.figures:
            figure_catalogue.from_folder(entry.kind, results)


READERS = (
    "maps.mrc.mrc_reader",
    "maps.mrc.mask_reader",
    "maps.foreign_volumes",
    "batch.job_list",
    "batch.results_ledger",
    "networks.model_files.model_archive",
    "structures.structure_reader",
    "results.results_folder",
    "results.report.build_report",
    "results.figures.figure_catalogue",
    "base.runs.atomic_files",
)
TARGETS = {
    name: (getattr(seed_files, f"seeds_{name}"), globals()[f"run_{name}"])
    for name in ("map", "mask", "resolution", "list", "ledger", "model", "structure", "results")
}


def one_input(target, path):
    """A function of bytes that runs the target on them as a file."""
    from cryoresdl.models.base.errors import InputError

    def run(body):
        global REFUSED, ACCEPTED
        path.write_bytes(body)
        try:
            target(path)
            ACCEPTED += 1
        except InputError as error:
            REFUSED += 1
            if "\n" in str(error):
                raise ValueError("the message has several lines") from error

    return run


def random_runs(run, seeds, number, seed, target=""):
    """Random mutations, where atheris is not installed."""
    chance = random.Random(seed)
    pool = list(seeds)
    for _ in range(number):
        body = chance.choice(pool)
        for _ in range(chance.randint(0, 3)):
            better = informed(target, body, chance) if chance.random() < 0.7 else None
            body = mutated_bytes(body, chance) if better is None else better
        run(body)


def guided_runs(atheris, run, folder, args, report):
    """Mutations that follow the coverage; libFuzzer ends the process after them."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, body in enumerate(TARGETS[args.target][0]()):
        (corpus / str(number)).write_bytes(body)

    def counted(body):
        run(body)
        # libFuzzer ends the process without any clean-up: what is to be said is said on the way.
        if (ACCEPTED + REFUSED) % 10000 == 0 or ACCEPTED + REFUSED == args.runs:
            report()

    def mutator(body, most, seed):
        chance = random.Random(seed)
        better = informed(args.target, body, chance) if chance.random() < 0.5 else None
        return atheris.Mutate(body, most) if better is None else better[:most]

    words = [
        sys.argv[0],
        f"-runs={args.runs}",
        f"-seed={args.seed}",
        "-max_len=4096",
        "-rss_limit_mb=3000",
        "-timeout=300",
    ]
    atheris.Setup([*words, "-verbosity=0", str(corpus)], counted, custom_mutator=mutator)
    atheris.Fuzz()


def main():
    """Fuzz one target and say how many inputs were accepted and refused."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", action="store_true", help="no atheris even where it is installed")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    seeds, target = TARGETS[args.target]
    folder = Path(
        tempfile.mkdtemp(prefix="cryoresdl-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    )
    run = one_input(target, folder / f"input.{'pdb' if args.target == 'structure' else 'bin'}")
    try:
        import atheris
    except ImportError:
        atheris = None
    if atheris is not None and not args.random:
        # Coverage is only seen in modules that are instrumented while they are first imported.
        with atheris.instrument_imports(include=[f"cryoresdl.models.{name}" for name in READERS]):
            for name in READERS:
                importlib.import_module(f"cryoresdl.models.{name}")
    start = time.monotonic()

    def report():
        rate = (ACCEPTED + REFUSED) / (time.monotonic() - start)
        print(
            f"{args.target}: {ACCEPTED + REFUSED} executions clean: {ACCEPTED} accepted, {REFUSED} refused, "
            f"{rate:.0f} per second",
            flush=True,
        )

    if atheris is None or args.random:
        random_runs(run, seeds(), args.runs, args.seed, args.target)
        report()
        return
    guided_runs(atheris, run, folder, args, report)


if __name__ == "__main__":
    main()
