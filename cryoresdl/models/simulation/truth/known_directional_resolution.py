"""The true resolution of a simulated map along every direction."""

from __future__ import annotations

from typing import List, Sequence, TypedDict

import numpy as np

from ...maps.fsc import directional_fsc


class DirectionalTruth(TypedDict):
    """What is true of a map's directions, JSON-ready; axes and values are in the order of ``cone_axes``."""

    half_angle_degrees: float
    axes_zyx: List[List[float]]
    resolution_A: List[float]
    worst_A: float
    best_A: float
    median_A: float
    anisotropy: float
    worst_axis_zyx: List[float]
    cfar: float


def directional_truth(
    masked_signal: np.ndarray, masked_noise: np.ndarray, shape: Sequence[int], voxel_size: float
) -> DirectionalTruth:
    """Where the expected conical FSC of two half maps inside the soft mask first falls to 0.143.

    Signal and noise are independent, so the expected correlation of a cone is its signal's power over its whole power.

    Args:
        masked_signal: ``rfftn`` of the noiseless signal times the mask's weight.
        masked_noise: expected power of one half map's noise times that weight, at the same coefficients.
        shape: of the volume (z, y, x).
        voxel_size: angstroms.
    """

    def planes(z: int) -> tuple:
        signal = masked_signal[z].real.astype(np.float64) ** 2 + masked_signal[z].imag.astype(np.float64) ** 2
        return signal, signal + masked_noise[z]

    sums = directional_fsc.direction_sums(planes, shape)[1:]
    centres = directional_fsc.band_centres(min(shape))
    signal, whole = directional_fsc.cone_sums(directional_fsc.band_sums(sums, centres))
    fsc = signal / np.maximum(whole, 1e-300)
    resolution = voxel_size / directional_fsc.cone_crossings(centres, fsc)
    axes = directional_fsc.cone_axes()
    return DirectionalTruth(
        half_angle_degrees=directional_fsc.HALF_ANGLE,
        axes_zyx=np.round(axes, 5).tolist(),
        resolution_A=np.round(resolution, 4).tolist(),
        worst_A=float(resolution.max()),
        best_A=float(resolution.min()),
        median_A=float(np.median(resolution)),
        anisotropy=float(resolution.max() / resolution.min()),
        worst_axis_zyx=np.round(directional_fsc.extreme_axis(np.log(resolution)), 5).tolist(),
        cfar=directional_fsc.conical_area_ratio(centres, fsc),
    )
