"""Where things lie in the checkout."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]
REPOSITORY = PACKAGE.parent


def sample(part):
    """A file of the bundled sample: its ``map``, ``half1``, ``half2``, ``mask`` or ``truth``."""
    return str(PACKAGE / "data" / f"sample_{part}.mrc") + ("" if part == "map" else ".gz")
