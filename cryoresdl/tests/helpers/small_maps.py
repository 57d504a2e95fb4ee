"""Small synthetic molecules and models that several test files share."""

import numpy as np

from cryoresdl.models.datasets.feature_sets import feature_set_file
from cryoresdl.models.datasets.feature_sets.feature_set_file import FeatureItem
from cryoresdl.models.features import band_energies, network_inputs
from cryoresdl.models.maps.fsc import fourier_shells
from cryoresdl.models.networks import band_networks, resolution_bins
from cryoresdl.models.networks.model_files import model_archive
from cryoresdl.models.simulation import realistic_map
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.models.structures.atoms import Atoms


def ball(count=400, radius=14.0, seed=0, b_factor=20.0):
    """Atoms at random inside a sphere: no structure in the spectrum but the sphere's own."""
    xyz = np.random.default_rng(seed).uniform(-radius, radius, (4 * count, 3))
    return atoms_at(xyz[np.linalg.norm(xyz, axis=1) < radius][:count], b_factor)


def atoms_at(xyz, b_factor=20.0, z_number=6, occupancy=1.0, path="ball.pdb"):
    """Atoms of one chain at given coordinates (n, 3) in angstroms."""
    n = len(xyz)
    return Atoms(
        xyz=np.asarray(xyz, float),
        z_number=np.full(n, z_number),
        b_factor=np.full(n, float(b_factor)),
        occupancy=np.full(n, float(occupancy)),
        chain=np.zeros(n, int),
        chain_names=("A",),
        residue=np.arange(n) // 8,
        residue_number=np.arange(n) // 8 + 1,
        insertion=np.full(n, "", "U4"),
        residue_name=np.full(n, "ALA"),
        name=np.full(n, "CA"),
        altloc=np.full(n, ""),
        is_nucleic=np.zeros(n, bool),
        is_polymer=np.ones(n, bool),
        path=path,
    )


def random_local_weights(channels=(8, 8, 8), seed=0):
    """Named random arrays for the local network, small enough that activations stay tame."""
    rng = np.random.default_rng(seed)
    weights = {}

    def layer(name, shape):
        fan_in = int(np.prod(shape[:-1]))
        weights[name + "/kernel"] = (rng.normal(size=shape) * np.sqrt(1.0 / fan_in)).astype(np.float32)
        weights[name + "/bias"] = (rng.normal(size=shape[-1]) * 0.1).astype(np.float32)

    layer("code1", (network_inputs.summary_length(), 96))
    layer("code2", (96, 64))

    def block(name, inputs, width):
        layer(name + "a", (3, 3, 3, inputs, width))
        layer(name + "c", (3, 3, 3, width, width))
        layer(name + "s", (64, width))
        layer(name + "b", (64, width))

    inputs = network_inputs.N_LOCAL
    for level, width in enumerate(channels[:-1]):
        block(f"down{level}", inputs, width)
        inputs = width
    block("root", inputs, channels[-1])
    inputs = channels[-1]
    for level in range(len(channels) - 2, -1, -1):
        layer(f"up{level}p", (1, 1, 1, inputs, channels[level]))
        layer(f"up{level}", (3, 3, 3, channels[level], channels[level]))
        inputs = channels[level]
    layer("logits", (1, 1, 1, inputs, resolution_bins.N_BINS))
    return weights


def random_global_weights(inputs, widths=(16, 8), seed=0, outputs=1):
    """Named random arrays for the global network, with the input's mean and scale."""
    rng = np.random.default_rng(seed)
    weights = {"input/mean": np.zeros(inputs, np.float32), "input/scale": np.ones(inputs, np.float32)}
    for k, width in enumerate([*widths, outputs * resolution_bins.N_BINS]):
        name = f"dense{k}" if k < len(widths) else "logits"
        weights[name + "/kernel"] = (rng.normal(size=(inputs, width)) / np.sqrt(inputs)).astype(np.float32)
        weights[name + "/bias"] = (rng.normal(size=width) * 0.1).astype(np.float32)
        inputs = width
    return weights


def save_local_model(path, channels=(8, 8, 8), seed=0, name="tiny", calibration=None):
    """A local model with random weights, saved as users' models are."""
    card = {
        "kind": "local",
        "name": name,
        "network": band_networks.local_network(channels),
        "data": {},
        "training": {},
        "metrics": {},
        "calibration": calibration or {"spread": 1.0},
    }
    return model_archive.save_model(path, card, random_local_weights(channels, seed))


def save_global_model(
    path, inputs, widths=(16, 8), seed=0, name="tiny-global", calibration=None, criteria=("0.143",)
):
    """A global model with random weights."""
    card = {
        "kind": "global",
        "name": name,
        "network": band_networks.global_network(inputs, widths, criteria=criteria),
        "data": {},
        "training": {},
        "metrics": {},
        "calibration": calibration or {"spread": 1.0, "temperature": 1.0, "distance_limit": 1e9},
    }
    return model_archive.save_model(path, card, random_global_weights(inputs, widths, seed, len(criteria)))


def make_item(seed, shape=(12, 14, 10), voxel=1.0, split="train", labels=None):
    """An item whose truth can be read off its first feature; with ``labels`` it is a user's map."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(shape, bool)
    mask[2:-2, 2:-2, 2:-2] = True
    level = rng.uniform(0.2, 0.8, shape)
    truth = np.where(mask, voxel * 2.0 ** (1 + 3 * level), 0).astype(np.float32)
    local = {}
    for variant in feature_set_file.VARIANTS:
        local[variant] = rng.normal(size=(network_inputs.N_LOCAL,) + shape).astype(np.float16) * np.float16(
            0.1
        )
        local[variant][0] = level
        local[variant][-1] = mask
    summary = {v: np.zeros(network_inputs.summary_length(), np.float32) for v in feature_set_file.VARIANTS}
    info = {"voxel_size_A": voxel, "split": split, "global_fsc0143_A": 4.0, "kind": "realistic"}
    if labels:
        info.update(kind=labels, labels=labels)
    rise = {v: np.zeros(band_energies.N_BANDS, np.float32) for v in feature_set_file.VARIANTS}
    return FeatureItem(local, summary, rise, truth, info)


def write_items(path, splits):
    """A feature set of those items, by split."""
    parts = feature_set_file.FeatureParts(path, {}, overwrite=True)
    for split, items in splits.items():
        for index, item in enumerate(items):
            arrays = {"truth": item.truth, **item.local}
            arrays.update({"summary_" + v: item.summary[v] for v in feature_set_file.VARIANTS})
            arrays.update({"rise_" + v: item.rise[v] for v in feature_set_file.VARIANTS})
            parts.write(index, {**arrays, "info": {**item.info, "split": split}})
    parts.assemble(0, sum(map(len, splits.values())), anew=True)
    return path


def cutoff_in_mask(half1, half2, mask, voxel_size):
    """Resolution (A) at which the FSC of two half maps in a mask with a soft edge first falls to 0.143."""
    soft = fourier_shells.soft_edge(mask, max(3.0, 3.0 / voxel_size))
    frequency, fsc = fourier_shells.half_map_fsc(half1, half2, soft)
    return float(voxel_size / fourier_shells.first_crossing(frequency[1:], fsc[1:]))


def quick_map(atoms=None, resolution=4.0, box=40, voxel_size=1.0, seed=1, **options):
    """A realistic map of few atoms, made in a fraction of a second."""
    atoms = ball(400, 11.0) if atoms is None else atoms
    return realistic_map.simulate(atoms, resolution, box, voxel_size, seed, ImagingConditions(**options))
