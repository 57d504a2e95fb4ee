"""What an uneven distribution of views does to a reconstruction, direction by direction.

An image adds a central section of Fourier space, perpendicular to its view. The density of sections in a direction is
therefore the mean of the density of views over the great circle perpendicular to it (the Funk transform). It is scaled to
a mean of 1, which is what even views have. A reconstruction divides by that density, but never by less than a floor::

    D(u)                                density of sections in direction u
    T(u) = D(u) / max(D(u), floor)      what is left of the signal's amplitude; 0 in a cone without sections
    A(u) = T(u)^2 / D(u)                noise power over that of even views

so that signal over noise is D(u) times that of even views, whatever the floor. See ``docs/explanation/simulation.md``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence, Tuple

import numpy as np
import scipy.fft as sf
from scipy import special

from ..base.errors import InputError
from ..maps.fsc.directional_fsc import sphere_points

UNIFORM = "uniform"
BLOB_DEGREES = 15.0
"""Standard deviation of preferred views about their axis."""
TILT_SPREAD = 5.0
"""Views of a tilted grid lie within so many degrees of the tilt."""
VIEW_LIMITS = {"axis": (0.0, 100.0), "two": (0.0, 100.0), "cone": (1.0, 80.0), "tilt": (10.0, 80.0)}
"""Smallest and largest number that each kind takes: percent of the views, or degrees."""


@dataclass(frozen=True)
class Views:
    """A distribution of views about an axis.

    Attributes:
        kind: "uniform" or a key of :data:`LIMITS`.
        amount: percent or degrees.
        axis: unit vector (z, y, x).
        floor: the reconstruction divides by no smaller density of sections, in units of the mean.
    """

    kind: str
    amount: float
    axis: Tuple[float, float, float]
    floor: float

    def section_density(self, cosine: np.ndarray) -> np.ndarray:
        """Density of sections, mean 1, of one axis of this kind.

        Args:
            cosine: of the angle between a direction of Fourier space and the axis, any shape.
        """
        across = np.sqrt(np.clip(1.0 - np.square(cosine), 0.0, 1.0))
        if self.kind in ("axis", "two"):
            share = self.amount / 100.0
            return share * _blob(across) + 1.0 - share
        if self.kind == "cone":
            return _belt(across, 0.0, 90.0 - self.amount)
        if self.kind == "tilt":
            return _belt(across, self.amount - TILT_SPREAD, self.amount + TILT_SPREAD)
        return np.ones_like(across)

    def density(self, direction: Sequence[np.ndarray]) -> np.ndarray:
        """Density of sections in directions given by their components (z, y, x), which broadcast; any length but 0."""
        z, y, x = direction
        length = np.sqrt(np.square(z) + np.square(y) + np.square(x))
        length = np.where(length > 0, length, 1.0)
        axes = [np.asarray(self.axis)]
        if self.kind == "two":
            axes.append(perpendicular(self.axis))
        found = [self.section_density((z * a[0] + y * a[1] + x * a[2]) / length) for a in axes]
        return np.mean(found, axis=0)

    def transfer(self, density: np.ndarray) -> np.ndarray:
        """What is left of the signal's amplitude (the module's T)."""
        return density / np.maximum(density, self.floor)

    def noise(self, density: np.ndarray) -> np.ndarray:
        """Noise power over that of even views (the module's A)."""
        return density / np.maximum(density, self.floor) ** 2

    def grids(self, shape: Sequence[int]) -> Tuple[np.ndarray, np.ndarray]:
        """T and A at every coefficient of ``rfftn`` of a volume of ``shape`` (z, y, x), float32; 1 at frequency 0."""
        z, y, x = sf.fftfreq(shape[0]), sf.fftfreq(shape[1])[:, None], sf.rfftfreq(shape[2])[None, :]
        size = (shape[0], shape[1], shape[2] // 2 + 1)
        transfer, noise = np.empty(size, np.float32), np.empty(size, np.float32)
        for plane, height in enumerate(z):
            density = self.density((height, y, x))
            transfer[plane], noise[plane] = self.transfer(density), self.noise(density)
        transfer[0, 0, 0] = noise[0, 0, 0] = 1.0
        return transfer, noise

    def mean_noise(self, frequency: np.ndarray) -> np.ndarray:
        """Mean of A over the directions in which the Fourier cube reaches ``frequency`` (cycles per voxel, any shape)."""
        points = sphere_points(4000)
        noise = self.noise(self.density((points[:, 0], points[:, 1], points[:, 2])))
        reach = 0.5 / np.abs(points).max(axis=1)
        order = np.argsort(reach)[::-1]
        running = np.cumsum(noise[order]) / np.arange(1, noise.size + 1)
        count = np.searchsorted(-reach[order], -np.asarray(frequency, float), side="right")
        return running[np.maximum(count, 1) - 1]


def views_of(text: str, axis: Sequence[float] = (1.0, 0.0, 0.0), floor: float = 0.02) -> Views:
    """Views from what the command line says, such as ``axis:80``.

    ``axis:P``: P percent of the views along one axis, ``two:P``: shared by two axes at right angles, ``cone:N``: evenly
    within 90 - N degrees of the axis, which leaves a missing cone of half-angle N about it, ``tilt:T``: all tilted by T.


    Raises:
        InputError: no such kind, a number outside its limits, an axis of length 0, or a floor outside 0 to 1.
    """
    length = float(np.linalg.norm(axis)) if len(axis) == 3 else 0.0
    if not (np.isfinite(length) and length > 0):
        raise InputError(f"The axis of the views {tuple(axis)} is no direction; give three numbers z,y,x.")
    if not 0.0 < floor <= 1.0:
        raise InputError(f"The floor of the density of views {floor:g} is not above 0 and up to 1.")
    unit = (float(axis[0]) / length, float(axis[1]) / length, float(axis[2]) / length)
    kind, _, number = text.partition(":")
    if kind == UNIFORM and not number:
        return Views(UNIFORM, 0.0, unit, floor)
    try:
        amount = float(number)
        low, high = VIEW_LIMITS[kind]
    except (KeyError, ValueError):
        raise InputError(
            f"The views {text!r} are none of uniform, axis:P, two:P, cone:N and tilt:T; give one of them."
        ) from None
    if not low <= amount <= high:
        raise InputError(f"The views {text!r} need a number from {low:g} to {high:g}; give one.")
    return Views(kind, amount, unit, floor)


def perpendicular(axis: Sequence[float]) -> np.ndarray:
    """A unit vector at right angles to ``axis``: the coordinate axis that lies farthest from it, straightened."""
    unit = np.asarray(axis, float)
    other = np.zeros(3)
    other[int(np.argmin(np.abs(unit)))] = 1.0
    other -= unit * (unit @ other)
    return other / np.linalg.norm(other)


def _blob(across: np.ndarray) -> np.ndarray:
    """Sections of views with the Watson density exp(k cos^2): its mean over a great circle is a Bessel function.

    Args:
        across: sine of the angle between the direction and the axis.
    """
    k = 0.5 / np.radians(BLOB_DEGREES) ** 2
    square = np.square(across)
    return special.i0e(0.5 * k * square) * np.exp(k * (square - 1.0)) * np.sqrt(k) / special.dawsn(np.sqrt(k))


def _belt(across: np.ndarray, low: float, high: float) -> np.ndarray:
    """Sections of views that lie evenly between ``low`` and ``high`` degrees from the axis, on either side.

    The share of a great circle within a cap is 2 / pi times an arc cosine; a belt is the difference of two caps.
    """
    inner, outer = np.cos(np.radians(low)), np.cos(np.radians(high))
    safe = np.maximum(across, 1e-9)
    share = np.arccos(np.minimum(outer / safe, 1.0)) - np.arccos(np.minimum(inner / safe, 1.0))
    return 2.0 / np.pi * share / (inner - outer)
