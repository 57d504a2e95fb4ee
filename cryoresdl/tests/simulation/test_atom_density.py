"""Sums of Gaussians against direct summation, and pdb2mrc mode against EMAN2's own maps."""

import json
import re
import subprocess
import sys

import mrcfile
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import command_line
from cryoresdl.models.simulation import atom_density
from cryoresdl.models.structures import structure_reader
from cryoresdl.tests.helpers.pdb_lines import atom, write

REFERENCE = re.compile(
    r"eman2_(\w+?)_box(auto)?(\d+)_apix([\d.]+)_res([\d.]+?)(_center)?(_bfac)?(_het)?\.mrc\.gz"
)


def globule(count=400, radius=14.0, seed=0):
    """Atoms at protein density in a ball around 0, on the file's 0.001 A grid."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(count, 3))
    points *= (radius * rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(points, axis=1, keepdims=True)
    return np.round(points, 3), rng.choice([6.0, 7.0, 8.0, 16.0], count)


def direct_pdb2mrc(xyz, weights, resolution, box, voxel_size):
    """EMAN2's formula, atom by atom, in double precision."""
    density = np.zeros((box,) * 3)
    reach = int(atom_density.EMAN2_CUTOFF * resolution / np.pi / voxel_size)
    for position, weight in zip(xyz.astype(np.float32).astype(np.float64), weights):
        axes, values = [], []
        for centre in position[::-1] / voxel_size + box // 2:
            grid = np.arange(max(int(centre) - reach, 0), min(int(centre) + reach, box))
            steps = np.floor(np.abs(grid - centre) * 1000) / 1000 * voxel_size * np.pi / resolution
            axes.append(grid)
            values.append(np.exp(-(steps**2)))
        z, y, x = values
        density[np.ix_(*axes)] += weight * z[:, None, None] * y[:, None] * x
    return density


@pytest.mark.parametrize(
    "resolution, voxel_size, box", [(2.5, 1.0, 64), (7.5, 1.0, 63), (12.5, 1.3, 48), (6.0, 3.9, 20)]
)
def test_matrix_products_equal_direct_summation(resolution, voxel_size, box):
    xyz, weights = globule()
    made = atom_density.pdb2mrc((xyz, weights), resolution, box, voxel_size, allow_cut=True)
    expected = direct_pdb2mrc(xyz, weights, resolution, box, voxel_size)
    assert made.dtype == np.float32 and made.shape == (box,) * 3
    assert np.linalg.norm(made - expected) <= 1e-6 * np.linalg.norm(expected)


def references(shared):
    found = sorted((shared / "peers" / "pdb2mrc").glob("*.mrc.gz"))
    assert len(found) == 9
    return [(path, REFERENCE.fullmatch(path.name).groups()) for path in found]


def test_eman2_maps_are_reproduced(shared):
    for path, (name, auto, box, apix, resolution, center, bfac, _) in references(shared):
        source = structure_reader.eman2_atoms(path.parent / f"{name}.pdb")
        made = atom_density.pdb2mrc(
            source,
            float(resolution),
            None if auto else int(box),
            float(apix),
            center=bool(center),
            b_factors=bool(bfac),
            allow_cut=True,
        )
        expected = mrcfile.read(path)
        assert made.shape == expected.shape, path.name
        relative = np.sqrt(np.mean((made - expected) ** 2)) / expected.std()
        assert relative <= 1e-6, (path.name, relative)
        assert np.corrcoef(made.ravel(), expected.ravel())[0, 1] >= 0.9999999


def test_the_physical_reading_gives_the_same_map_for_a_plain_peptide(shared):
    path = shared / "peers" / "pdb2mrc" / "eman2_pep20_box48_apix1.0_res2.8.mrc.gz"
    atoms = structure_reader.read_structure(path.parent / "pep20.pdb")
    expected = mrcfile.read(path)
    made = atom_density.pdb2mrc(atoms, 2.8, 48)
    assert np.linalg.norm(made - expected) <= 1e-6 * np.linalg.norm(expected)


def test_one_atom_is_one_gaussian_at_the_middle():
    made = atom_density.pdb2mrc((np.zeros((1, 3)), [8.0]), 4.0, 33)
    assert made.argmax() == np.ravel_multi_index((16, 16, 16), made.shape)
    assert made.max() == pytest.approx(8.0)
    assert made[16, 16, 17] == pytest.approx(8 * np.exp(-((np.pi / 4) ** 2)), rel=1e-5)
    assert made.sum() == pytest.approx(8 * 4.0**3 / np.pi**1.5, rel=1e-3)


def test_axes_are_z_y_x():
    made = atom_density.pdb2mrc((np.array([[3.0, -2.0, 5.0]]), [6.0]), 3.0, 32)
    assert np.unravel_index(made.argmax(), made.shape) == (21, 14, 19)


@pytest.mark.parametrize(
    "name, value", [("resolution", 0), ("resolution", np.nan), ("box", -3), ("voxel_size", np.inf)]
)
def test_impossible_numbers_are_refused(name, value):
    options = {"resolution": 3.0, "box": 16, "voxel_size": 1.0, name: value}
    with pytest.raises(InputError, match="must be a number above 0"):
        atom_density.pdb2mrc((np.zeros((1, 3)), [6.0]), **options)


def test_a_structure_that_does_not_fit_is_refused_and_the_loss_is_right():
    xyz, weights = globule(radius=14.0)
    with pytest.raises(InputError, match="does not fit a box of 24"):
        atom_density.pdb2mrc((xyz, weights), 5.0, 24)
    whole = atom_density.pdb2mrc((xyz, weights), 5.0, 64).sum(dtype=float)
    for shift in (0.0, 6.0, 40.0):
        cut = atom_density.pdb2mrc((xyz + [shift, 0, 0], weights), 5.0, 24, allow_cut=True).sum(dtype=float)
        lost = atom_density.fit(xyz + [shift, 0, 0], weights, 5.0, 24, 1.0).lost
        assert 1 - cut / whole == pytest.approx(lost, abs=0.01)


def test_fits_means_centres_inside_and_one_per_cent_outside():
    weights = np.ones(200)
    inside = atom_density.fit(np.zeros((200, 3)), weights, 2.5, 16, 1.0)
    assert inside.fits and inside.lost == 0
    edge = np.zeros((200, 3))
    edge[0] = (7.4, 0, 0)
    assert atom_density.fit(edge, weights, 2.5, 16, 1.0).fits  # half of one atom of 200
    edge[0] = (7.6, 0, 0)
    assert atom_density.fit(edge, weights, 2.5, 16, 1.0).centres_outside == 1
    edge[:6] = (7.4, 0, 0)
    assert not atom_density.fit(edge, weights, 2.5, 16, 1.0).fits


def test_gaussians_of_any_width_on_any_grid():
    rng = np.random.default_rng(2)
    shape, voxel, origin = (20, 31, 26), 1.3, np.array([-3.0, 2.0, 1.0])
    xyz = rng.uniform(-6, 45, (60, 3))  # some outside
    weights, sigmas = rng.normal(size=60), rng.uniform(0.8, 5.0, 60)
    z, y, x = np.meshgrid(*[np.arange(n) * voxel for n in shape], indexing="ij")
    expected = np.zeros(shape)
    for place, weight, sigma in zip(xyz - origin, weights, sigmas):
        squared = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2
        expected += weight * np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2) ** 1.5
    made = atom_density.gaussian_density(xyz, weights, sigmas, shape, voxel, origin)
    assert np.linalg.norm(made - expected) <= 1e-4 * np.linalg.norm(expected)
    peak = atom_density.gaussian_density(
        [[0.0, 0, 0]], [3.0], 2.0, (9, 9, 9), 1.0, (-4, -4, -4), normalized=False
    )
    assert peak[4, 4, 4] == pytest.approx(3.0)
    with pytest.raises(InputError, match="width"):
        atom_density.gaussian_density([[0.0, 0, 0]], [1.0], 0.0, (4, 4, 4))
    assert not atom_density.gaussian_density(np.zeros((0, 3)), np.zeros(0), 1.0, (4, 4, 4)).any()


def test_no_atom_within_reach_gives_an_empty_map():
    far = np.full((5, 3), 500.0)
    assert not atom_density.pdb2mrc((far, np.ones(5)), 3.0, 16, allow_cut=True).any()


def test_order_of_atoms_matters_to_no_more_than_rounding():
    xyz, weights = globule()
    order = np.random.default_rng(0).permutation(len(xyz))
    made = atom_density.pdb2mrc((xyz, weights), 8.0, 64)
    np.testing.assert_array_equal(made, atom_density.pdb2mrc((xyz, weights), 8.0, 64))
    np.testing.assert_allclose(
        atom_density.pdb2mrc((xyz[order], weights[order]), 8.0, 64), made, rtol=1e-4, atol=1e-3
    )


# ------------------------------------------------------------------------------------------------ command


def simulate(folder, *words):
    return command_line.main(["simulate", *map(str, words), "--out", str(folder)])


def small(tmp_path, shift=0.0):
    xyz, _ = globule(60, 6.0)
    lines = [atom(xyz=place + shift, n=row + 1, number=row // 5 + 1) for row, place in enumerate(xyz)]
    return write(tmp_path, *lines, name="small.pdb")


def test_command_writes_eman2_header_and_provenance(tmp_path):
    structure = small(tmp_path)
    out = tmp_path / "out"
    assert simulate(out, structure, "--resolution", 4, "--box", 33, "--voxel-size", 1.5, "--seed", 7) == 0
    with mrcfile.open(out / "map.mrc") as volume:
        assert volume.data.shape == (33, 33, 33)
        assert volume.voxel_size.x == pytest.approx(1.5)
        assert int(volume.header.nxstart) == -16 and float(volume.header.origin.z) == pytest.approx(-24.0)
        expected = atom_density.pdb2mrc(structure_reader.read_structure(structure), 4, 33, 1.5)
        np.testing.assert_array_equal(volume.data, expected)
    info = json.loads((out / "simulation.json").read_text())
    assert info["seed"] == 7 and info["atoms"] == 60 and info["box"] == 33 and info["warnings"] == []
    assert info["moved_by_A"] == [0, 0, 0]


def test_command_centres_only_when_needed_and_says_so(tmp_path, capsys):
    structure = small(tmp_path, shift=100.0)
    assert simulate(tmp_path / "a", structure, "--resolution", 4, "--box", 32, "--quiet") == 0
    assert "fits the box only centred" in capsys.readouterr().err
    info = json.loads((tmp_path / "a" / "simulation.json").read_text())
    assert info["moved_by_A"][0] == pytest.approx(-100, abs=2)
    assert simulate(tmp_path / "b", structure, "--resolution", 4, "--box", 32, "--center") == 0
    np.testing.assert_array_equal(mrcfile.read(tmp_path / "a/map.mrc"), mrcfile.read(tmp_path / "b/map.mrc"))


def test_command_refuses_what_does_not_fit_but_cuts_like_eman2_with_a_warning(tmp_path, capsys):
    structure = small(tmp_path)
    assert simulate(tmp_path / "a", structure, "--resolution", 4, "--box", 10) == 2
    assert "does not fit" in capsys.readouterr().err
    assert not (tmp_path / "a" / "map.mrc").exists()
    assert (
        simulate(tmp_path / "b", structure, "--resolution", 4, "--box", 10, "--eman2-atoms", "--quiet") == 0
    )
    assert "was cut" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, says",
    [
        (["--resolution", "0"], "above 0"),
        (["--resolution", "4", "--chain", "Z"], "no chain Z"),
        (["--resolution", "4", "--copies", "2"], "belongs to --mode realistic"),
        (["--resolution", "4", "--mode", "realistic", "--center"], "belongs to --mode pdb2mrc"),
        (["--resolution", "4", "--eman2-atoms", "--chain", "A"], "not allowed with"),
        (["--resolution", "4", "--box", "100000"], "memory"),
    ],
)
def test_command_answers_bad_options_with_one_sentence(tmp_path, capsys, words, says):
    assert simulate(tmp_path / "out", small(tmp_path), *words) == 2
    error = capsys.readouterr().err.strip()
    assert says in error and "\n" not in error


def test_command_keeps_results_unless_told(tmp_path):
    structure = small(tmp_path)
    words = (structure, "--resolution", 4, "--box", 32)
    assert simulate(tmp_path / "out", *words) == 0
    before = (tmp_path / "out/map.mrc").stat().st_mtime_ns
    assert simulate(tmp_path / "out", *words) == 2
    assert simulate(tmp_path / "out", *words, "--resume") == 0
    assert (tmp_path / "out/map.mrc").stat().st_mtime_ns == before
    assert simulate(tmp_path / "out", structure, "--resolution", 5, "--box", 32, "--overwrite") == 0
    assert mrcfile.read(tmp_path / "out/map.mrc").max() > 0


def test_realistic_command_writes_every_volume_and_repeats_itself(tmp_path):
    structure = small(tmp_path)
    words = (
        structure,
        "--mode",
        "realistic",
        "--resolution",
        5,
        "--voxel-size",
        1.5,
        "--seed",
        3,
        "--draw-options",
    )
    assert simulate(tmp_path / "a", *words, "--quiet") == 0
    assert simulate(tmp_path / "b", *words, "--quiet") == 0
    for name in ("map", "half1", "half2", "mask", "truth"):
        with mrcfile.open(tmp_path / f"a/{name}.mrc") as volume:
            assert volume.voxel_size.x == pytest.approx(1.5)
            assert int(volume.header.nzstart) == -(volume.data.shape[0] // 2)
        assert (tmp_path / f"a/{name}.mrc").read_bytes() == (tmp_path / f"b/{name}.mrc").read_bytes()
    mask, truth = mrcfile.read(tmp_path / "a/mask.mrc"), mrcfile.read(tmp_path / "a/truth.mrc")
    assert mask.dtype == np.int8 and truth[mask == 0].max() == 0 and truth[mask > 0].min() >= 3.0
    info = json.loads((tmp_path / "a/simulation.json").read_text())
    assert info["seed"] == 3 and info["mode"] == "realistic" and info["global_fsc0143_A"] > 0
    given = (*words, "--b-sharpen", "-50", "--background", "noise", "--quiet")
    assert simulate(tmp_path / "c", *given) == 0
    options = json.loads((tmp_path / "c/simulation.json").read_text())["options"]
    assert options["b_sharpen"] == -50 and options["background"] == "noise"


def test_the_engine_simulates_without_tensorflow(tmp_path):
    code = (
        "import sys; from cryoresdl.models import cli;"
        f"code = cli.main(['simulate', {str(small(tmp_path))!r}, '--resolution', '4', '--out', {str(tmp_path / 'o')!r}]);"
        "sys.exit(code or 3 * any(name.split('.')[0] in ('tensorflow', 'pyworkflow', 'pwem') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
