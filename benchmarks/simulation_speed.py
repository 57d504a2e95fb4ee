"""How fast maps are simulated, against a plain per-atom loop, and what the paper's 38,013 maps would cost.

    python benchmarks/simulation_speed.py --structures DIR [--realistic] [--count 12]

DIR holds PDB or mmCIF files and a manifest.csv. Prints tables; nothing is asserted.
"""

import argparse
import functools
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.datasets import input_lists
from cryoresdl.models.datasets.map_set_file import DatasetFile
from cryoresdl.models.simulation import atom_density, realistic_map
from cryoresdl.models.structures import structure_reader
from cryoresdl.models.structures.atoms import center, molecular_weight_kda

PAPER_MAPS = 38013
RESOLUTIONS = (2.5, 7.5, 12.5)


def per_atom_loop(xyz, weights, resolution, box, voxel_size):
    """EMAN2's way: for every atom, add its Gaussian to its own small box; numpy does the box at once."""
    density = np.zeros((box,) * 3, np.float32)
    reach = int(atom_density.EMAN2_CUTOFF * resolution / np.pi / voxel_size)
    scale = voxel_size * np.pi / resolution / 1000
    for position, weight in zip(xyz / voxel_size + box // 2, weights):
        grids = [np.arange(max(int(c) - reach, 0), min(int(c) + reach, box)) for c in position[::-1]]
        z, y, x = (
            np.exp(-((np.floor(np.abs(grid - c) * 1000) * scale) ** 2)).astype(np.float32)
            for grid, c in zip(grids, position[::-1])
        )
        block = tuple(slice(grid[0], grid[-1] + 1) for grid in grids)
        density[block] += (weight * z)[:, None, None] * (y[:, None] * x)
    return density


def chosen(folder, count):
    """Paper structures (single chain, 10-200 kDa, fit the box), evenly over the list."""
    found = []
    for entry in input_lists.find_structures(folder):
        try:
            atoms = structure_reader.read_structure(entry.path)
            polymers = np.unique(atoms.chain[atoms.is_polymer])
            if len(polymers) != 1 or atoms.is_nucleic.any():
                continue
            atoms = center(atoms)
            if molecular_weight_kda(atoms) < 10:
                continue
            if atom_density.fit(atoms.xyz, atoms.z_number, max(RESOLUTIONS), 64, 1.0).fits:
                found.append(atoms)
        except InputError:
            continue
    return found[:: max(1, len(found) // count)][:count], len(found)


def seconds(call, repeats=5):
    """Shortest (wall, processor) seconds of a few calls: the machine's other work only ever adds."""
    walls, processor = [], []
    for _ in range(repeats):
        begin, begin_processor = time.perf_counter(), time.process_time()
        call()
        walls.append(time.perf_counter() - begin)
        processor.append(time.process_time() - begin_processor)
    return min(walls), min(processor)


def pdb2mrc_table(atoms):
    """Rate per resolution against the loop; the loop runs on every third structure only."""
    sizes = [len(one) for one in atoms]
    print(f"\npdb2mrc mode, 64^3, 1 A; n = {len(atoms)} structures of {min(sizes)}-{max(sizes)} atoms")
    print("resolution   maps/s: mean  slowest   per processor s   loop maps/s   ratio   relative difference")
    for resolution in RESOLUTIONS:
        fast, slow, errors = [], [], []
        for number, one in enumerate(atoms):
            fast.append(seconds(functools.partial(atom_density.pdb2mrc, one, resolution, 64)))
            if number % 3:
                continue
            xyz = one.xyz.astype(np.float32).astype(np.float64)
            loop = functools.partial(per_atom_loop, xyz, one.z_number, resolution, 64, 1.0)
            slow.append((*seconds(loop, 2), *fast[-1]))
            expected = loop()
            made = atom_density.pdb2mrc(one, resolution, 64)
            errors.append(np.linalg.norm(made - expected) / np.linalg.norm(expected))
        walls, processor = np.array(fast).T
        loops = np.array(slow)
        print(
            f"{resolution:6.1f} A {1 / walls.mean():14.0f} {1 / walls.max():8.0f} {1 / processor.mean():14.0f}"
            f" {1 / loops[:, 0].mean():15.1f} {np.median(loops[:, 0] / loops[:, 2]):9.1f}      {max(errors):.1e}"
        )


def command_table(folder, count):
    """The whole command: reading, simulating, scaling, packing, card; one and two workers.

    The processor seconds say what an idle machine would need; the wall clock also holds what others run.
    """
    print("\ncryoresdl dataset global --paper (start, reading, maps, packing, file and card included)")
    print("workers   maps   wall s   maps/s   processor s   MB/map")
    rates = {}
    with tempfile.TemporaryDirectory() as temporary:
        listing = Path(temporary) / "list.txt"
        entries = input_lists.find_structures(folder)
        step = max(1, len(entries) // count)
        listing.write_text("\n".join(os.path.abspath(entry.path) for entry in entries[::step]) + "\n")
        for workers in (1, 2):
            out = Path(temporary) / f"{workers}.h5"
            words = [sys.executable, "-m", "cryoresdl.models", "dataset", "global", "--paper", "--quiet"]
            words += ["--structures", str(listing), "--manifest", str(Path(folder) / "manifest.csv")]
            begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([*words, "--workers", str(workers), "--out", str(out)], check=True)
            wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
            processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            with DatasetFile(out) as data:
                items = len(data)
            megabytes = out.stat().st_size / 1e6 / items
            rates[workers] = (items / wall, items / processor, megabytes)
            print(
                f"{workers:7d} {items:6d} {wall:8.1f} {items / wall:8.1f} {processor:13.1f} {megabytes:8.3f}"
            )
    for workers, (rate, idle, megabytes) in rates.items():
        print(
            f"{PAPER_MAPS} maps, {workers} worker(s): {PAPER_MAPS / rate / 60:.0f} min as measured,"
            f" {PAPER_MAPS / idle / workers / 60:.0f} min by processor time,"
            f" {PAPER_MAPS * megabytes / 1e3:.1f} GB (twice that while the file is put together)"
        )


def realistic_table(atoms):
    """Realistic maps with half maps and truth at full sampling."""
    print("\nrealistic mode with half maps and truth, 96^3, 1 A")
    calls = [
        functools.partial(realistic_map.simulate, one, 4.0, 96, 1.0, number)
        for number, one in enumerate(atoms[:6])
    ]
    walls, processor = np.array([seconds(call, 1) for call in calls]).T
    print(
        f"n = {len(walls)}: mean {walls.mean():.2f} s, slowest {walls.max():.2f} s per map;"
        f" {processor.mean():.2f} processor s"
    )
    code = (
        "import resource, sys; from cryoresdl.models.simulation import realistic_map;"
        "from cryoresdl.models.structures import structure_reader;"
        "realistic_map.simulate(structure_reader.read_structure(sys.argv[1]), 4.0, 256, 1.0, seed=0);"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, atoms[0].path], check=True, capture_output=True, text=True
    )
    print(
        f"256^3: {time.perf_counter() - begin:.1f} s, peak memory {int(done.stdout) / 1048576:.2f} GiB (whole process)"
    )


def large_table():
    """A large assembly: 100,000 atoms on 256^3, one width and many widths."""
    rng = np.random.default_rng(0)
    xyz = rng.uniform(40, 216, (100_000, 3))
    print("\n100,000 atoms on 256^3, 1 A")
    for name, sigmas in (("one width", 1.0), ("own widths 0.7-3 A", rng.uniform(0.7, 3.0, len(xyz)))):
        call = functools.partial(atom_density.gaussian_density, xyz, np.ones(len(xyz)), sigmas, (256,) * 3)
        wall, processor = seconds(call, 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1048576
        print(f"{name:20s} {wall:.2f} s ({processor:.2f} processor s), peak memory so far {peak:.2f} GiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", required=True)
    parser.add_argument("--count", type=int, default=12, help="structures in the tables")
    parser.add_argument("--realistic", action="store_true")
    args = parser.parse_args()
    print(
        f"{platform.machine()}, {os.cpu_count()} processors, Python {platform.python_version()}, numpy {np.__version__}"
    )
    print(f"load average at the start: {os.getloadavg()[0]:.1f}")
    atoms, usable = chosen(args.structures, args.count)
    print(f"{usable} structures pass the paper's filters and fit 64^3 as deposited")
    pdb2mrc_table(atoms)
    large_table()
    command_table(args.structures, 10 * args.count)
    if args.realistic:
        realistic_table(atoms)


if __name__ == "__main__":
    main()
