"""The script for ChimeraX and its folder."""

import re

import numpy as np
import pytest

pytest.importorskip("pwem")


from cryoresdl.models.base import resolution_terms
from cryoresdl.models.base.errors import InputError
from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer
from cryoresdl.models.results import result_files
from cryoresdl.models.results.figures import colours
from cryoresdl.models.results.report import chimerax_script

# noqa: E402
# noqa: E402
from cryoresdl.tests.helpers import made_results  # noqa: E402


def commands(path):
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]


def test_chimerax_script_sets_voxel_size_and_origin_of_both_volumes(tmp_path):
    script = commands(chimerax_script.write_chimerax_script(made_results.validation(tmp_path / "run")))
    for number in (1, 2):
        assert f"volume #{number} voxelSize 1.5 origin -30.0000,10.0000,5.0000" in script
    assert script[0] == "open map.mrc id 1"
    assert "volume #1 origin" not in " ".join(
        commands(chimerax_script.write_chimerax_script(tmp_path / "run", (1, 2, 3)))
    )
    assert "origin 1.0000,2.0000,3.0000" in " ".join(
        commands(chimerax_script.write_chimerax_script(tmp_path / "run", (1, 2, 3)))
    )


def test_chimerax_colours_and_legend_are_those_of_the_figures(tmp_path):
    script = "\n".join(
        commands(chimerax_script.write_chimerax_script(made_results.validation(tmp_path / "run")))
    )
    for value in (1.5, 3, 12):
        color = colours.resolution_color(value)
        assert f":{value:g},{color}" in script and f"{color}:{value:g}" in script
    assert "local resolution (Å)" in script


def test_the_chimerax_folder_works_on_another_machine(tmp_path):
    folder = made_results.validation(tmp_path / 'a "b"; close\\n\nsession')
    script = chimerax_script.write_chimerax_script(folder)
    text = script.read_text(encoding="utf-8")
    assert str(tmp_path) not in text and '"b"' not in text
    opened = re.findall(r"^open (\S+) id \d$", text, re.M)
    assert len(opened) == 2 == text.count("open ")
    # What it opens lies beside it, the map's own values among them.
    made = [mrc_reader.read_values(script.parent / name) for name in opened]
    assert np.array_equal(made[0].data, mrc_reader.read_values(folder / "input.mrc").data)
    assert made[0].origin == made[1].origin == made_results.ORIGIN


def test_chimerax_colours_stretch_over_the_maps_own_range(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    span = colours.own_range(made_results.volumes()[2])
    script = "\n".join(commands(chimerax_script.write_chimerax_script(folder, span=span)))
    ends = [colours.resolution_color(value) for value in resolution_terms.RESOLUTION_RANGE_A]
    for value, color in zip(span, ends):
        assert f":{value:g},{color}" in script and f"{color}:{value:.3g}" in script


def test_chimerax_volume_keeps_the_estimates_and_continues_them_a_little(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    chimerax_script.write_chimerax_script(folder)
    filled = mrc_reader.read_values(folder / result_files.CHIMERAX / chimerax_script.FILLED).data
    _, mask, values, _ = made_results.volumes()
    assert np.array_equal(filled[mask], values[mask])
    ring = (filled > 0) & ~mask
    assert ring.any() and filled[ring].min() >= values[mask].min() and filled[ring].max() <= values.max()
    assert filled[0, 0, 0] == 0


def test_chimerax_script_needs_the_map_and_an_estimate(tmp_path):
    folder = made_results.validation(tmp_path / "run")
    (folder / "input.mrc").unlink()
    with pytest.raises(InputError, match="no longer where it was"):
        chimerax_script.write_chimerax_script(folder)
    folder = made_results.validation(tmp_path / "empty")
    values = mrc_reader.read_values(folder / result_files.LOCAL_RESOLUTION)
    mrc_writer.write_volume(folder / result_files.LOCAL_RESOLUTION, np.zeros_like(values.data), values)
    with pytest.raises(InputError, match="no estimated voxel"):
        chimerax_script.write_chimerax_script(folder)
