"""What a training says: a line per epoch, and at its end a table of errors beside those of the best constant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, List, Mapping, Sequence

from ..base import progress
from ..base.runs.atomic_files import write_text
from ..results.results_folder import OUTCOME_TXT

LEAST_MAPS = 30
"""Of fewer maps in all a network learns little: it is said in words."""
LEAST_TEST_MAPS = 5
"""An error measured on fewer maps is chance: it is said in words."""


def epoch_line(
    done: str, figures: Mapping[str, str], seconds: float, left: float, *, best: str = "", unless: str = ""
) -> str:
    """The line of progress after an epoch, the same for every network.

    Args:
        done: how far the training is, as "epoch 3/10".
        figures: loss and errors by name, formatted.
        seconds: per epoch.
        left: seconds to the end.
        best: the epoch of the best weights so far.
        unless: what would make it end later.
    """
    parts = [done, *(f"{name} {value}" for name, value in figures.items())]
    parts += [f"best {best}"] if best else []
    parts += [f"{epoch_seconds(seconds)}/epoch", f"ETA {progress.duration(left)}"]
    return "  ".join(parts) + (f" {unless}" if unless else "")


def epoch_seconds(seconds: float) -> str:
    """The time of an epoch: "0.42 s", "12 s", "3 min 20 s"."""
    return f"{seconds:.2g} s" if seconds < 10 else progress.duration(seconds)


@dataclass(frozen=True)
class ErrorOnTest:
    """An error on the maps kept apart, and that of the constant answer which has the least.

    Attributes:
        name: what is measured, on which maps.
        network: the network's error; None where it is not known.
        constant: the best constant's.
        unit: "A" or "%".
    """

    name: str
    network: float | None
    constant: float | None
    unit: str

    def row(self) -> List[str]:
        """The cells of the table."""
        form = "{:.1f} %" if self.unit == "%" else f"{{:.2f}} {self.unit}"
        values = (self.network, self.constant)
        return [self.name, *("-" if value is None else form.format(value) for value in values)]


@dataclass(frozen=True)
class TrainingOutcome:
    """What came out of a training.

    Attributes:
        name: of the model.
        counts: examples by split ("train", "validation", "test").
        errors: on the test split.
        seconds: per epoch; None where nothing was trained in this run.
        epochs: passes over the training examples.
        examples: what is counted: "maps" or "patches".
        maps: how many maps or structures they come from.
    """

    name: str
    counts: Mapping[str, int]
    errors: Sequence[ErrorOnTest]
    seconds: float | None
    epochs: float
    examples: str = "maps"
    maps: int | None = None

    def lines(self) -> List[str]:
        """The table and its sentences."""
        counts = [self.counts.get(split, 0) for split in ("train", "validation", "test")]
        learned = "{:,} to learn from, {:,} to stop by, {:,} to test with".format(*counts)
        rows = [["error on test " + self.examples, "network", "best constant"]]
        rows += [error.row() for error in self.errors]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        time = "" if self.seconds is None else f", {epoch_seconds(self.seconds)} each"
        return [
            f"{self.name}: {self.examples} {learned}",
            *(table if self.errors else ["Not measured: no test " + self.examples + "."]),
            f"epochs: {self.epochs:.3g}{time}",
            *self.warnings(),
        ]

    def warnings(self) -> List[str]:
        """Sentences about what the table must not be taken for."""
        said = []
        maps = sum(self.counts.values()) if self.maps is None else self.maps
        if maps < LEAST_MAPS:
            said.append(f"Too few maps to learn from: {maps} in all; give {LEAST_MAPS} or more.")
        test = self.counts.get("test", 0)
        if self.errors and test < LEAST_TEST_MAPS:
            said.append(
                f"Too few maps to measure with: an error on {test} is chance; test on {LEAST_TEST_MAPS} or more."
            )
        worse = [e.name for e in self.errors if _no_better(e)]
        if worse:
            said.append(
                f"No better than a constant ({', '.join(worse)}): this network has learned nothing of use."
            )
        return said


def _no_better(error: ErrorOnTest) -> bool:
    return error.network is not None and error.constant is not None and error.network >= error.constant


def leave_outcome(folder: Path, outcome: TrainingOutcome, report: Any) -> None:
    """Keep the table beside the model, and print it.

    Args:
        folder: of the training.
        outcome: what came out.
        report: called with every line.
    """
    lines = outcome.lines()
    write_text(folder / OUTCOME_TXT, "\n".join(lines) + "\n")
    for line in lines:
        report(line)
