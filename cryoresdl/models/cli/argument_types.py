"""Types of the command line's arguments."""

from __future__ import annotations

import argparse
import math

from ..base.resolution_terms import CRITERIA, MOST_B_FACTOR_A2


def add_criterion(parser: argparse.ArgumentParser) -> None:
    """Add the option of the FSC criterion that a claim and an estimate are meant by."""
    parser.add_argument(
        "--criterion",
        choices=CRITERIA,
        default=CRITERIA[0],
        help="FSC that the claim and the estimate are meant by; before about 2013 most meant 0.5 (%(default)s)",
    )


def positive(text: str) -> float:
    """Type for argparse: a finite number above 0."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def number(text: str) -> float:
    """Type for argparse: a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return value


def b_factor(text: str) -> float:
    """Type for argparse: a B-factor in A^2 that amplitudes survive."""
    value = number(text)
    if abs(value) > MOST_B_FACTOR_A2:
        raise argparse.ArgumentTypeError(
            f"{text} is not between -{MOST_B_FACTOR_A2:g} and {MOST_B_FACTOR_A2:g} A^2"
        )
    return value


def count(text: str) -> int:
    """Type for argparse: a whole number above 0."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def direction(text: str) -> tuple[float, ...]:
    """Type for argparse: three numbers ``z,y,x``, not all 0."""
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3 or not all(map(math.isfinite, values)) or not any(values):
        raise argparse.ArgumentTypeError(f"{text!r} is not a direction z,y,x such as 1,0,0")
    return values
