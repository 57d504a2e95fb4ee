"""Reading atoms: formats, selection, malformed files, EMAN2's accidents."""

import bz2
import gzip

import gemmi
import numpy as np
import pytest

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.structures import structure_reader
from cryoresdl.models.structures.atoms import (
    center,
    center_of,
    extent,
    longest_chain,
    molecular_weight_kda,
    protein_chains,
    random_rotation,
    rotate,
)
from cryoresdl.tests.helpers.pdb_lines import atom, write

PEPTIDE = [
    atom("N", "N", (0, 0, 0), 1),
    atom("CA", "C", (1.5, 0, 0), 2),
    atom("C", "C", (2, 1.4, 0), 3),
    atom("O", "O", (1.2, 2.4, 0), 4),
    atom("H", "H", (-0.5, 0.8, 0), 5),
    atom("N", "N", (3.3, 1.5, 0), 6, residue="GLY", number=2),
    atom("CA", "C", (4, 2.8, 0), 7, residue="GLY", number=2),
    atom("ZN", "ZN", (8, 8, 8), 8, kind="HETATM", residue="ZN", number=90),
    atom("O", "O", (9, 9, 9), 9, kind="HETATM", residue="HOH", number=100),
]


def test_pdb_mmcif_and_compressed_files_give_the_same_atoms(tmp_path):
    plain = write(tmp_path, *PEPTIDE)
    cif = tmp_path / "odd name.txt"
    gemmi.read_structure(str(plain)).make_mmcif_document().write_file(str(cif))
    (tmp_path / "a.pdb.gz").write_bytes(gzip.compress(plain.read_bytes()))
    (tmp_path / "a.cif.bz2").write_bytes(bz2.compress(cif.read_bytes()))
    first = structure_reader.read_structure(plain)
    assert len(first) == 8  # the water is left out
    assert first.z_number.tolist() == [7, 6, 6, 8, 1, 7, 6, 30]
    assert first.residue.tolist() == [0, 0, 0, 0, 0, 1, 1, 2]
    assert first.residue_number.tolist() == [1, 1, 1, 1, 1, 2, 2, 90]
    assert first.is_polymer.tolist() == [True] * 7 + [False]
    for other in (cif, tmp_path / "a.pdb.gz", tmp_path / "a.cif.bz2"):
        again = structure_reader.read_structure(other)
        np.testing.assert_allclose(again.xyz, first.xyz)
        assert again.z_number.tolist() == first.z_number.tolist()
        assert again.name.tolist() == first.name.tolist()


def test_selection_of_hydrogens_ligands_and_waters(tmp_path):
    path = write(tmp_path, *PEPTIDE)
    assert 1 not in structure_reader.read_structure(path, hydrogens=False).z_number


def test_first_model_unless_another_is_asked_for(tmp_path):
    models = [f"MODEL     {n:4d}\n{atom(xyz=(n, 0, 0))}\nENDMDL" for n in (3, 4)]
    path = write(tmp_path, *models)
    assert structure_reader.read_structure(path).xyz[0, 0] == 3
    assert structure_reader.read_structure(path, model=4).xyz[0, 0] == 4
    with pytest.raises(InputError, match="no model 7"):
        structure_reader.read_structure(path, model=7)


def test_best_conformer_all_or_a_named_one(tmp_path):
    path = write(
        tmp_path,
        atom("N", "N", n=1),
        atom("CA", "C", (5, 0, 0), 2, alt="A", occ=0.4),
        atom("CA", "C", (6, 0, 0), 3, alt="B", occ=0.6),
        atom("CB", "C", (7, 0, 0), 4, alt="A", occ=0.4),
        atom("CB", "C", (8, 0, 0), 5, alt="B", occ=0.6),
    )
    assert structure_reader.read_structure(path).xyz[:, 0].tolist() == [1, 6, 8]


@pytest.mark.parametrize(
    "text, says",
    [
        ("", "is empty"),
        ("   \n\n", "is empty"),
        ("HEADER    NOTHING\nEND\n", "no atoms"),
        ("this is not a structure\n", "no atoms"),
        ("data_x\n_entry.id x\n", "no atoms"),
        ("data_x\nloop_\n_atom_site.id\n'\n", "not a readable"),
        (atom("O", "O", kind="HETATM", residue="HOH") + "\nEND\n", "only water"),
        (atom(element="Q?") + "\n", "no atom of a known element"),
        (atom("QQ", "X") + "\n", "no atom of a known element"),
        (atom().replace("   1.000", "     nan") + "\n", "not numbers"),
        (atom().replace("   1.000", "********") + "\n", "not numbers"),
        (atom().replace("   1.000", "9.9e+307") + "\n", "beyond"),
        (atom().replace(" 20.00", "   nan") + "\n", "B-factors"),
    ],
)
def test_malformed_structures_get_one_clear_sentence(tmp_path, text, says):
    path = tmp_path / "bad.pdb"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as error:
        structure_reader.read_structure(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)


def test_missing_damaged_and_binary_files(tmp_path):
    with pytest.raises(InputError, match="Cannot read"):
        structure_reader.read_structure(tmp_path / "none.pdb")
    (tmp_path / "cut.pdb.gz").write_bytes(gzip.compress(b"x" * 1000)[:-9])
    with pytest.raises(InputError, match="damaged"):
        structure_reader.read_structure(tmp_path / "cut.pdb.gz")
    (tmp_path / "map.pdb").write_bytes(bytes(2000))
    with pytest.raises(InputError, match="binary"):
        structure_reader.read_structure(tmp_path / "map.pdb")
    with pytest.raises(InputError, match="Cannot read"):
        structure_reader.read_structure(tmp_path)


def test_bytes_beyond_ascii_do_not_shift_columns(tmp_path):
    path = tmp_path / "latin.pdb"
    path.write_bytes(b"REMARK \xe9\xff\n" + atom().replace(" CA ", " C\xff ").encode("latin-1") + b"\nEND\n")
    atoms = structure_reader.read_structure(path)
    assert atoms.xyz.tolist() == [[1, 2, 3]] and atoms.name.tolist() == ["C?"]


def test_zero_occupancy_is_kept(tmp_path):
    atoms = structure_reader.read_structure(write(tmp_path, atom(occ=0.0), atom(occ=0.0, n=2, xyz=(4, 4, 4))))
    assert atoms.occupancy.tolist() == [0.0, 0.0]


def test_unknown_elements_are_left_out_and_counted(tmp_path):
    atoms = structure_reader.read_structure(write(tmp_path, atom(), atom("QQ", "X", n=2)))
    assert len(atoms) == 1 and "1 atoms of unknown elements" in atoms.warnings[0]


def test_one_atom_and_a_hundred_thousand(tmp_path):
    assert len(structure_reader.read_structure(write(tmp_path, atom()))) == 1
    rng = np.random.default_rng(0)
    places = rng.uniform(-99, 99, (100_000, 3))
    lines = [
        f"ATOM      1  CA  ALA A{row // 20 % 9999:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00 20.00           C"
        for row, (x, y, z) in enumerate(places.tolist())
    ]
    atoms = structure_reader.read_structure(write(tmp_path, *lines))
    assert len(atoms) == 100_000
    np.testing.assert_allclose(atoms.xyz, places, atol=0.001)


def test_nucleic_acids_and_chains_are_told_apart(tmp_path):
    lines = [
        *PEPTIDE[:4],
        atom("N", "N", (5, 5, 5), 10, chain="C", residue="GLY"),
        "TER",
        atom("P", "P", n=11, chain="B", residue=" DA"),
        atom("P", "P", n=12, chain="B", residue="  U", number=2),
        atom("P", "P", n=13, chain="B", residue="  G", number=3),
    ]
    atoms = structure_reader.read_structure(write(tmp_path, *lines))
    assert atoms.is_nucleic.tolist() == [False] * 5 + [True] * 3
    assert protein_chains(atoms) == {"A": 1, "C": 1}
    longest = longest_chain(atoms)
    assert set(longest.chain) == {0} and len(longest) == 4
    with pytest.raises(InputError, match="no protein chain"):
        longest_chain(atoms.select(atoms.is_nucleic))


def test_selenomethionine_in_hetatm_records_is_polymer(tmp_path):
    lines = [*PEPTIDE[:4], atom("SE", "SE", (6, 6, 6), 9, kind="HETATM", residue="MSE", number=2)]
    lines.append(atom("CA", "C", (5, 6, 6), 10, residue="ALA", number=3))
    atoms = structure_reader.read_structure(write(tmp_path, *lines))
    assert atoms.z_number.tolist() == [7, 6, 6, 8, 34, 6]
    assert atoms.is_polymer.all()


def test_eman2_reads_elements_from_names_as_it_does(tmp_path):
    names = [
        " CA ",
        "CA  ",
        "SE  ",
        "ZN  ",
        "1HB ",
        "HG11",
        " SD ",
        "CL  ",
        "NA  ",
        "AU  ",
        " AD1",
        "  P ",
        " W  ",
    ]
    lines = [f"ATOM  {n:5d} {name} ALA A   1    {n:8.3f}   0.000   0.000" for n, name in enumerate(names)]
    lines += ["HETATM   20  O   HOH A   1       0.000   0.000   0.000", "MODEL        2"]
    lines += ["ATOM     21  N   ALA A   1       0.500   0.000   0.000  1.00 33.00"]
    xyz, weights, b_factors = structure_reader.eman2_atoms(write(tmp_path, *lines))
    assert weights.tolist() == [6, 6, 16, 1, 16, 6, 7, 79, 7, 15, 18, 7]
    assert b_factors.tolist() == [0] * 11 + [33]
    assert xyz[-1].tolist() == [0.5, 0, 0]
    with pytest.raises(InputError, match="would count"):
        structure_reader.eman2_atoms(
            write(tmp_path, "HETATM    1  O   HOH A   1       0.000   0.000   0.000")
        )
    with pytest.raises(InputError, match="without coordinates"):
        structure_reader.eman2_atoms(
            write(tmp_path, "ATOM      1  O   HOH A   1       0.0x0   0.000   0.000")
        )


def test_rotation_is_proper_seeded_and_keeps_the_centre(tmp_path):
    atoms = structure_reader.read_structure(write(tmp_path, *PEPTIDE))
    turned = rotate(atoms, 5)
    np.testing.assert_array_equal(turned.xyz, rotate(atoms, 5).xyz)
    assert np.abs(turned.xyz - rotate(atoms, 6).xyz).max() > 0.5
    np.testing.assert_allclose(center_of(turned.xyz, atoms.z_number), center_of(atoms.xyz, atoms.z_number))
    matrix = random_rotation(3)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)
    np.testing.assert_allclose(center_of(center(atoms).xyz, atoms.z_number), 0, atol=1e-12)


def test_mass_counts_whole_residues(tmp_path):
    atoms = structure_reader.read_structure(write(tmp_path, *PEPTIDE[:7]))
    # alanine and glycine as residues: 71.08 + 57.05 Da, though most of their atoms are missing
    assert molecular_weight_kda(atoms) == pytest.approx(0.12813, abs=1e-4)


def test_shared_structures_agree_with_their_manifest(shared):
    import csv

    with open(shared / "structures" / "manifest.csv") as stream:
        rows = list(csv.DictReader(stream))[::40]
    for row in rows:
        atoms = structure_reader.read_structure(shared / "structures" / "pdb" / f"{row['id']}.pdb.gz")
        assert len(atoms) == int(row["n_atoms"])
        assert len(atoms.chain_names) == int(row["n_chains"])
        assert len(np.unique(atoms.residue)) == int(row["n_residues"])
        assert extent(atoms.xyz).max() == pytest.approx(float(row["max_extent_A"]), abs=0.1)
        assert bool(atoms.is_nucleic.any()) == bool(int(row["nucleic"]))


def test_truncated_bzip2_is_bad_input(tmp_path):
    import bz2

    path = tmp_path / "cut.pdb.bz2"
    path.write_bytes(bz2.compress(b"ATOM" * 4000)[:-20])
    with pytest.raises(InputError, match="damaged|cut.pdb"):
        structure_reader.read_structure(path)
