"""Noise as a reconstruction has it: spectrum, band limit, fall from the molecule."""

from __future__ import annotations

from typing import Optional, Sequence

import numpy as np
import scipy.fft as sf

from .imaging_conditions import ImagingConditions
from .truth.known_local_resolution import SSNR_THRESHOLD


def noise_spectrum(f: np.ndarray, options: ImagingConditions) -> np.ndarray:
    """Relative noise power at frequencies ``f`` (cycles per voxel), without the band limit."""
    height, centre = options.noise_bump
    return ((f + 0.02) / 0.3) ** options.noise_slope * np.exp(
        height * np.exp(-0.5 * ((f - centre) / 0.08) ** 2)
    )


def band_limit_filter(f: np.ndarray, limit: float) -> np.ndarray:
    """Soft edge at the reconstruction's own band limit; 1 everywhere when the limit covers the cube."""
    if limit >= 0.866:
        return np.ones_like(f)
    return (0.5 * (1 + np.cos(np.pi * np.clip((f - limit + 0.02) / 0.04, 0, 1)))).astype(np.float32)


def _masked_noise_power(
    weight: np.ndarray, f: np.ndarray, limit: np.ndarray, options: ImagingConditions
) -> np.ndarray:
    """Expected power of noise of scale 1 after multiplication with ``weight`` (mask and spatial profile).

    One value per coefficient of ``rfftn``; ``limit`` is the amplitude filter that the noise went through.

    The product's autocorrelation is the product of both: so coloured noise, and the band limit's edge, are smeared by the
    mask just as the signal is.
    """
    density = noise_spectrum(f, options) * limit**2
    correlation = sf.irfftn(density, s=weight.shape, overwrite_x=True)
    correlation *= sf.irfftn(np.abs(sf.rfftn(weight)) ** 2, s=weight.shape, overwrite_x=True)
    return np.maximum(sf.rfftn(correlation, overwrite_x=True).real, 0)


def _noise_scale(frequency: np.ndarray, signal: np.ndarray, unit_noise: np.ndarray, target: float) -> float:
    """Noise power that makes the masked FSC cross the threshold at ``target`` (cycles per voxel)."""
    ratio = signal[1:] / np.maximum(unit_noise[1:], 1e-30)
    # Beyond a dip the curve has already crossed: the running minimum is what the threshold meets.
    level = np.interp(target, frequency[1:], np.minimum.accumulate(ratio))
    return max(float(level), 1e-30) / SSNR_THRESHOLD


def _radial_fall(shape: Sequence[int], fall: float) -> np.ndarray:
    """Relative noise amplitude exp(-fall r^2), r = 1 in the middle of the box's faces: float32 (z, y, x)."""
    squares = [((np.arange(n, dtype=np.float32) - n // 2) / (n / 2)) ** 2 for n in shape]
    return np.exp(-np.float32(fall) * (squares[0][:, None, None] + squares[1][:, None] + squares[2]))


def _noise(
    shape: Sequence[int],
    f: np.ndarray,
    limit: np.ndarray,
    options: ImagingConditions,
    profile: Optional[np.ndarray],
    scale: float,
    rng: np.random.Generator,
) -> np.ndarray:
    white = sf.rfftn(rng.standard_normal(shape, dtype=np.float32))
    white *= np.sqrt(scale * noise_spectrum(f, options)).astype(np.float32) * limit
    noise = sf.irfftn(white, s=tuple(shape), overwrite_x=True)
    return noise if profile is None else noise * profile
