"""Structures from the PDB, over connections that break."""

import hashlib
import json

import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import command_line
from cryoresdl.models.datasets.map_set_file import DatasetFile
from cryoresdl.models.structures import structure_download
from cryoresdl.tests.helpers.download_server import Server, serving
from cryoresdl.tests.helpers.set_inputs import write_structures


@pytest.fixture
def structures_folder(tmp_path):
    (tmp_path / "structures").mkdir()
    return write_structures(tmp_path / "structures")


@pytest.fixture
def server(structures_folder):
    files = {path.name: path.read_bytes() for path in (structures_folder / "pdb").glob("p*.pdb.gz")}
    with serving(files) as address:
        yield f"{address}/{{id}}.pdb.gz"


def fetch(ids, cache, url):
    return structure_download.fetch_all(
        [(name, "") for name in ids], cache, url, tries=4, wait_s=0.01, timeout_s=5
    )


def test_downloads_survive_broken_transfers_and_server_errors(server, tmp_path):
    Server.faults = {"p0.pdb.gz": ["cut", "503", "cut"], "p1.pdb.gz": ["damaged"]}
    assert fetch(["p0", "p1", "p2"], tmp_path / "cache", server) == {}
    for name in ("p0", "p1", "p2"):
        assert (tmp_path / f"cache/{name}.pdb.gz").read_bytes() == Server.files[f"{name}.pdb.gz"]
    begins = [begin for name, begin in Server.asked if name == "p0.pdb.gz"]
    assert begins[0] == 0 and begins[1] > 0 and begins[3] > begins[1]  # went on where it stopped
    assert not list((tmp_path / "cache").glob("*.partial"))
    known = json.loads((tmp_path / "cache" / structure_download.CHECKSUMS).read_text())
    assert known["p2.pdb.gz"] == hashlib.sha256(Server.files["p2.pdb.gz"]).hexdigest()


def test_downloads_are_not_repeated_unless_damaged_here(server, tmp_path):
    fetch(["p0", "p1"], tmp_path, server)
    (tmp_path / "p1.pdb.gz").write_bytes(b"damaged")
    Server.asked.clear()
    assert fetch(["p0", "p1"], tmp_path, server) == {}
    assert [name for name, _ in Server.asked] == ["p1.pdb.gz"]
    assert (tmp_path / "p1.pdb.gz").read_bytes() == Server.files["p1.pdb.gz"]


def test_missing_entries_and_wrong_checksums_are_reported(server, tmp_path):
    failed = structure_download.fetch_all(
        [("p0", "0" * 64), ("nope", ""), ("p1", "")], tmp_path, server, 2, 0.01, 5
    )
    assert set(failed) == {"p0", "nope"} and "SHA-256" in failed["p0"] and "404" in failed["nope"]
    assert (tmp_path / "p1.pdb.gz").exists() and not (tmp_path / "p0.pdb.gz").exists()


def test_without_a_network_one_sentence_says_so(tmp_path):
    with pytest.raises(InputError, match="No network: 127.0.0.1:9 cannot be reached"):
        fetch(["p0"], tmp_path, "http://127.0.0.1:9/{id}.cif.gz")


def test_id_lists(tmp_path):
    place = tmp_path / "ids.txt"
    place.write_text(f"1ABC, 2def\n# a comment\n3GHI {'a' * 64}\n1abc\n")
    assert structure_download.read_ids(place) == [("1abc", ""), ("2def", ""), ("3ghi", "a" * 64)]
    for text in ("../../etc/passwd", "", "a/b"):
        place.write_text(text)
        with pytest.raises(InputError, match="not a PDB id|no ids"):
            structure_download.read_ids(place)


def test_command_downloads_and_builds(server, tmp_path):
    (tmp_path / "ids.txt").write_text("p0 p1 p2\n")
    out = tmp_path / "d.h5"
    words = ["dataset", "global", "--pdb-list", str(tmp_path / "ids.txt"), "--cache", str(tmp_path / "cache")]
    assert command_line.main([*words, "--url", server, "--box", "48", "--quiet", "--out", str(out)]) == 0
    with DatasetFile(out) as data:
        assert [source["id"] for source in data.sources()] == ["p0", "p1", "p2"]
