"""Local resolution per residue: where atoms are, what they get, what ChimeraX reads."""

import csv

import gemmi
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.cli import command_line
from cryoresdl.models.maps import density_map
from cryoresdl.models.maps.mrc import mrc_writer
from cryoresdl.models.results import residue_resolution
from cryoresdl.models.structures import structure_reader


def ramp(shape=(20, 24, 28), voxel=1.5, origin=(10.0, -20.0, 5.0), nstart=(0, 0, 0)):
    """A volume that is 3 + 0.1 x + 0.05 z in the coordinates of the atoms."""
    z, y, x = np.indices(shape).astype(float)
    volume = density_map.DensityMap(np.zeros(shape, np.float32), voxel, origin, nstart)
    ox, oy, oz = volume.offset()
    volume.data = (3 + 0.1 * (x * voxel + ox) + 0.05 * (z * voxel + oz)).astype(np.float32)
    return volume


def residue(number):
    code = str(number)[-1] if str(number)[-1].isalpha() else " "
    return f"{str(number).rstrip(code):>4s}{code}"


def pdb(path, atoms):
    """Atoms (chain, residue number with its insertion code, x, y, z) as a PDB file."""
    lines = [
        f"ATOM  {i:5d}  CA  ALA {chain:1s}{residue(number)}   {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           C  "
        for i, (chain, number, x, y, z) in enumerate(atoms, 1)
    ]
    path.write_text("\n".join(lines) + "\nEND\n")
    return str(path)


ATOMS = [("A", 1, 15, -10, 12), ("A", 2, 20, -5, 20), ("B", 1, 30, 0, 25), ("B", -3, 14.2, -19, 6.1)]


@pytest.mark.parametrize("form", ["pdb", "cif"])
def test_residues_told_apart_by_insertion_codes_stay_apart(tmp_path, form):
    volume = ramp()
    numbers = [82, "82A", "82B", 83]
    path = pdb(tmp_path / "m.pdb", [("A", n, 15 + 3 * i, -10, 12) for i, n in enumerate(numbers)])
    if form == "cif":
        structure = gemmi.read_structure(path)
        path = str(tmp_path / "m.cif")
        structure.make_mmcif_document().write_file(path)
    rows, _ = residue_resolution.residue_table(structure_reader.read_structure(path), volume)
    residue_resolution.write_residues(tmp_path / "r.csv", rows)
    residue_resolution.write_attributes(tmp_path / "r.defattr", rows)
    with open(tmp_path / "r.csv", newline="") as stream:
        cells = [(line["number"], line["resolution_A"]) for line in csv.DictReader(stream)]
    assert [number for number, _ in cells] == ["82", "82A", "82B", "83"]
    assert len({value for _, value in cells}) == 4
    lines = (tmp_path / "r.defattr").read_text().splitlines()
    for number, value in cells:
        assert f"\t/A:{number}\t{value}" in lines


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_of_the_tables_is_a_formula(tmp_path, start):
    text = f"{start}HYPERLINK()"
    rows = [
        residue_resolution.Residue(text, 5, text, text, 1, 1, 3.0, 0.5),
        residue_resolution.Residue("A", -5, "", "ALA", 1, 1, 3.0, 0.5),
    ]
    residue_resolution.write_residues(tmp_path / "residues.csv", rows)
    residue_resolution.write_chains(tmp_path / "chains.csv", rows)
    with open(tmp_path / "residues.csv", newline="") as stream:
        _, named, plain = csv.reader(stream)
    assert named[:3] == ["'" + text, "5" + text, "'" + text] and plain[:3] == ["A", "-5", "ALA"]
    with open(tmp_path / "chains.csv", newline="") as stream:
        assert [line[0] for line in csv.reader(stream)] == ["chain", "'" + text, "A"]


class TestSample:
    @pytest.mark.parametrize(
        "origin,nstart", [((10.0, -20.0, 5.0), (0, 0, 0)), ((0, 0, 0), (8, -12, 4)), ((0, 0, 0), (0, 0, 0))]
    )
    def test_a_linear_volume_is_met_exactly(self, origin, nstart):
        volume = ramp(origin=origin, nstart=nstart)
        rng = np.random.default_rng(0)
        size = (np.array(volume.data.shape[::-1]) - 1) * volume.voxel_size
        xyz = np.array(volume.offset()) + rng.uniform(0, 1, (200, 3)) * size
        expected = 3 + 0.1 * xyz[:, 0] + 0.05 * xyz[:, 2]
        np.testing.assert_allclose(residue_resolution.sample(volume, xyz), expected, rtol=1e-5)

    def test_outside_is_nan(self):
        volume = ramp()
        corner = np.array(volume.offset())
        far = corner + (np.array(volume.data.shape[::-1]) - 1) * volume.voxel_size
        inside = residue_resolution.sample(volume, np.array([corner, far]))
        assert np.isfinite(inside).all()
        assert np.isnan(residue_resolution.sample(volume, np.array([corner - 0.1, far + 0.1]))).all()

    def test_holes_take_no_part(self):
        volume = ramp(origin=(0, 0, 0), voxel=1.0)
        volume.data[:] = 5
        volume.data[:, :, 10:] = 0
        found = residue_resolution.sample(
            volume, np.array([[9.0, 5, 5], [9.4, 5, 5], [9.6, 5, 5], [15.0, 5, 5]])
        )
        np.testing.assert_allclose(found[:2], 5)
        assert np.isnan(found[2:]).all()
        volume.data[:, :, 10:] = 100  # ResMap's way
        assert residue_resolution.sample(volume, np.array([[9.4, 5, 5]]))[0] == pytest.approx(5)


class TestCommand:
    def run(self, tmp_path, atoms=ATOMS, volume=None, *more):
        volume = volume or ramp()
        mrc_writer.write_volume(tmp_path / "r.mrc", volume.data, volume)
        words = [
            "residues",
            str(tmp_path / "r.mrc"),
            pdb(tmp_path / "m.pdb", atoms),
            "--out",
            str(tmp_path / "out"),
        ]
        return command_line.main([*words, *more]), tmp_path / "out"

    def test_tables(self, tmp_path, capsys):
        half = ramp()
        half.data = np.full_like(half.data, 0.5)
        mrc_writer.write_volume(tmp_path / "i.mrc", half.data, half)
        code, out = self.run(tmp_path, ATOMS, None, "--interval", str(tmp_path / "i.mrc"))
        assert code == 0
        with open(out / "residues.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [(row["chain"], row["number"]) for row in rows] == [
            ("A", "1"),
            ("A", "2"),
            ("B", "1"),
            ("B", "-3"),
        ]
        for row, (_, _, x, _, z) in zip(rows, ATOMS):
            assert float(row["resolution_A"]) == pytest.approx(3 + 0.1 * x + 0.05 * z, abs=1e-3)
            assert float(row["interval_A"]) == 0.5
        assert rows[0]["class"] == "4" and rows[0]["name"] == "ALA"
        with open(out / "chains.csv", newline="") as stream:
            chains = list(csv.DictReader(stream))
        assert chains[0]["chain"] == "A" and chains[0]["residues"] == "2"
        assert float(chains[0]["resolution_A"]) == pytest.approx((5.1 + 6.0) / 2, abs=1e-3)
        assert "chain A: 5.55 A" in capsys.readouterr().out

    def test_resume_is_for_the_same_files(self, tmp_path, capsys):
        assert self.run(tmp_path)[0] == 0
        assert self.run(tmp_path, ATOMS, None, "--resume")[0] == 0
        assert "already complete" in capsys.readouterr().out
        code, out = self.run(tmp_path, ATOMS[:2], None, "--resume")
        assert code == 0 and "already" not in capsys.readouterr().out
        assert len((out / "residues.csv").read_text().splitlines()) == 3

    def test_attribute_file(self, tmp_path):
        _, out = self.run(tmp_path)
        lines = (out / "residues.defattr").read_text().splitlines()
        assert lines[1:4] == ["attribute: local_resolution", "match mode: any", "recipient: residues"]
        assert lines[4] == "\t/A:1\t5.100" and lines[-1].startswith("\t/B:-3\t")
        assert "interval" not in "".join(lines)

    def test_wrong_origin_is_an_error(self, tmp_path, capsys):
        code, out = self.run(tmp_path, ATOMS, ramp(origin=(500.0, 0, 0)))
        assert code == 2 and not out.exists()
        assert "origin" in capsys.readouterr().err

    def test_some_atoms_outside_are_a_warning(self, tmp_path, capsys):
        code, out = self.run(tmp_path, [*ATOMS, ("B", 9, 999, 0, 0)])
        assert code == 0
        assert "1 atoms (20.0 %) lie outside" in capsys.readouterr().out
        assert (out / "residues.csv").read_text().splitlines()[-1] == "B,9,ALA,1,0,,,"

    def test_nothing_estimated(self, tmp_path, capsys):
        volume = ramp()
        volume.data[:] = 0
        code, _ = self.run(tmp_path, ATOMS, volume)
        assert code == 2 and "was estimated" in capsys.readouterr().err

    def test_monores_takes_the_maps_grid(self, tmp_path):
        volume = ramp()
        mrc_writer.write_volume(tmp_path / "map.mrc", volume.data[::-1, ::-1, ::-1].copy(), volume)
        bare = density_map.DensityMap(volume.data, 1.0)
        code, out = self.run(tmp_path, ATOMS, bare, "--map", str(tmp_path / "map.mrc"))
        assert code == 0 and "A,1,ALA,1,1,5.100" in (out / "residues.csv").read_text()

    def test_table_counts_most_outside_the_mask(self):
        from types import SimpleNamespace

        volume = ramp()
        volume.data[:, :, 4:] = 0
        xyz = np.array([a[2:] for a in [*ATOMS, ATOMS[2]]], float)
        atoms = SimpleNamespace(
            xyz=xyz,
            chain=np.zeros(5, int),
            chain_names=("",),
            residue=np.arange(5),
            residue_number=np.arange(5),
            insertion=np.full(5, ""),
            residue_name=np.array(["G"] * 5),
            warnings=[],
            path="m.pdb",
        )
        rows, warnings = residue_resolution.residue_table(atoms, volume)
        assert any("Most atoms" in text for text in warnings)
        assert [row.resolution_A is None for row in rows] == [False, True, True, False, True]
        with pytest.raises(InputError):
            atoms.xyz = xyz + 1e4
            residue_resolution.residue_table(atoms, volume)


def test_intervals_at_the_border_of_the_mask_are_not_averaged_with_nothing(tmp_path):
    volume, interval = ramp(origin=(0, 0, 0), voxel=1.0), ramp(origin=(0, 0, 0), voxel=1.0)
    volume.data[:], interval.data[:] = 5, 1
    volume.data[:, :, 10:] = interval.data[:, :, 10:] = 0
    atoms = structure_reader.read_structure(pdb(tmp_path / "a.pdb", [("A", 1, 9.4, 5, 5), ("A", 2, 5, 5, 5)]))
    rows, _ = residue_resolution.residue_table(atoms, volume, interval)
    assert [row.resolution_A for row in rows] == pytest.approx([5, 5])
    assert [row.interval_A for row in rows] == pytest.approx([1, 1])
