"""Lines of a PDB file, and files of them."""

LINE = (
    "{kind:6s}{n:5d} {name:4s}{alt}{residue:>3s} {chain}{number:4d}    "
    "{x:8.3f}{y:8.3f}{z:8.3f}{occ:6.2f}{b:6.2f}          {element:>2s}"
)


def atom(name="CA", element="C", xyz=(1.0, 2.0, 3.0), n=1, kind="ATOM", **fields):
    values = dict(alt=" ", residue="ALA", chain="A", number=1, occ=1.0, b=20.0)
    values.update(fields)
    padded = f" {name:<3s}" if len(name) < 4 and len(element) == 1 else f"{name:<4s}"
    x, y, z = xyz
    return LINE.format(kind=kind, n=n, name=padded, x=x, y=y, z=z, element=element, **values)


def write(folder, *lines, name="a.pdb"):
    path = folder / name
    path.write_text("\n".join([*lines, "END", ""]))
    return path
