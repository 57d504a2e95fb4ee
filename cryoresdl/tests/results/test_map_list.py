"""The report of a list: maps of one name are told apart, and links lead to pages."""

import pytest

from cryoresdl.models.base.runs.atomic_files import shown_apart
from cryoresdl.models.results import result_files, results_folder
from cryoresdl.models.results.report import build_report, map_list

LIST = """map,folder,status,resolution_A,claimed_A,verdict
/data/one/map.mrc,map,done,3.1,3.0,supported
/data/two/map.mrc,map_2,done,6.0,3.5,optimistic
/data/two/other.mrc,other,done,5.0,5.0,supported
"""


@pytest.mark.parametrize(
    "paths, names",
    [
        (["/a/x.mrc", "/b/y.mrc"], ["x.mrc", "y.mrc"]),
        (["/a/x.mrc", "/b/x.mrc", "/b/y.mrc"], ["a/x.mrc", "b/x.mrc", "y.mrc"]),
        (["/r/a/p/x.mrc", "/r/b/p/x.mrc"], ["a/p/x.mrc", "b/p/x.mrc"]),
        (["x.mrc", "/d/x.mrc"], ["x.mrc", "d/x.mrc"]),
        (["/d/x.mrc", "/d/x.mrc"], ["x.mrc", "x.mrc"]),
        (["", "?"], ["", "?"]),
    ],
)
def test_names_have_as_many_folders_as_tell_them_apart(paths, names):
    assert shown_apart(paths) == names


def test_maps_of_one_name_are_told_apart_in_the_table_and_under_the_pointer(tmp_path):
    (tmp_path / result_files.RESULTS_CSV).write_text(LIST)
    page = build_report.content(results_folder.ResultsFolder(tmp_path))
    assert [row[0] for row in page.tables[0].rows] == ["one/map.mrc", "two/map.mrc", "other.mrc"]
    claims = next(figure for figure in page.figures if figure.kind == "claims")
    assert "one/map.mrc: claim 3.00" in claims.html and "two/map.mrc: claim 3.50" in claims.html


def test_one_map_that_is_listed_twice_is_told_apart_by_its_folder():
    rows = [{"map": "/d/a.mrc", "folder": folder} for folder in ("a", "a_2")] + [{"map": "/d/b.mrc"}]
    assert map_list.map_names(rows) == ["a.mrc (a)", "a.mrc (a_2)", "b.mrc"]


def test_a_map_without_a_page_is_no_link_to_its_bare_folder(tmp_path):
    (tmp_path / result_files.RESULTS_CSV).write_text(LIST)
    for name in ("map", "map_2"):
        (tmp_path / name).mkdir()
    (tmp_path / "map" / result_files.REPORT_HTML).write_text("page")
    html = build_report.write_report(tmp_path).read_text(encoding="utf-8")
    assert '<a href="./map/report.html">one/map.mrc</a>' in html and "map_2" not in html
