"""Entries of the EMDB by name: from a server on this machine that has the EMDB's addresses."""

import gzip

import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError, NetworkError
from cryoresdl.models.maps import emdb_download
from cryoresdl.models.maps.mrc import mrc_reader
from cryoresdl.tests.helpers.download_server import Server, emdb_files, serving
from cryoresdl.tests.helpers.written_maps import write_map

MAP, HALF = "EMD-11638/map/emd_11638.map.gz", "EMD-11638/other/emd_11638_half_map_1.map.gz"
HEADER = "EMD-11638/header/emd-11638-v30.xml"


@pytest.fixture
def emdb(tmp_path, monkeypatch):
    """An EMDB with one entry, which has half maps, and an empty cache."""
    paths = [write_map(tmp_path / f"{name}.mrc", seed) for seed, name in enumerate(("map", "one", "two"))]
    quick = emdb_download.DownloadRules(tries=3, wait_s=0.01, timeout_s=5, expansion=1100)
    monkeypatch.setattr(emdb_download, "_RULES", quick)
    monkeypatch.setattr(emdb_download, "_SMALL", quick)
    monkeypatch.setenv(emdb_download.CACHE_VARIABLE, str(tmp_path / "cache"))
    with serving(emdb_files("11638", paths, 3.25)) as address:
        monkeypatch.setenv(emdb_download.ADDRESS_VARIABLE, address + "/")
        yield tmp_path


def names_asked():
    return [name for name, _ in Server.asked]


@pytest.mark.parametrize("name", ["EMD-11638", "emd_11638", "Emd-11638"])
def test_an_entry_is_known_by_name_unless_a_file_has_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert emdb_download.entry_number(name) == "11638"
    for other in (f"{name}.map", "EMD-1", "EMD-11638x", f"a/{name}", "EMD11638"):
        assert emdb_download.entry_number(other) is None
    (tmp_path / name).write_bytes(b"")
    assert emdb_download.entry_number(name) is None


def test_map_half_maps_contour_and_claim_are_fetched_once(emdb):
    entry = emdb_download.fetch_entry("11638")
    assert (entry.name, entry.resolution_A, entry.contour) == ("EMD-11638", 3.25, 0.25)
    assert entry.method == "FSC 0.143 CUT-OFF" and entry.title == "A molecule of the tests"
    for fetched, made in ((entry.map, "map"), (entry.half1, "one"), (entry.half2, "two")):
        assert np.array_equal(mrc_reader.read(fetched).data, mrc_reader.read(emdb / f"{made}.mrc").data)
    assert len(Server.asked) == 4
    Server.files.clear()
    assert emdb_download.fetch_entry("11638") == entry and len(Server.asked) == 4


def test_a_broken_transfer_goes_on_and_a_damaged_file_comes_again(emdb):
    Server.faults = {MAP: ["cut", "503", "cut"], HALF: ["damaged"]}
    with pytest.raises(NetworkError):
        emdb_download.fetch_entry("11638")  # three tries are not enough for the map ...
    entry = emdb_download.fetch_entry("11638")
    begins = [begin for name, begin in Server.asked if name == MAP]
    assert (
        begins[0] == 0 and begins[-1] > begins[1] > 0
    )  # ... and the next run goes on where the last one ended
    with open(entry.half1, "rb") as stream:
        assert stream.read() == Server.files[HALF]
    with open(entry.map, "ab") as stream:
        stream.write(b"damaged here")
    Server.asked.clear()
    emdb_download.fetch_entry("11638")
    assert names_asked() == [MAP]


def test_an_entry_without_half_maps_or_contour_and_with_an_older_header_is_one(emdb):
    text = Server.files.pop(HEADER).decode()
    begin, end = text.index("<half_map_list>"), text.index("</interpretation>")
    text = (text[:begin] + text[end:]).replace('<contour primary="true">', "<contour>").replace("0.25", "")
    Server.files["EMD-11638/header/emd-11638.xml"] = text.encode()
    entry = emdb_download.fetch_entry("11638")
    assert entry.half1 == "" == entry.half2 and entry.contour is None and entry.resolution_A == 3.25


def test_without_the_half_maps_they_are_not_fetched(emdb):
    assert emdb_download.fetch_entry("11638", halves=False).half1 == ""
    assert names_asked() == [HEADER, MAP]


def test_what_cannot_be_had_is_one_sentence(emdb, monkeypatch):
    with pytest.raises(InputError, match="no file emd-99999.xml of EMD-99999 .HTTP 404.: check the number"):
        emdb_download.fetch_entry("99999")
    Server.files[HEADER] = Server.files[HEADER].replace(b"emd_11638.map.gz", b"../../etc/passwd")
    with pytest.raises(InputError, match="cannot be one"):
        emdb_download.fetch_entry("11638")
    monkeypatch.setenv(emdb_download.ADDRESS_VARIABLE, "http://127.0.0.1:9")
    with pytest.raises(NetworkError, match="No network: 127.0.0.1:9 cannot be reached for EMD-11639"):
        emdb_download.fetch_entry("11639")


def test_a_map_that_is_nearly_all_zero_is_no_bomb(emdb):
    body = gzip.compress(bytes(1 << 22))
    assert (1 << 22) > 900 * len(body)
    Server.files[MAP] = body
    assert emdb_download.fetch_entry("11638", halves=False).map.endswith("emd_11638.map.gz")
