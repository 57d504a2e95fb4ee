"""The command that draws figures of a folder."""

import xml.etree.ElementTree as ET

import pytest

from cryoresdl.models.cli import command_line
from cryoresdl.tests.helpers import made_results


@pytest.fixture
def folder(tmp_path):
    return made_results.validation(tmp_path / "run")


def test_plot_command_writes_png_and_svg(folder, capsys):
    assert command_line.main(["plot", "histogram", str(folder), "--format", "svg"]) == 0
    path = folder / "figures" / "histogram.svg"
    assert ET.parse(path).getroot().tag.endswith("svg") and str(path) in capsys.readouterr().out
    assert (
        command_line.main(
            ["plot", "slices", str(folder), "--axis", "x", "--slice", "3", "--out", str(folder / "o")]
        )
        == 0
    )
    assert (folder / "o" / "slices.png").read_bytes().startswith(b"\x89PNG")


def test_plot_command_refuses_what_is_wrong_in_one_sentence(folder, tmp_path, capsys):
    assert command_line.main(["plot", "slices", str(tmp_path / "none")]) == 2
    assert command_line.main(["plot", "cake", str(folder)]) == 2
    assert command_line.main(["plot", "slices", str(folder), "--slice", "0"]) == 2
    assert command_line.main(["plot", "slices", str(folder)]) == 0
    assert command_line.main(["plot", "slices", str(folder)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert command_line.main(["plot", "all", str(folder), "--overwrite"]) == 0
    for kind in ("slices", "all"):
        assert (
            command_line.main(["plot", kind, str(folder), "--slice", "25", "--axis", "y", "--overwrite"]) == 2
        )
        assert "along y there are slices 1 to 24" in capsys.readouterr().err
    assert (
        command_line.main(["plot", "slices", str(folder), "--slice", "24", "--axis", "y", "--overwrite"]) == 0
    )
    for kind in ("difference", "scatter"):
        assert command_line.main(["plot", kind, str(folder), "--pair", "MonoRes", "Foo", "--overwrite"]) == 2
        said = capsys.readouterr().err
        assert "Foo is not among" in said and "choose two of cryoresdl, MonoRes" in said


def test_plot_draws_again_what_an_earlier_run_drew(folder):
    assert command_line.main(["plot", "histogram", str(folder)]) == 0
    drawn = (folder / "figures" / "histogram.png").stat().st_mtime_ns
    assert command_line.main(["plot", "histogram", str(folder), "--overwrite"]) == 0
    assert (folder / "figures" / "histogram.png").stat().st_mtime_ns > drawn
    assert (folder / "figures" / "histogram.png").read_bytes().startswith(b"\x89PNG")
