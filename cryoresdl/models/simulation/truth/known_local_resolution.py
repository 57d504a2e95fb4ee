"""The true local resolution of a simulated map."""

from __future__ import annotations

from typing import Any, Optional, Sequence

import numpy as np

from ...base.resolution_terms import FSC_THRESHOLD
from ...features.band_energies import (
    MIN_WIDTH,
    RELATIVE_WIDTH,
    WINDOW,
    Spectrum,
    cell_count,
    smooth_resample,
    trapezoid,
)

SSNR_THRESHOLD = FSC_THRESHOLD / (1.0 - FSC_THRESHOLD)
TRUTH_TOP = 0.49
TRUTH_RATIO = 1.08
TRUTH_LOWEST = 0.02


def truth_frequencies(shape: Sequence[int]) -> np.ndarray:
    """Band centres of the truth in cycles per voxel, low to high; the lowest fits the box 1.5 times."""
    lowest = max(TRUTH_LOWEST, 1.5 / min(shape))
    count = int(np.floor(np.log(TRUTH_TOP / lowest) / np.log(TRUTH_RATIO))) + 1
    return TRUTH_TOP / TRUTH_RATIO ** np.arange(count - 1, -1, -1)


def local_truth(
    signal: np.ndarray,
    noise_power: Any,
    noise_profile: Optional[np.ndarray],
    stride: int = 1,
    keep: Optional[np.ndarray] = None,
) -> np.ndarray:
    """True local resolution in voxels (see the module's text).

    Args:
        signal: noiseless volume, float32 (z, y, x).
        noise_power: function of frequency (cycles per voxel) giving one half map's noise power density per voxel.
        noise_profile: relative local noise amplitude, same shape as ``signal``, or None for stationary noise.
        stride: one value per block of ``stride`` voxels.
        keep: bool cells whose truth is wanted: bands end when all of them have fallen; None for all.

    Returns:
        float32 (cells): wavelength in voxels, between 1/0.49 and the lowest band's.
    """
    cells = tuple(cell_count(n, stride) for n in signal.shape)
    frequencies = truth_frequencies(signal.shape)
    spectrum = Spectrum(signal)
    result = np.zeros(cells, np.float32)
    previous: Optional[np.ndarray] = None
    open_cells = np.ones(cells, bool) if keep is None else keep.copy()
    for k, centre in enumerate(frequencies):
        energy, _ = spectrum.energy(centre, cells, stride)
        width = max(RELATIVE_WIDTH * centre, MIN_WIDTH)
        noise = band_power(noise_power, centre, width)
        level: Any = np.float32(noise)
        if noise_profile is not None:
            # Noise reaches a voxel through the window and through the band's own impulse response.
            reach = float(np.hypot(WINDOW / centre, 1.0 / (2 * np.pi * np.sqrt(6.0) * width)))
            local = smooth_resample(noise_profile**2, signal.shape, cells, stride, reach)
            level = local * level
        fsc = energy / (energy + level + 1e-30)
        fallen = open_cells & (fsc < FSC_THRESHOLD)
        if previous is None:
            crossing = np.full(int(fallen.sum()), centre, np.float32)
        else:
            high, low = previous[fallen], fsc[fallen]
            share = np.clip((high - FSC_THRESHOLD) / np.maximum(high - low, 1e-9), 0, 1)
            crossing = frequencies[k - 1] + (centre - frequencies[k - 1]) * share
        result[fallen] = 1.0 / crossing
        open_cells &= ~fallen
        previous = fsc
        if not open_cells.any():
            break
    result[open_cells] = 1.0 / frequencies[-1]
    return result


def band_power(power: Any, centre: float, width: float) -> float:
    """Expected energy per voxel in a band, of noise with the radial power density ``power(f)`` per voxel."""
    f = np.linspace(max(centre - 5 * width, 0.0), min(centre + 5 * width, 0.866), 200)
    # Share of the sphere of radius f that lies inside the cube of Fourier space (exact up to f = 0.707).
    inside = np.clip(1.0 - np.clip(3.0 * (1.0 - 0.5 / np.maximum(f, 1e-6)), 0.0, 1.0), 0.0, 1.0)
    shell = 4 * np.pi * f**2 * inside
    return trapezoid(shell * power(f) * np.exp(-(((f - centre) / width) ** 2)), f)
