"""Options of a simulated map: resolution, noise, B-factors, masking."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional, Tuple, TypedDict

import numpy as np

from .view_distribution import UNIFORM


@dataclass(frozen=True)
class Deposition:
    """What is done to a finished map before others get it; the defaults do nothing (``deposited_map``).

    Attributes:
        filter_shape: of ``ImagingConditions.low_pass``: "cosine", "gaussian" or "butterworth".
        filter_edge: width of the cosine in cycles per voxel.
        local_filter: the map is filtered everywhere to its local resolution.
        mask_edge: width of a soft mask's edge, angstroms and voxels at least.
        part: only one chain is shown: zone, mask and box are those of that chain.
        positive: negative densities are set to zero, whatever the background.
        cut_margin: the box is cut to the mask's with so many voxels around; None keeps it.
        resample: new voxel size over the old one.
        resample_order: of the splines, 1 or 3.
    """

    filter_shape: str = "cosine"
    filter_edge: float = 0.03
    local_filter: bool = False
    mask_edge: float = 4.0
    part: bool = False
    positive: bool = False
    cut_margin: Optional[int] = None
    resample: float = 1.0
    resample_order: int = 1


@dataclass
class ImagingConditions:
    """Everything about a realistic map that is not its structure; drawn by :func:`random_options` for training.

    The defaults are those of a map of 3 A (:func:`plain_options` for others).

    Attributes:
        b_base: isotropic B-factor of every atom, square angstroms.
        b_range: scale of the flexibility field's B-factors, square angstroms.
        b_source: "field" (smooth random field), "file" (the structure's B-factors), "radial" or "none".
        field_length: correlation length of the random field, angstroms.
        solvent: bulk-solvent density over the mean protein density (0 = vacuum).
        noise_slope: exponent p of the noise power spectrum (f + 0.02)^p.
        noise_bump: height and centre (cycles per voxel) of a bump in the log noise spectrum.
        noise_profile: relative amplitude of the noise's smooth spatial modulation.
        noise_inside: extra noise amplitude inside the molecule over that outside: misalignment, heterogeneity and
            solvent flattening leave real maps noisier where the particle is.
        noise_fall: how far the log amplitude of the noise has fallen in the middle of the box's faces, with the square
            of the distance from its centre: images are masked by a circle, and particles are aligned by their middle.
        band_limit: cycles per voxel above which the reconstruction holds nothing (0.87 = the whole cube).
        weighting: FSC weighting sqrt(2 FSC / (1 + FSC)) of the final map.
        b_sharpen: B-factor of sharpening (negative) or blurring (positive) of the final map, square angstroms.
        low_pass: cut-off in angstroms of a soft low-pass of the final map, or 0.
        background: "noise", "soft" (soft mask), "hard" (zeros outside the mask), "zone" (zeros 2-5 A around atoms),
            "clipped" (negative densities set to zero).
        mask_margin: distance from the nearest atom to the edge of the mask, angstroms.
        copies: number of copies of the molecule (1 = none).
        arrangement: of the copies: "ring" about the z axis, "packed" or "helix" (``assemblies``).
        auto_mask: the mask is what ``automatic_mask.auto_mask`` finds in the final map, as for a user without a mask;
            the noise level still refers to the atoms' own mask.
        views: distribution of views, as ``view_distribution.views_of`` reads it: "uniform", "axis:80", "cone:30".
        view_axis: the axis of that distribution (z, y, x), of any length.
        view_floor: the reconstruction divides by no smaller density of views, in units of the mean.
        deposition: what is done to the finished map before others get it.
    """

    b_base: float = 40.0
    b_range: float = 120.0
    b_source: str = "field"
    field_length: float = 18.0
    solvent: float = 0.4
    noise_slope: float = 0.0
    noise_bump: Tuple[float, float] = (0.0, 0.2)
    noise_profile: float = 0.0
    noise_inside: float = 0.0
    noise_fall: float = 0.0
    band_limit: float = 0.87
    weighting: bool = False
    b_sharpen: float = 0.0
    low_pass: float = 0.0
    background: str = "noise"
    mask_margin: float = 4.0
    copies: int = 1
    auto_mask: bool = False
    views: str = UNIFORM
    view_axis: Tuple[float, float, float] = (1.0, 0.0, 0.0)
    view_floor: float = 0.02
    arrangement: str = "ring"
    deposition: Deposition = field(default_factory=Deposition)


def _b_scale(resolution: float) -> float:
    """B-factors over those at 3 A: what limits a reconstruction to ``resolution`` blurs it by about as much."""
    return (max(resolution, 2.0) / 3.0) ** 2


def plain_options(resolution: float) -> ImagingConditions:
    """The options of a map as it comes from the reconstruction, in white noise: the defaults of ``simulate``.

    Args:
        resolution: angstroms; B-factors grow with its square (``docs/explanation/simulation.md``).
    """
    scale = _b_scale(resolution)
    return ImagingConditions(
        b_base=ImagingConditions.b_base * scale, b_range=ImagingConditions.b_range * scale
    )


def random_options(rng: np.random.Generator, resolution: float) -> ImagingConditions:
    """Draw options across what users have; the spread of the training set (``docs/explanation/simulation.md``)."""
    scale = _b_scale(resolution)
    b_base = float(rng.uniform(0.1, 1.5)) * 40.0 * scale
    b_range = float(np.exp(rng.normal(0.0, 0.7))) * 50.0 * scale
    return ImagingConditions(
        b_base=b_base,
        b_range=b_range,
        b_source=str(rng.choice(["field", "file", "radial", "none"], p=[0.72, 0.1, 0.12, 0.06])),
        field_length=float(rng.uniform(8.0, 35.0)),
        solvent=float(rng.choice([0.0, rng.uniform(0.2, 0.65)], p=[0.45, 0.55])),
        # Noise that falls with the signal would keep the FSC between 0.5 and 0.143 for octaves, as no real one is: that
        # of deposited maps falls because both were filtered together.
        noise_slope=float(rng.choice([0.0, rng.uniform(-0.8, 1.2)], p=[0.5, 0.5])),
        noise_bump=(
            float(rng.choice([0.0, rng.normal(0, 0.5)], p=[0.6, 0.4])),
            float(rng.uniform(0.05, 0.4)),
        ),
        noise_profile=float(rng.choice([0.0, rng.uniform(0.05, 0.3)], p=[0.65, 0.35])),
        noise_inside=float(np.exp(rng.uniform(np.log(0.2), np.log(5.0)))) if rng.random() < 0.4 else 0.0,
        band_limit=float(rng.choice([0.87, 0.49, rng.uniform(0.2, 0.48)], p=[0.55, 0.25, 0.2])),
        background=str(
            rng.choice(["noise", "soft", "hard", "zone", "clipped"], p=[0.4, 0.17, 0.08, 0.25, 0.1])
        ),
        mask_margin=float(rng.uniform(2.0, 5.5) + 0.15 * resolution),
        copies=int(rng.choice([1, 2, 3, 4, 6], p=[0.8, 0.07, 0.06, 0.04, 0.03])),
        auto_mask=bool(rng.random() < 0.45),
        noise_fall=float(rng.uniform(0.1, 1.2)) if rng.random() < 0.35 else 0.0,
        **_draw_finish(rng, resolution, b_base + 0.5 * b_range),
        **_draw_views(rng),
    )


class _DrawnFinish(TypedDict):
    weighting: bool
    b_sharpen: float
    low_pass: float


def _draw_finish(rng: np.random.Generator, resolution: float, b_factor: float) -> _DrawnFinish:
    """What follows the reconstruction: half of the maps are post-processed as refinement programs do it, the others anyhow.

    Programs sharpen by about the map's own B-factor, weight by the FSC and filter at the resolution that they report.
    Drawn independently of each other, maps so finished would be rare, and a network would take them for coarser ones.
    """
    if rng.random() < (0.6 if resolution < 8.0 else 0.25):
        by_program = {
            "b_sharpen": -float(rng.uniform(0.6, 1.2)) * b_factor,
            "low_pass": float(resolution * np.exp(rng.normal(0.0, 0.04))),
        }
        left_out = {name: bool(rng.random() < 0.15) for name in by_program}
        kept = {name: 0.0 if left_out[name] else value for name, value in by_program.items()}
        return _DrawnFinish(
            weighting=bool(rng.random() < 0.7), b_sharpen=kept["b_sharpen"], low_pass=kept["low_pass"]
        )
    kind, unit = rng.random(), 40.0 * _b_scale(resolution)
    sharpen = 0.0
    if kind < 0.3:
        sharpen = -float(rng.uniform(0.3, 1.6)) * unit
    elif kind < 0.45:
        sharpen = float(rng.uniform(0.2, 1.5)) * unit
    return _DrawnFinish(
        weighting=bool(rng.random() < 0.3), b_sharpen=sharpen, low_pass=_draw_low_pass(rng, resolution)
    )


class _DrawnViews(TypedDict):
    views: str
    view_axis: Tuple[float, float, float]
    view_floor: float


def _draw_views(rng: np.random.Generator) -> _DrawnViews:
    """Even views in two thirds of the maps, one of the uneven kinds in the others, about any axis."""
    kind = str(rng.choice(["uniform", "axis", "two", "cone", "tilt"], p=[0.66, 0.14, 0.06, 0.06, 0.08]))
    share, cone, tilt = rng.uniform(40.0, 97.0), rng.uniform(8.0, 45.0), rng.uniform(25.0, 65.0)
    amount = {"axis": share, "two": share, "cone": cone, "tilt": tilt}.get(kind)
    z, y, x = (float(value) for value in rng.normal(size=3))
    return _DrawnViews(
        views=kind if amount is None else f"{kind}:{amount:.1f}",
        view_axis=(z, y, x),
        view_floor=float(np.exp(rng.uniform(np.log(0.005), np.log(0.2)))),
    )


def _draw_low_pass(rng: np.random.Generator, resolution: float) -> float:
    """Six in ten of these maps are filtered, mostly near their resolution, some far below or above it."""
    if rng.random() < 0.4:
        return 0.0
    return float(resolution * np.clip(np.exp(rng.normal(np.log(0.95), 0.17)), 0.6, 1.7))


def random_deposition(rng: np.random.Generator, resolution: float, voxel_size: float) -> Deposition:
    """Draw what is done to a finished map, across what is deposited and handed on (``docs/simulation.md``)."""
    resampled = float(np.clip(np.exp(rng.normal(0.0, 0.2)), 0.65, 1.6)) if rng.random() < 0.2 else 1.0
    # Nobody resamples a map beyond its own resolution.
    resampled = min(resampled, max(1.0, resolution / (2.1 * voxel_size)))
    return Deposition(
        filter_shape=str(rng.choice(["cosine", "gaussian", "butterworth"], p=[0.5, 0.25, 0.25])),
        filter_edge=float(rng.uniform(0.015, 0.1)),
        local_filter=bool(rng.random() < 0.08),
        mask_edge=float(rng.uniform(2.0, 15.0)),
        part=bool(rng.random() < 0.25),
        positive=bool(rng.random() < 0.12),
        cut_margin=int(rng.integers(0, 9)) if rng.random() < 0.2 else None,
        resample=resampled,
        resample_order=int(rng.choice([1, 3])),
    )
