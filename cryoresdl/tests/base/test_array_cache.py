"""Arrays kept for a later run: the same, of another run, damaged, or not ours."""

import numpy as np
import pytest

from cryoresdl.models.base.runs import array_cache

ARRAYS = {"one": np.arange(5.0), "names": np.array(["a", "bc"])}


def test_what_was_kept_comes_back_for_the_same_run_only(tmp_path):
    path = tmp_path / "kept.npz"
    assert array_cache.read_arrays(path, "mine") is None
    array_cache.write_arrays(path, "mine", ARRAYS)
    found = array_cache.read_arrays(path, "mine")
    assert set(found) == set(ARRAYS) and all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
    assert array_cache.read_arrays(path, "another") is None


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short", None])
def test_a_damaged_or_foreign_file_is_not_read(tmp_path, content):
    path = tmp_path / "kept.npz"
    if content is None:
        with open(path, "wb") as stream:
            np.save(stream, np.arange(3))
    else:
        path.write_bytes(content)
    assert array_cache.read_arrays(path, "mine") is None


def test_a_file_with_objects_is_not_read(tmp_path):
    path = tmp_path / "kept.npz"
    np.savez(path, identity=np.array("mine"), one=np.array([{}], dtype=object))
    assert array_cache.read_arrays(path, "mine") is None


def test_a_cut_file_of_our_own_is_not_read(tmp_path):
    path = tmp_path / "kept.npz"
    array_cache.write_arrays(path, "mine", ARRAYS)
    path.write_bytes(path.read_bytes()[:-200])
    assert array_cache.read_arrays(path, "mine") is None
