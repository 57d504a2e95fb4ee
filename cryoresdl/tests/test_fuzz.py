"""Short runs of the fuzz targets, and properties of every reader of users' files.

``python -m cryoresdl.tests.fuzz TARGET --runs 100000`` is the long, coverage-guided form.
"""

import bz2
import gzip
import io
import json
import struct
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.batch import job_list
from cryoresdl.models.batch.jobs import ValidationOptions
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.models.networks.model_files import model_store
from cryoresdl.models.structures import structure_reader
from cryoresdl.tests.fuzz import __main__ as fuzz
from cryoresdl.tests.fuzz import seeds as seed_files

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
WORDS = st.sampled_from((0, 1, 2, 3, 6, 12, 5, -1, 2**31 - 1, -(2**31), 1024, 1 << 16)) | st.integers(
    -(2**31), 2**31 - 1
)
FLOATS = st.sampled_from((0.0, -1.0, 1e38, -1e38, float("nan"), float("inf"), 1e-40, 7.0)) | st.floats(
    width=32
)


def refused_or(read, path):
    """The value that was read, or None when it was refused as every bad file is: in one line."""
    try:
        return read(path)
    except InputError as error:
        assert str(error) and "\n" not in str(error)
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_a_short_run_of_every_target_is_clean(target, tmp_path):
    seeds, function = fuzz.TARGETS[target]
    run = fuzz.one_input(function, tmp_path / ("input.pdb" if target == "structure" else "input.bin"))
    before = fuzz.ACCEPTED + fuzz.REFUSED
    fuzz.random_runs(run, seeds(), 20 if target == "results" else 100, seed=7, target=target)
    assert fuzz.ACCEPTED + fuzz.REFUSED - before == (20 if target == "results" else 100)


@pytest.mark.parametrize("target", sorted(fuzz.TARGETS))
def test_seeds_reach_the_code_behind_the_first_check(target, tmp_path):
    """A fuzzer that starts from refused files only would test one line."""
    seeds, function = fuzz.TARGETS[target]
    run = fuzz.one_input(function, tmp_path / "input.bin")
    before = fuzz.ACCEPTED
    for body in seeds():
        run(body)
    assert fuzz.ACCEPTED > before


def test_a_finding_ends_the_run(tmp_path):
    def broken(path):
        raise KeyError("oops")

    with pytest.raises(KeyError):
        fuzz.random_runs(fuzz.one_input(broken, tmp_path / "x"), [b"seed"], 3, seed=0)
    long_sentence = InputError("two\nlines")

    def rude(path):
        raise long_sentence

    with pytest.raises(ValueError, match="several lines"):
        fuzz.one_input(rude, tmp_path / "x")(b"")


@QUICK
@given(
    words=st.dictionaries(st.integers(0, 55), WORDS, max_size=6),
    floats=st.dictionaries(
        st.sampled_from((10, 11, 12, 13, 14, 15, 19, 20, 21, 49, 50, 51)), FLOATS, max_size=4
    ),
    cut=st.integers(0, 200) | st.none(),
    extra=st.binary(max_size=40),
)
def test_any_mrc_header(tmp_path_factory, words, floats, cut, extra):
    """Every header word may hold anything: the map is refused in one line, or it is finite and as large as it says."""
    path = tmp_path_factory.getbasetemp() / "any.mrc"
    raw = bytearray(next(seed_files.seeds_map())) if not words else bytearray(list(seed_files.seeds_map())[4])
    for place, value in words.items():
        raw[4 * place : 4 * place + 4] = struct.pack("<i", value)
    for place, value in floats.items():
        raw[4 * place : 4 * place + 4] = struct.pack("<f", value)
    path.write_bytes((bytes(raw) + extra)[: None if cut is None else len(raw) - cut])
    read = refused_or(mrc_reader.read, path)
    if read is not None:
        assert np.isfinite(read.data).all() and 0 < read.voxel_size < 1e3 and read.data.ndim == 3
    refused_or(mrc_reader.read_values, path)


@QUICK
@given(
    st.binary(max_size=300), st.sampled_from((b"", b"ATOM  ", b"data_x\nloop_\n", b"\x1f\x8b\x08", b"BZh9"))
)
def test_any_structure(tmp_path_factory, body, start):
    path = tmp_path_factory.getbasetemp() / "any.pdb"
    path.write_bytes(start + body)
    read = refused_or(structure_reader.read_structure, path)
    assert read is None or (len(read) and np.isfinite(read.xyz).all())


@QUICK
@given(
    st.lists(
        st.tuples(
            st.sampled_from(("manifest.json", "card.json", "weights.npz", "../up", "/abs", "x"))
            | st.text(max_size=9),
            st.binary(max_size=60),
        ),
        max_size=5,
    )
)
def test_any_archive_is_no_model(tmp_path_factory, members):
    folder = tmp_path_factory.getbasetemp() / "archives"
    folder.mkdir(exist_ok=True)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, body in members:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                archive.writestr(name.replace("\0", "") or "x", body)
    path = folder / "any.cryoresdl"
    path.write_bytes(stream.getvalue())
    assert refused_or(model_store.load_named, path) is None
    assert [each.name for each in folder.iterdir()] == ["any.cryoresdl"]


@QUICK
@given(st.lists(st.lists(st.text(max_size=12), max_size=9), max_size=5))
def test_any_table_of_words_is_a_list_or_refused(tmp_path_factory, rows):
    path = tmp_path_factory.getbasetemp() / "words.csv"
    lines = ["map,claimed,note"] + [",".join(row) for row in rows]
    path.write_text("\n".join(lines), encoding="utf-8", errors="surrogateescape" if not rows else "replace")
    jobs = refused_or(lambda each: job_list.read_list(each, ValidationOptions()), path)
    assert jobs is None or len({job.folder for job in jobs}) == len(jobs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(seed_files.MARK),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(JSON, min_size=1, max_size=4))
def test_any_json_is_a_report_or_refused(tmp_path_factory, parts):
    folder = tmp_path_factory.getbasetemp() / "anyreport"
    folder.mkdir(exist_ok=True)
    path = folder / "input.bin"
    path.write_text(json.dumps(parts))
    refused_or(fuzz.run_results, path)


@pytest.mark.parametrize("packer", [gzip, bz2])
def test_packed_bombs_are_refused(tmp_path, packer):
    path = tmp_path / "bomb.pdb"
    path.write_bytes(packer.compress(b" " * (20 << 20)))
    with pytest.raises(InputError, match="unpacks to more than"):
        structure_reader.read_structure(path)
