"""What a training says of itself: a line per epoch, and a table at its end."""

import pytest

from cryoresdl.models.training.training_report import (
    ErrorOnTest,
    TrainingOutcome,
    epoch_line,
    leave_outcome,
)

MANY = {"train": 60, "validation": 20, "test": 20}
ERRORS = (ErrorOnTest("mean error, one map", 0.613, 0.9, "A"),)


def outcome(counts=MANY, errors=ERRORS, **changes):
    return TrainingOutcome("mine", counts, errors, 12.4, 30, **changes)


def test_the_line_of_an_epoch_has_loss_error_time_and_eta():
    line = epoch_line("epoch 3/30", {"loss": "0.1234", "validation error": "0.61 A"}, 0.0421, 75, best="2")
    assert line == "epoch 3/30  loss 0.1234  validation error 0.61 A  best 2  0.042 s/epoch  ETA 1 min 15 s"
    assert epoch_line("epoch 1/9", {}, 200, 1600).endswith("3 min 20 s/epoch  ETA 26 min 40 s")


def test_the_table_puts_the_error_beside_that_of_the_best_constant(tmp_path):
    told = []
    leave_outcome(tmp_path, outcome(), told.append)
    assert told == [
        "mine: maps 60 to learn from, 20 to stop by, 20 to test with",
        "error on test maps   network  best constant",
        "mean error, one map  0.61 A   0.90 A",
        "epochs: 30, 12 s each",
    ]
    assert (tmp_path / "training.txt").read_text().splitlines() == told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"counts": {"train": 3, "validation": 1, "test": 1}}, "Too few maps to learn from: 5 in all"),
        ({"counts": {"train": 60, "test": 4}}, "an error on 4 is chance"),
        ({"examples": "patches", "maps": 3}, "Too few maps to learn from: 3 in all"),
        ({"errors": [ErrorOnTest("mean error", 0.9, 0.9, "A")]}, "No better than a constant (mean error)"),
        ({"errors": [], "counts": {"train": 60, "validation": 20}}, "Not measured: no test maps."),
    ],
)
def test_what_the_figures_must_not_be_taken_for_is_said(changes, words):
    assert any(words in line for line in outcome(**changes).lines())


def test_a_training_on_enough_maps_that_learned_is_not_warned_of():
    assert outcome().warnings() == [] and outcome(errors=[ErrorOnTest("x", None, 1.0, "%")]).warnings() == []
