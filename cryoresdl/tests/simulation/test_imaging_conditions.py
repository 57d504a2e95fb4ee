"""Options of realistic maps: defaults by resolution, and what training maps draw."""

import dataclasses
import json

import numpy as np

from cryoresdl.models.simulation import imaging_conditions, realistic_map
from cryoresdl.models.simulation.imaging_conditions import ImagingConditions
from cryoresdl.tests.helpers.small_maps import ball


def test_b_factors_of_plain_maps_grow_with_the_square_of_the_resolution():
    assert imaging_conditions.plain_options(3.0) == ImagingConditions()
    coarse = imaging_conditions.plain_options(9.0)
    assert coarse == ImagingConditions(
        b_base=9 * ImagingConditions.b_base, b_range=9 * ImagingConditions.b_range
    )
    assert imaging_conditions.plain_options(1.0) == imaging_conditions.plain_options(
        2.0
    )  # nothing is sharper than this
    made = realistic_map.simulate(ball(400, 11.0), 6.0, 40, 1.5, 1)
    assert made.info["options"]["b_base"] == 4 * ImagingConditions.b_base


def test_drawn_options_are_valid_and_varied():
    drawn = [imaging_conditions.random_options(np.random.default_rng(k), 4.0) for k in range(200)]
    for options in drawn:
        assert options.b_base > 0 and options.b_range > 0 and 8 <= options.field_length <= 35
        assert options.mask_margin > 0 and 0.2 <= options.band_limit <= 0.87
        assert options.background in ("noise", "soft", "hard", "zone", "clipped")
        assert options.b_source in ("field", "file", "radial", "none")
        json.dumps(dataclasses.asdict(options))
    for name in ("background", "b_source", "copies", "weighting", "auto_mask"):
        assert len({getattr(o, name) for o in drawn}) > 1
    assert imaging_conditions.random_options(np.random.default_rng(1), 4.0) == drawn[1]
    coarse = np.mean(
        [imaging_conditions.random_options(np.random.default_rng(k), 12.0).b_base for k in range(50)]
    )
    assert coarse > 4 * np.mean(
        [o.b_base for o in drawn[:50]]
    )  # flexibility grows with the resolution asked for


def test_half_of_the_fine_maps_are_finished_as_refinement_programs_do_it():
    """Sharpened, and filtered at the resolution: what is drawn independently is both for one map in eight."""
    drawn = [imaging_conditions.random_options(np.random.default_rng(k), 4.0) for k in range(400)]
    finished = np.mean([o.b_sharpen < 0 and abs(np.log2(o.low_pass / 4.0 + 1e-9)) < 0.12 for o in drawn])
    assert 0.35 < finished < 0.6
    assert 0.15 < np.mean([o.low_pass == 0 for o in drawn]) < 0.35
    assert 0.02 < np.mean([o.b_sharpen > 0 for o in drawn]) < 0.12
