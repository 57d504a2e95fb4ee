"""Maps from uneven views: densities known by hand, and the truth that follows from them."""

import numpy as np
import pytest
import scipy.fft as sf

from cryoresdl.models.base.errors import InputError
from cryoresdl.models.features import band_energies
from cryoresdl.models.maps.fsc import directional_fsc, fourier_shells
from cryoresdl.models.simulation import (
    imaging_conditions,
    realistic_map,
    reconstruction_noise,
    view_distribution,
)
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.models.simulation.truth import known_directional_resolution, known_local_resolution
from cryoresdl.tests.helpers.small_maps import ball

UNEVEN = ("axis:80", "two:70", "cone:30", "tilt:45")
THRESHOLD = known_local_resolution.SSNR_THRESHOLD


@pytest.mark.parametrize("text", UNEVEN)
def test_sections_have_a_mean_density_of_one(text):
    directions = directional_fsc.sphere_points(20000).T
    density = view_distribution.views_of(text, (0.3, -1.0, 0.5)).density(directions)
    assert density.mean() == pytest.approx(1.0, abs=2e-3)


def test_densities_that_are_known_by_hand():
    """In units of even views; 'across' is the plane that holds all sections of views along the axis."""
    along, across = np.array([1.0]), np.array([0.0])
    cone = view_distribution.views_of("cone:30")
    # Views evenly within 60 degrees of the axis: a great circle through the axis has two thirds of itself there, of a
    # cap pair that is half of the sphere.
    assert cone.section_density(across) == pytest.approx((2 / 3) / 0.5)
    assert cone.section_density(np.cos(np.radians([0.0, 29.9]))) == pytest.approx([0.0, 0.0])
    assert cone.section_density(np.cos(np.radians([30.5])))[0] > 0
    tilt = view_distribution.views_of("tilt:45")
    # Views at one angle t: 2 / (pi sqrt(sin^2 - cos^2 t)), which across the axis is 2 / (pi sin t).
    assert tilt.section_density(across) == pytest.approx(2 / (np.pi * np.sin(np.radians(45))), rel=0.02)
    assert tilt.section_density(along) == pytest.approx([0.0])
    half = view_distribution.views_of("axis:50")
    whole = view_distribution.views_of("axis:100")
    assert half.section_density(along) == pytest.approx(0.5 + 0.5 * whole.section_density(along))
    assert view_distribution.views_of("axis:0").section_density(along) == pytest.approx([1.0])


@pytest.mark.parametrize("text", ["axis:100", "cone:30", "tilt:45"])
def test_the_density_is_that_of_the_sections_of_views_drawn_at_random(text):
    """Sections of drawn views are counted in a direction: those nearly perpendicular to it."""
    rng = np.random.default_rng(0)
    even = rng.normal(size=(400_000, 3))
    even /= np.linalg.norm(even, axis=1, keepdims=True)
    cosine, spread = np.abs(even[:, 0]), view_distribution.TILT_SPREAD
    if text.startswith("axis"):
        k = 0.5 / np.radians(view_distribution.BLOB_DEGREES) ** 2
        drawn = even[rng.random(len(even)) < np.exp(k * (cosine**2 - 1))]
    elif text.startswith("cone"):
        drawn = even[cosine > np.cos(np.radians(60))]
    else:
        drawn = even[np.abs(np.degrees(np.arccos(cosine)) - 45) < spread]
    views = view_distribution.views_of(text)
    near = 0.02
    for degrees in (35.0, 65.0, 88.0):
        direction = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0.0])
        counted = (np.abs(drawn @ direction) < near).mean() / near
        expected = views.section_density(np.array([direction[0]]))[0]
        assert counted == pytest.approx(expected, rel=0.12, abs=0.03)


def test_signal_over_noise_is_the_density_whatever_the_floor():
    density = np.array([0.0, 0.01, 0.5, 2.0])
    for floor in (0.02, 1.0):
        views = view_distribution.views_of("axis:90", floor=floor)
        transfer, noise = views.transfer(density), views.noise(density)
        assert transfer[0] == noise[0] == 0.0  # an empty cone holds nothing
        assert transfer[1:] ** 2 / noise[1:] == pytest.approx(density[1:])
        assert (transfer <= 1.0).all()


def test_mean_noise_is_that_of_the_grid():
    views = view_distribution.views_of("axis:80", (0.2, 0.5, 1.0))
    _, noise = views.grids((48, 48, 48))
    f = fourier_shells.frequency_grid((48, 48, 48))
    weights = np.full(f.shape, 2.0)
    weights[..., (0, -1)] = 1.0
    for low, high, near in ((0.3, 0.4, 0.02), (0.55, 0.65, 0.05)):  # the cube's faces are half a voxel thick
        chosen = (f > low) & (f < high)
        shells = np.average(noise[chosen], weights=weights[chosen])
        expected = np.average(views.mean_noise(f[chosen]), weights=weights[chosen])
        assert shells == pytest.approx(expected, rel=near)


def test_drawn_noise_has_the_power_of_its_direction():
    """Noise of uneven views is as strong in every direction as the density says."""
    shape = (48, 48, 48)
    views = view_distribution.views_of("axis:90", (0.0, 1.0, 1.0))
    _, share = views.grids(shape)
    f = fourier_shells.frequency_grid(shape)
    noise = reconstruction_noise._noise(
        shape, f, np.sqrt(share), ImagingConditions(), None, 1.0, np.random.default_rng(2)
    )
    power = np.abs(sf.rfftn(noise)) ** 2 / noise.size
    for low, high in ((0.3, 0.5), (0.5, 1.0), (2.0, 10.0)):
        chosen = (share > low) & (share <= high) & (f > 0.1) & (f < 0.49)
        assert power[chosen].mean() == pytest.approx(share[chosen].mean(), rel=0.05)


def test_a_random_signal_is_resolved_along_every_direction_where_its_density_says():
    """White noise over views of density D, signal of power A exp(-B f^2 / 2): D A exp(-B f^2 / 2) = 1/6 at the crossing."""
    b, crossing, shape = 150.0, 0.25, (64, 64, 64)
    f = fourier_shells.frequency_grid(shape)
    views = view_distribution.views_of("axis:70", (1.0, 0.0, 0.0), floor=0.3)
    transfer, noise = views.grids(shape)
    white = sf.rfftn(np.random.default_rng(4).standard_normal(shape).astype(np.float32))
    signal = white * np.sqrt(THRESHOLD * np.exp(-0.5 * b * (f**2 - crossing**2))) * transfer
    found = known_directional_resolution.directional_truth(signal, noise * np.prod(shape), shape, 2.0)
    axes = np.asarray(found["axes_zyx"])
    density = views.density(axes.T)
    expected = 2.0 / np.sqrt(crossing**2 + 2 * np.log(density) / b)
    near_pole, equator = np.abs(axes[:, 0]) > 0.97, np.abs(axes[:, 0]) < 0.1
    resolution = np.asarray(found["resolution_A"])
    for chosen in (near_pole, equator):
        assert np.median(resolution[chosen] / expected[chosen]) == pytest.approx(1.0, abs=0.06)
    assert abs(found["worst_axis_zyx"][0]) > np.cos(np.radians(30))  # a random signal has its own speckle
    assert found["anisotropy"] > 1.2 and found["worst_A"] == pytest.approx(resolution.max(), abs=1e-3)


def test_even_views_have_the_same_resolution_along_every_direction():
    shape = (64, 64, 64)
    f = fourier_shells.frequency_grid(shape)
    flat = np.sqrt(THRESHOLD * np.exp(-75.0 * (f**2 - 0.25**2)) * np.prod(shape)).astype(np.complex64)
    found = known_directional_resolution.directional_truth(
        flat, np.full(f.shape, float(np.prod(shape))), shape, 1
    )
    assert np.allclose(found["resolution_A"], 4.0, rtol=0.02)
    assert found["anisotropy"] < 1.02 and found["cfar"] > 0.97


def test_the_local_truth_knows_the_noise_that_the_halves_have():
    """Energy of the halves' difference in a band is what the truth takes for it, for every kind of views."""
    for text in UNEVEN:
        options = ImagingConditions(views=text, view_axis=(1.0, 2.0, 0.5), view_floor=0.1)
        made = realistic_map.simulate(ball(800, 14.0), 4.0, 64, 1.0, 3, options)
        views = view_distribution.views_of(options.views, options.view_axis, options.view_floor)
        difference = band_energies.Spectrum((made.half1 - made.half2) / np.sqrt(2))
        for centre in (0.15, 0.25, 0.4):
            measured = difference.energy(centre, (32, 32, 32), 2)[0].mean()
            width = band_energies.RELATIVE_WIDTH * centre
            unit = known_local_resolution.band_power(views.mean_noise, centre, width)
            assert measured == pytest.approx(made.info["noise_power_per_voxel"] * unit, rel=0.1), (
                text,
                centre,
            )


def test_uneven_views_leave_the_global_resolution_as_asked_and_even_ones_change_nothing():
    atoms = ball(600, 12.0)
    plain = realistic_map.simulate(atoms, 4.0, 40, 1.0, 1, ImagingConditions())
    again = realistic_map.simulate(
        atoms, 4.0, 40, 1.0, 1, ImagingConditions(view_axis=(0, 1, 0), view_floor=0.5)
    )
    assert np.array_equal(plain.map, again.map) and np.array_equal(plain.truth, again.truth)
    uneven = realistic_map.simulate(
        atoms, 4.0, 40, 1.0, 1, ImagingConditions(views="axis:90"), directional=True
    )
    assert uneven.info["global_fsc0143_A"] == pytest.approx(4.0, rel=0.03)
    found = uneven.info["directional_truth"]
    assert (
        found["worst_A"] > 1.25 * found["best_A"] and len(found["resolution_A"]) == directional_fsc.CONE_AXES
    )
    assert "directional_truth" not in plain.info


def test_drawn_views_are_valid_and_of_every_kind():
    kinds = set()
    for seed in range(150):
        options = imaging_conditions.random_options(np.random.default_rng(seed), 4.0)
        views = view_distribution.views_of(options.views, options.view_axis, options.view_floor)
        kinds.add(views.kind)
        assert np.linalg.norm(views.axis) == pytest.approx(1.0)
    assert kinds == {"uniform", *view_distribution.VIEW_LIMITS}


@pytest.mark.parametrize(
    "text, axis, floor, words",
    [
        ("sideways", (1, 0, 0), 0.1, "none of uniform"),
        ("axis", (1, 0, 0), 0.1, "none of uniform"),
        ("axis:many", (1, 0, 0), 0.1, "none of uniform"),
        ("axis:101", (1, 0, 0), 0.1, "from 0 to 100"),
        ("cone:nan", (1, 0, 0), 0.1, "from 1 to 80"),
        ("axis:50", (0, 0, 0), 0.1, "no direction"),
        ("axis:50", (1, 0, 0), 0.0, "not above 0"),
    ],
)
def test_views_that_make_no_sense_are_refused(text, axis, floor, words):
    with pytest.raises(InputError, match=words):
        view_distribution.views_of(text, axis, floor)
