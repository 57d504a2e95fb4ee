"""Coverage-guided fuzzing of everything that reads a user's file.

    python -m cryoresdl.tests.fuzz map --runs 100000

Targets: ``map``, ``mask``, ``resolution``, ``list``, ``ledger``, ``model``, ``structure``, ``results``. With atheris
installed (``pip install atheris``) the mutations follow the coverage; without it they are random. Text and JSON are also
mutated as what they are: numbers become extreme ones, lines and branches move, vanish or double. A run is clean when every
input is either accepted or refused with an `InputError`; anything else ends the run and keeps the input. The suite runs
a few hundred of every target (``test_fuzz.py``).
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
    from cryoresdl.tests.helpers.raw_mrc import density, mrc

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
    from cryoresdl.models.networks.model_files import model_archive

    card = {"format": 1, "kind": "local", "name": "x", "network": {"name": "n", "config": {}}}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.cryoresdl"
        with contextlib.suppress(Exception):
            model_archive.save_model(path, card, {"w": np.zeros(3, np.float32)})
            yield path.read_bytes()
    yield b"PK\x05\x06" + bytes(18)


def seeds_structure():
    """A few atoms as PDB and mmCIF, plain and packed."""
    pdb = (
        b"CRYST1   50.000   60.000   70.000  90.00  90.00  90.00 P 1           1\n"
        b"MODEL        1\n"
        b"ATOM      1  CA AALA A   1      11.104   6.134  -6.504  0.60 20.00           C  \n"
        b"ATOM      2  CA BALA A   1      11.204   6.134  -6.504  0.40 20.00           C  \n"
        b"ATOM      3  P    DA B  -1      -1.104   6.134  -6.504  1.00 20.00           P  \n"
        b"HETATM    4 ZN    ZN C 100       0.000   0.000   0.000  1.00  0.00          ZN2+\n"
        b"HETATM    5  O   HOH C 101       5.000   0.000   0.000  1.00  0.00           O  \n"
        b"TER\nENDMDL\nMODEL        2\n"
        b"ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 20.00           C  \n"
        b"ENDMDL\nEND\n"
    )
    names = "group_PDB type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id label_seq_id"
    names += " Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id auth_asym_id pdbx_PDB_model_num"
    cif = "data_x\nloop_\n" + "".join(f"_atom_site.{name}\n" for name in names.split())
    cif += (
        'ATOM C CA . ALA A 1 1 1.0 2.0 3.0 1.0 20 1 A 1\nATOM N "N\'" B GLY A 1 2 4.0 2.0 3.0 0.5 20 2 A 1\n'
    )
    yield pdb
    yield cif.encode()
    yield gzip.compress(pdb, mtime=0)
    yield bz2.compress(cif.encode())


MARK = "<script>alert(1)</script>"


def seeds_results():
    """The JSON files that the report reads, as one list in the order of `RESULT_FILES`."""
    entry = {
        "map": "a " + MARK,
        "voxel_size_A": 1.2,
        "class": "high",
        "probabilities": {"high": 0.9, "medium": 0.1, "low": 0},
        "resolution_A": 3.1,
        "interval_A": [2.9, 3.4],
        "in_distribution": True,
        "warnings": [MARK],
        "claim": {"claimed_A": 3, "verdict": "supported", "reasons": [MARK], "decision_interval_A": [2, 4]},
        "model": {"name": "default", "digest": "0" * 64},
    }
    summary = {
        "median_A": 4.0,
        "quartiles_A": [3.5, 4.5],
        "fractions": {"0-2": 0.25, "2-3": 0.75, "10+": 0.0},
        "n_voxels": 1000,
        "voxel_size_A": 1.2,
        "box_zyx": [20, 20, 20],
        "mask": {"source": "auto", "voxels": 1000, "threshold": 0.1},
        "timings_s": {"total": 1.0},
        "peak_memory_mb": 200.0,
        "warnings": [MARK],
        "model": {"name": "truth", "digest": "0" * 64},
        "map": "a.mrc",
        "half_maps": False,
        "seed": 0,
        "version": "0.1.0",
        "nyquist_A": 2.4,
    }
    pair = {"names": ["a", MARK], "kappa": 0.3, "spearman": 0.5, "bias_A": 1.0, "mae_A": 1.0, "n_voxels": 9}
    compared = {"volumes": [{"name": MARK, "path": "a.mrc"}, {"name": "b", "path": "b"}], "pairs": [pair]}
    rows = [["map", "class", "note"], ["a.mrc", "high", MARK], ["=1+1", "", "b"]]
    yield json.dumps([[entry], summary, compared, rows]).encode()
    yield json.dumps([entry, {"median_A": 4}, {}, []]).encode()
    yield b'[[{"claim": null}], {"warnings": "x"}, {"pairs": [{}]}, [[]]]'


def run_map(path):
    """Read, and hold what was read to its promises."""
    from cryoresdl.models.maps import automatic_mask
    from cryoresdl.models.maps.mrc import mrc_reader

    read = mrc_reader.read(path)
    if not (np.isfinite(read.data).all() and 0 < read.voxel_size < 1e3 and read.data.min() < read.data.max()):
        raise ValueError("a bad map was accepted")
    if ACCEPTED % 50 == 0:  # slow beside reading
        automatic_mask.auto_mask(read)


def seeds_mask():
    """Masks as people make them: hard, soft, of bytes, of labels; and a density."""
    from cryoresdl.tests.helpers.raw_mrc import mrc

    z, y, x = np.indices((4, 5, 6))
    inside = (z > 0) & (y > 0) & (x > 1)
    kinds = {
        "hard": inside.astype("f4"),
        "soft": (0.3 * inside + 0.7 * np.roll(inside, 1, 2)).astype("f4"),
        "bytes": inside.astype("i1"),
        "labels": (inside * (1 + x)).astype("i2"),
        "density": np.sin(x + y).astype("f4"),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, data in kinds.items():
            yield mrc(Path(folder) / f"{name}.mrc", data).read_bytes()


def run_mask(path):
    """As a mask on the grid of a small map."""
    from cryoresdl.models.maps import density_map
    from cryoresdl.models.maps.mrc import mask_reader

    like = density_map.DensityMap(np.zeros((4, 5, 6), np.float32), 1.5)
    found = mask_reader.read_mask(path, like)
    if found.dtype != bool or found.shape != like.data.shape or not found.any():
        raise ValueError("an empty mask was accepted")


def seeds_resolution():
    """Volumes of local resolution with every program's background, and in other units."""
    from cryoresdl.tests.helpers.raw_mrc import mrc

    z, y, x = np.indices((8, 9, 10))
    inside = (abs(z - 4) < 3) & (abs(y - 4) < 3) & (abs(x - 5) < 4)
    values = 3 + (x + y + z) % 5 * 0.7
    with tempfile.TemporaryDirectory() as folder:
        for number, mark in enumerate((0, 100, 8.86, -1, 50, np.nan)):
            path = Path(folder) / f"{number}.mrc"
            yield mrc(path, np.where(inside, values, mark).astype("f4")).read_bytes()
        for number, scaled in enumerate((values / 10, 1 / values, 100 * values, np.sin(values))):
            yield mrc(Path(folder) / f"unit{number}.mrc", scaled.astype("f4")).read_bytes()
        yield mrc(
            Path(folder) / "levels.mrc", np.where(inside, np.round(values), 4).astype("f4")
        ).read_bytes()


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
    name: (globals()[f"seeds_{name}"], globals()[f"run_{name}"])
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


NUMBERS = "0 -1 1e400 -1e400 nan inf 1e38 -0.0 99999999 2147483648 -2147483649 1e-300 ******** 0x10 1,5 true null".split()
VALUES = (
    None,
    True,
    0,
    -1,
    1e308,
    float("nan"),
    float("inf"),
    2**70,
    "",
    MARK,
    "\ud800",
    "$\\frac$",
    [],
    {},
    [[]],
)


def mutated_json(value, chance, depth=0):
    """A copy of a JSON value with one branch replaced, dropped, doubled or renamed."""
    if isinstance(value, (dict, list)) and value and chance.random() < 0.85 and depth < 6:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = chance.choice(keys)
        copy = value.copy()
        kind = chance.random()
        if kind < 0.1:
            del copy[key]
        elif kind < 0.2 and isinstance(copy, list):
            copy.insert(key, value[chance.choice(keys)])
        elif kind < 0.2:
            copy[chance.choice((MARK, "", "pairs", "map", "\ud800"))] = copy.pop(key)
        else:
            copy[key] = mutated_json(value[key], chance, depth + 1)
        return copy
    return chance.choice(VALUES)


def mutated_text(text, chance):
    """A text with one number made extreme, or one line dropped, doubled, moved or cut."""
    import re

    if chance.random() < 0.6:
        numbers = list(re.finditer(rb"-?\d+(\.\d+)?", text))
        if numbers:
            at = chance.choice(numbers)
            return text[: at.start()] + chance.choice(NUMBERS).encode() + text[at.end() :]
    lines = text.splitlines(keepends=True)
    if not lines:
        return b"\n"
    number = chance.randrange(len(lines))
    line = lines.pop(number)
    kind = chance.random()
    if kind < 0.25:
        lines[number:number] = [line, line]
    elif kind < 0.5:
        lines.insert(chance.randint(0, len(lines)), line)
    elif kind < 0.75:
        lines.insert(number, line[: chance.randint(0, len(line))] + b"\n")
    return b"".join(lines)


def mutated_bytes(text, chance):
    """Some bytes changed, dropped or put in."""
    body = bytearray(text)
    for _ in range(chance.randint(0, 8)):
        kind, place = chance.random(), chance.randint(0, max(0, len(body) - 1))
        if kind < 0.5 and body:
            body[place] = chance.randrange(256)
        elif kind < 0.7 and body:
            body[place] ^= 1 << chance.randrange(8)
        elif kind < 0.8:
            del body[place : place + chance.randint(1, 64)]
        elif kind < 0.9:
            body[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 16)))
        elif body:
            body[place : place + 4] = chance.choice((b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\xff\xff\xff\xff"))
    return bytes(body)


def informed(target, body, chance):
    """One mutation by what the target reads, or None where bytes are as good as anything."""
    if target == "results":
        try:
            return json.dumps(mutated_json(json.loads(body), chance)).encode()
        except (ValueError, RecursionError):
            return None
    if target in ("structure", "list", "ledger") and body[:2] not in (b"\x1f\x8b", b"BZ"):
        return mutated_text(body, chance)
    return None


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
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, body in enumerate(seeds()):
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


if __name__ == "__main__":
    main()
