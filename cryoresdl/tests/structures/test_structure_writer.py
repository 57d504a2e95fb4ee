"""Models written with values in their B-factor column."""

import gemmi

from cryoresdl.models.structures.structure_writer import write_with_b_factors


def atom(serial, chain, number, insertion=" ", b=20.0):
    return (
        f"ATOM  {serial:5d}  CA  ALA {chain}{number:4d}{insertion}   "
        f"{serial % 50:8.3f}{0:8.3f}{0:8.3f}  1.00{b:6.2f}           C\n"
    )


def test_residues_past_1000_and_insertion_codes_keep_their_own_values(tmp_path):
    source = tmp_path / "model.pdb"
    numbers = [*range(995, 1006), *range(9990, 10000)]
    lines = [atom(i, "A", number) for i, number in enumerate(numbers, 1)]
    lines += [atom(50, "B", 82), atom(51, "B", 82, "A")]
    source.write_text("".join(lines) + "END\n")
    values = {("A", number, ""): number / 1000 for number in numbers[:-1]}
    values.update({("B", 82, ""): 3.0, ("B", 82, "A"): 7.5})
    write_with_b_factors(source, values, tmp_path / "out.cif")
    model = gemmi.read_structure(str(tmp_path / "out.cif"))[0]
    found = {
        (chain.name, residue.seqid.num, residue.seqid.icode.strip()): residue[0].b_iso
        for chain in model
        for residue in chain
    }
    assert len(found) == len(numbers) + 2
    for key, value in values.items():
        assert abs(found[key] - value) < 0.006
    assert found["A", 9999, ""] == 0
