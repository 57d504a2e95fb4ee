"""Coverage-guided fuzzing of everything that reads a user's file.

    python -m cryoresdl.tests.fuzz map --runs 100000

Targets: ``map``, ``mask``, ``list``, ``ledger``, ``model``, ``structure``, ``results``. With atheris installed
(``pip install atheris``) the mutations follow the coverage; without it they are random. A run is clean when every
input is either accepted or refused with an `InputError`; anything else ends the run and keeps the input.
"""

import argparse
import bz2
import contextlib
import gzip
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

REFUSED = 0
ACCEPTED = 0


def seeds_map():
    """Small maps in every mode and wrapping."""
    from cryoresdl.tests.test_maps import density, mrc

    with tempfile.TemporaryDirectory() as folder:
        for kind in ("i1", "i2", "u2", "f2", "f4"):
            data = (50 * density((4, 5, 6))).astype(kind)
            raw = mrc(Path(folder) / f"{kind}.mrc", data).read_bytes()
            yield raw
        yield gzip.compress(raw, mtime=0)
        yield bz2.compress(raw)
    yield b""


def seeds_list():
    """Lists as people write them."""
    yield b"map,mask,voxel_size,claimed,half1,half2,monores,resmap\na.mrc,,1.2,3.4,,,,\n"
    yield b'\xef\xbb\xbfmap,lab\r\n"a ""b"".mrc",x\r\n'


def seeds_ledger():
    """Lines of ``results.jsonl``."""
    yield b'{"key": "k", "inputs": {"map": [1, 2]}, "status": "done", "map": "a.mrc"}\n{"key": "torn'
    yield b"[]\nnull\n3\n"


def seeds_model():
    """A small model file."""
    from cryoresdl.models import model_file

    card = {"format": 1, "kind": "local", "name": "x", "network": {"name": "n", "config": {}}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.cryoresdl"
        with contextlib.suppress(Exception):
            model_file.save(path, card, {"w": np.zeros(3, np.float32)})
            yield path.read_bytes()
    yield b"PK\x05\x06" + bytes(18)


def seeds_structure():
    """A few atoms as PDB and mmCIF."""
    yield b"ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 20.00           C  \nEND\n"
    yield (
        b"data_x\nloop_\n_atom_site.group_PDB\n_atom_site.type_symbol\n_atom_site.label_atom_id\n"
        b"_atom_site.label_comp_id\n_atom_site.label_asym_id\n_atom_site.label_seq_id\n_atom_site.Cartn_x\n"
        b"_atom_site.Cartn_y\n_atom_site.Cartn_z\nATOM C CA ALA A 1 1.0 2.0 3.0\n"
    )


def seeds_results():
    """The JSON files that the report reads."""
    yield json.dumps(
        [{"map": "a", "class": "high", "probabilities": {"high": 1, "medium": 0, "low": 0}, "claim": None}]
    ).encode()
    yield b'{"median_A": 4, "fractions": {"0-2": 1}, "warnings": ["<script>"]}'


def run_map(path):
    """Read, and hold what was read to its promises."""
    from cryoresdl.models import maps

    read = maps.read(path)
    if not (np.isfinite(read.data).all() and 0 < read.voxel_size < 1e3 and read.data.min() < read.data.max()):
        raise ValueError("a bad map was accepted")
    if ACCEPTED % 50 == 0:  # slow beside reading
        maps.auto_mask(read)


def run_mask(path):
    """As a mask and as values of a small map."""
    from cryoresdl.models import maps

    like = maps.DensityMap(np.zeros((4, 5, 6), np.float32), 1.5)
    values = maps.read_values(path)
    if not np.isfinite(values.data).all():
        raise ValueError("bad values were accepted")
    if not maps.read_mask(path, like).any():
        raise ValueError("an empty mask was accepted")


def run_list(path):
    """Read a list; its jobs must have names of their own."""
    from cryoresdl.models import batch

    jobs = batch.read_list(path, batch.Options())
    if len({job.folder.lower() for job in jobs}) != len(jobs) or any(os.sep in job.folder for job in jobs):
        raise ValueError("two jobs share a folder, or one leaves it")


def run_ledger(path):
    """Resume from whatever is there."""
    from cryoresdl.models import batch

    out = Path(path).parent / "out"
    out.mkdir(exist_ok=True)
    (out / batch.RESULTS_JSONL).write_bytes(Path(path).read_bytes())
    jobs = batch.jobs_of(["a.mrc"], batch.Options())
    ledger = batch.Ledger(out, jobs, resume=True)
    if len(ledger.left) + len(ledger.rows) != 1:
        raise ValueError("a row was lost or doubled")


def run_model(path):
    """Load a model."""
    from cryoresdl.models import model_file

    model_file.load(path)


def run_structure(path):
    """Read a structure."""
    from cryoresdl.models import structures

    if not np.isfinite(structures.read_structure(path).xyz).all():
        raise ValueError("bad coordinates were accepted")


def run_results(path):
    """Make the content of a report from damaged JSON."""
    from cryoresdl.models import constants, report
    from cryoresdl.models.results import ResultsFolder

    out = Path(path).parent / "results"
    out.mkdir(exist_ok=True)
    for name in (constants.CLASSIFICATION_JSON, constants.LOCAL_JSON):
        (out / name).write_bytes(Path(path).read_bytes())
    report.content(ResultsFolder(out))


READERS = ("maps", "batch", "model_file", "structures", "results", "report", "plots", "files")
TARGETS = {
    name: (globals()[f"seeds_{name}"], globals()[f"run_{name}"])
    for name in ("map", "list", "ledger", "model", "structure", "results")
}
TARGETS["mask"] = (seeds_map, run_mask)


def one_input(target, path):
    """A function of bytes that runs the target on them as a file."""
    from cryoresdl.models.errors import InputError

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


def random_runs(run, seeds, number, seed):
    """Random mutations, where atheris is not installed."""
    chance = random.Random(seed)
    pool = list(seeds)
    for _ in range(number):
        body = bytearray(chance.choice(pool))
        for _ in range(chance.randint(0, 8)):
            kind, place = chance.random(), chance.randint(0, max(0, len(body) - 1))
            if kind < 0.5 and body:
                body[place] = chance.randrange(256)
            elif kind < 0.7 and body:
                body[place] ^= 1 << chance.randrange(8)
            elif kind < 0.8:
                del body[place : place + chance.randint(1, 64)]
            elif kind < 0.9:
                body[place:place] = chance.randbytes(chance.randint(1, 16))
            elif body:
                body[place : place + 4] = chance.choice(
                    (b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff")
                )
        run(bytes(body))


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
        random_runs(run, seeds(), args.runs, args.seed)
        report()
        return
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, body in enumerate(seeds()):
        (corpus / str(number)).write_bytes(body)

    def counted(body):
        run(body)
        # libFuzzer ends the process without any clean-up: what is to be said is said on the way.
        if (ACCEPTED + REFUSED) % 10000 == 0 or ACCEPTED + REFUSED == args.runs:
            report()

    words = [
        sys.argv[0],
        f"-runs={args.runs}",
        f"-seed={args.seed}",
        "-max_len=4096",
        "-rss_limit_mb=3000",
        "-timeout=20",
    ]
    atheris.Setup([*words, "-verbosity=0", str(corpus)], counted)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
