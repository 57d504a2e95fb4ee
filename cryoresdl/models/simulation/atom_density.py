"""Atoms to density: sums of separable Gaussians as matrix products, and EMAN2's ``pdb2mrc`` built on them.

A Gaussian atom is the product of one function per axis, so the sum over atoms
``rho[z, y, x] = sum_a w_a fz_a[z] fy_a[y] fx_a[x]`` is the matrix product of the transposed ``w fz`` with the
row-wise outer products of ``fy`` and ``fx``. Atoms are sorted into columns over the y-x plane, so that each
product spans only the voxels that its atoms reach, and BLAS does the work.
"""

from __future__ import annotations

import dataclasses
from typing import Callable, Iterator, Sequence, Tuple, Union

import numpy as np

from ..base.errors import InputError
from ..structures.atoms import Atoms, center_of

EMAN2_CUTOFF = float(np.sqrt(-np.log(1e-7)))
"""EMAN2 stops an atom where exp(-x^2) falls to 1e-7: 4.0147 times its 1/e radius."""
EMAN2_STEPS = 1000
"""EMAN2 floors distances to 1/1000 voxel, because it looks the exponential up in a table."""
GAUSSIAN_CUTOFF = 4.5
"""General densities stop at 4.5 standard deviations, where a Gaussian has fallen to 4e-5 of its peak."""
LOST_LIMIT = 0.01
"""A structure fits a box when at most this fraction of its density falls outside (see :func:`fit`)."""

_CHUNK = 4096
_BLOCK = 256
_SMALLEST_TILE = 8

AtomSource = Union[Atoms, Tuple[np.ndarray, np.ndarray], Tuple[np.ndarray, np.ndarray, np.ndarray]]
Profile = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Distances (k, m) in voxels along one axis and the rows (k,) of the atoms -> values (k, m)."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """How a structure lies in a box: ``lost`` fraction of its density outside, ``centres_outside`` atoms."""

    lost: float
    centres_outside: int

    @property
    def fits(self) -> bool:
        """Every atom centre is inside and at most :data:`LOST_LIMIT` of the density is outside."""
        return self.centres_outside == 0 and self.lost <= LOST_LIMIT


def pdb2mrc(
    source: AtomSource,
    resolution: float,
    box: int | None = None,
    voxel_size: float = 1.0,
    center: bool = False,
    b_factors: bool = False,
    allow_cut: bool = False,
) -> np.ndarray:
    """Density of a structure as EMAN2's ``e2pdb2mrc`` makes it.

    Each atom adds ``Z exp(-(pi d / resolution)^2)``: no volume normalisation, no occupancy. Distances are
    floored to 0.001 voxel per axis and an atom reaches from ``int(c) - g`` to ``int(c) + g - 1`` voxels per
    axis around its centre ``c = x / voxel_size + box // 2``, with ``g = int(4.0147 (resolution / pi) /
    voxel_size)``.

    Args:
        source: atoms, or (xyz (n, 3) in A, weights (n,)), or (xyz, weights, B-factors) as
            ``structure_reader.eman2_atoms`` returns them.
        resolution: in A; the Fourier transform of an atom falls to 1/e at its reciprocal.
        box: edge of the cubic box in voxels; EMAN2's own choice when None (:func:`eman2_box`).
        voxel_size: in A.
        center: first move the Z-weighted centre to the coordinate origin (EMAN2's ``--center``).
        b_factors: the 1/e radius is ``w = B / (4 sqrt(2) pi)`` instead of ``resolution / pi`` (atoms
            without a B-factor keep that), and each axis is scaled by ``1 / sqrt(2 pi w^2)`` (EMAN2's
            ``--addpdbbfactor``).
        allow_cut: keep what is inside the box when the structure does not fit, as EMAN2 does.

    Returns:
        (box, box, box) float32, axis order z, y, x; coordinate 0 is at voxel ``box // 2``.

    Raises:
        InputError: resolution, box or voxel size not positive; a structure that does not fit (:func:`fit`).
    """
    xyz, weights, b_values = _unpack(source)
    _check_positive(resolution=resolution, voxel_size=voxel_size)
    if center:
        xyz = xyz - center_of(xyz, weights)
    size = eman2_box(xyz, resolution, voxel_size) if box is None else int(box)
    _check_positive(box=size)
    if not allow_cut:
        check_fit(fit(xyz, weights, resolution, size, voxel_size), size, voxel_size)
    widths = np.array([resolution / np.pi])  # 1/e radii in A
    amplitude = np.ones(1)
    if b_factors:
        if b_values is None:
            raise InputError("B-factors were asked for, but the structure has none.")
        of_atoms = np.asarray(b_values, dtype=np.float64) / (4.0 * np.sqrt(2.0) * np.pi)
        widths = np.where(of_atoms > 0, of_atoms, widths)
        amplitude = 1.0 / np.sqrt(2.0 * np.pi * widths**2)
    half = np.maximum((EMAN2_CUTOFF * widths / voxel_size).astype(np.int64), 1)
    # EMAN2 reads coordinates in single precision; at 1 A per voxel the last digit decides its floor.
    positions = xyz.astype(np.float32).astype(np.float64) / voxel_size + size // 2
    profile = _eman2_profile(widths / voxel_size, amplitude)
    return separable_sum(positions, weights, (size, size, size), profile, half, np.trunc, 0)


def gaussian_density(
    xyz: np.ndarray,
    weights: np.ndarray,
    sigmas: Union[float, np.ndarray],
    shape: Sequence[int],
    voxel_size: float = 1.0,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    normalized: bool = True,
) -> np.ndarray:
    """Sum of isotropic Gaussians of any widths on any grid.

    Atoms are added as far as :data:`GAUSSIAN_CUTOFF` standard deviations per axis (relative RMS error below
    1e-4); what lies outside the grid is not added. Memory beside the result stays below about 100 MB for any
    number of atoms.

    Args:
        xyz: (n, 3) in A.
        weights: (n,) any sign.
        sigmas: standard deviations in A, one or (n,). Below half a voxel the samples no longer carry the
            integral of the Gaussian.
        shape: grid size (z, y, x).
        voxel_size: in A.
        origin: x, y, z in A of the centre of voxel (0, 0, 0).
        normalized: each Gaussian integrates to its weight over A^3; otherwise its peak is its weight.

    Returns:
        ``shape`` float32, axis order z, y, x; weight per A^3 when normalized.

    Raises:
        InputError: sizes or widths that are not positive.
    """
    xyz = np.asarray(xyz, dtype=np.float64).reshape(-1, 3)
    widths = np.atleast_1d(np.asarray(sigmas, dtype=np.float64))
    _check_positive(voxel_size=voxel_size, smallest_width=float(widths.min()) if widths.size else 1.0)
    for size in shape:
        _check_positive(grid_size=size)
    weights = np.broadcast_to(np.asarray(weights, dtype=np.float64), (len(xyz),))
    if normalized:
        weights = weights / (2.0 * np.pi * widths**2) ** 1.5
    nz, ny, nx = (int(size) for size in shape)
    half = np.ceil(GAUSSIAN_CUTOFF * widths / voxel_size).astype(np.int64)
    scale = np.broadcast_to(voxel_size / (np.sqrt(2.0) * widths), (len(xyz),)).astype(np.float32)

    def profile(distance: np.ndarray, rows: np.ndarray) -> np.ndarray:
        values = distance.astype(np.float32)
        values *= scale[rows, None]
        np.square(values, out=values)
        return np.exp(np.negative(values, out=values), out=values)

    positions = (xyz - np.asarray(origin, dtype=np.float64)) / voxel_size
    return separable_sum(positions, weights, (nz, ny, nx), profile, half, np.floor, 1)


def separable_sum(
    positions: np.ndarray,
    weights: np.ndarray,
    shape: Tuple[int, int, int],
    profile: Profile,
    half: np.ndarray,
    anchor: Callable[[np.ndarray], np.ndarray] = np.floor,
    extra: int = 1,
) -> np.ndarray:
    """Sum over atoms of ``w f(|z - cz|) f(|y - cy|) f(|x - cx|)``, as matrix products over compact supports.

    Args:
        positions: (n, 3) x, y, z in voxels.
        weights: (n,).
        shape: grid size (z, y, x).
        profile: the function of one axis; called for at most 4096 atoms at a time.
        half: reach in voxels, one or (n,): an atom covers ``anchor(c) - half`` to
            ``anchor(c) + half - 1 + extra``.
        anchor: how centres become integers.
        extra: voxels added to the upper end.

    Returns:
        ``shape`` float32. The same atoms give the same bytes, whatever was summed before.
    """
    density = np.zeros(shape, dtype=np.float32)
    half = np.broadcast_to(np.asarray(half, dtype=np.int64), (len(positions),))
    anchors = anchor(positions).astype(np.int64)
    sizes = np.array(shape[::-1])
    first, last = anchors - half[:, None], anchors + half[:, None] + extra
    rows = np.flatnonzero(np.all((first < sizes) & (last > 0), axis=1) & (half > 0))
    if not len(rows):
        return density
    # Bands of similar reach, so that one broad atom does not widen the blocks of all.
    band = np.floor(2.0 * np.log2(half[rows])).astype(np.int64)
    for value in np.unique(band):
        mine = rows[band == value]
        widest = int(half[mine].max())
        _sum_band(density, positions, weights, anchors, half, mine, profile, widest, extra)
    return density


def _sum_band(
    density: np.ndarray,
    positions: np.ndarray,
    weights: np.ndarray,
    anchors: np.ndarray,
    half: np.ndarray,
    rows: np.ndarray,
    profile: Profile,
    widest: int,
    extra: int,
) -> None:
    tile = max(_SMALLEST_TILE, widest // 2)
    column = (anchors[rows, 1] // tile) * (1 << 20) + anchors[rows, 0] // tile
    order = np.lexsort((anchors[rows, 2], column))
    rows, column = rows[order], column[order]
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        factors = [
            _axis_factor(
                positions[chunk, axis], anchors[chunk, axis], half, chunk, size, profile, widest, extra
            )
            for axis, size in zip((2, 1, 0), density.shape)
        ]
        factors[0] *= weights[chunk].astype(np.float32)[:, None]
        for block in _blocks(column[start : start + _CHUNK]):
            low = np.maximum(anchors[chunk[block]].min(axis=0) - widest, 0)
            high = np.minimum(anchors[chunk[block]].max(axis=0) + widest + extra, density.shape[::-1])
            (z, y, x) = (slice(low[axis], high[axis]) for axis in (2, 1, 0))
            along_z, along_y, along_x = factors[0][block, z], factors[1][block, y], factors[2][block, x]
            plane = (along_y[:, :, None] * along_x[:, None, :]).reshape(len(along_y), -1)
            shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
            density[z, y, x] += (along_z.T @ plane).reshape(shape)


def _blocks(column: np.ndarray) -> Iterator[slice]:
    """Runs of one column, at most ``_BLOCK`` atoms each: the outer products then stay in the cache."""
    edges = np.concatenate(([0], np.flatnonzero(np.diff(column)) + 1, [len(column)]))
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist()):
        for start in range(begin, end, _BLOCK):
            yield slice(start, min(start + _BLOCK, end))


def _axis_factor(
    centres: np.ndarray,
    anchors: np.ndarray,
    half: np.ndarray,
    rows: np.ndarray,
    size: int,
    profile: Profile,
    widest: int,
    extra: int,
) -> np.ndarray:
    """Values (k, size) float32 of the atoms' functions along one axis; 0 outside each atom's reach."""
    reach = 2 * widest + extra
    offsets = np.arange(reach) - widest
    grid = anchors[:, None] + offsets
    values = profile(np.abs(grid - centres[:, None]), rows)
    mine = half[rows]
    if mine.min() < widest:
        values = np.where((offsets >= -mine[:, None]) & (offsets < mine[:, None] + extra), values, 0)
    # Scatter into rows padded by the reach, so that no index needs a test against the box.
    padded = np.zeros((len(rows), size + 2 * reach), dtype=np.float32)
    where = (anchors - widest + reach + np.arange(len(rows)) * padded.shape[1])[:, None] + np.arange(reach)
    padded.ravel()[where] = values
    return padded[:, reach : reach + size]


def _eman2_profile(radius: np.ndarray, amplitude: np.ndarray) -> Profile:
    """EMAN2's profile: 1/e ``radius`` in voxels and ``amplitude``, one or per atom; floored distances."""
    if radius.size == 1:
        # One width for all: EMAN2's own table is faster than a million exponentials.
        reach = int(EMAN2_CUTOFF * radius[0]) + 2
        steps = np.arange(reach * EMAN2_STEPS) / (EMAN2_STEPS * radius[0])
        table = (amplitude[0] * np.exp(-(steps**2))).astype(np.float32)
        return lambda distance, rows: table[(distance * EMAN2_STEPS).astype(np.int64)]

    def compute(distance: np.ndarray, rows: np.ndarray) -> np.ndarray:
        steps = np.floor(distance * EMAN2_STEPS) / (EMAN2_STEPS * radius[rows, None])
        return amplitude[rows, None] * np.exp(-(steps**2))

    return compute


def fit(xyz: np.ndarray, weights: np.ndarray, resolution: float, box: int, voxel_size: float) -> Fit:
    """How a structure lies in a cubic box whose voxel ``box // 2`` is coordinate 0.

    It *fits* when every atom centre lies within the box and at most 1 % of the density at ``resolution``
    falls outside its faces.

    Args:
        xyz: (n, 3) in A.
        weights: (n,) atomic numbers.
        resolution: in A.
        box: edge in voxels.
        voxel_size: in A.
    """
    from scipy.special import erf

    low = (-(box // 2) - 0.5) * voxel_size
    high = low + box * voxel_size
    outside = np.any((xyz < low) | (xyz > high), axis=1)
    near = np.any((xyz < low + 1.5 * resolution) | (xyz > high - 1.5 * resolution), axis=1)
    scaled = xyz[near] * (np.pi / resolution)
    # The 1/e radius is resolution / pi, so an axis keeps half the difference of two error functions.
    kept = 0.5 * (erf(high * np.pi / resolution - scaled) - erf(low * np.pi / resolution - scaled))
    total = float(np.sum(weights))
    lost = float(np.sum(weights[near] * (1.0 - np.prod(kept, axis=1)))) / total if total > 0 else 0.0
    return Fit(max(lost, 0.0), int(np.count_nonzero(outside)))


def check_fit(found: Fit, box: int, voxel_size: float, name: str = "The structure") -> None:
    """Refuse a structure that does not fit.

    Raises:
        InputError: says how much would be cut.
    """
    if not found.fits:
        raise InputError(
            f"{name} does not fit a box of {box} voxels of {voxel_size:g} A ({found.centres_outside} atoms,"
            f" {100 * found.lost:.1f} % of the density outside); use a larger box or centre the structure."
        )


def eman2_box(xyz: np.ndarray, resolution: float, voxel_size: float) -> int:
    """Edge in voxels that ``e2pdb2mrc`` chooses: ``int(1.9 extent / apix + 2 resolution / apix)``."""
    extent = float(np.ptp(xyz, axis=0).max()) if len(xyz) else 0.0
    return max(int(1.9 * extent / voxel_size + 2.0 * resolution / voxel_size), 1)


def _unpack(source: AtomSource) -> Tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    if isinstance(source, Atoms):
        return source.xyz, source.z_number.astype(np.float64), source.b_factor
    xyz = np.asarray(source[0], dtype=np.float64).reshape(-1, 3)
    weights = np.broadcast_to(np.asarray(source[1], dtype=np.float64), (len(xyz),))
    return xyz, weights, np.asarray(source[2], dtype=np.float64) if len(source) > 2 else None


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not np.isfinite(value) or value <= 0:
            raise InputError(f"The {name.replace('_', ' ')} must be a number above 0, not {value}.")
