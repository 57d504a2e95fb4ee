"""What the tables share: options, models and the folder of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, Sequence, Tuple

from ...networks.model_files import model_store

GLOBAL_MODELS = {"DNN": "paper-dnn", "CNN": "paper-cnn", "default": model_store.DEFAULT_GLOBAL_MODEL}
"""Column of our results -> the shipped model that fills it."""
LOCAL_MODELS = {"monores": "paper-unet-monores", "resmap": "paper-unet-resmap"}


@dataclass
class Context:
    """Where things are; every field has a default that works with what is shipped.

    ``proteins`` is how many of them the controlled experiments simulate.
    """

    shared: Path | None = None
    structures: Path | None = None
    maps: Path | None = None
    models: Dict[str, str] = field(default_factory=dict)
    patches: Dict[str, str] = field(default_factory=dict)
    history: str | None = None
    matrices: Sequence[str] = ()
    download: bool = False
    seed: int = 0
    proteins: int = 5
    answers: Dict[Tuple[str, str], Dict[str, Any]] = field(default_factory=dict)
    """(column, map's file) -> what was said of it: Tables 2 to 5 ask about the same maps."""

    def model(self, column: str) -> str:
        """Name or file of the model that fills a column."""
        return self.models.get(column, {**GLOBAL_MODELS, **LOCAL_MODELS}[column])

    def folder(self, name: str) -> Path | None:
        """A folder inside the shared data, when there."""
        place = self.shared / name if self.shared else None
        return place if place is not None and place.is_dir() else None
