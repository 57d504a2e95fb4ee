"""Viewer of "simulate maps"."""

from ..protocols import ProtCryoResSimulate
from .viewer_base import CryoResViewer


class CryoResSimulateViewer(CryoResViewer):
    """Shows simulated maps beside their true local resolution."""

    _label = "viewer simulate maps"
    _targets = [ProtCryoResSimulate]
    _figures = (
        (
            "Simulation",
            (
                ("truth", "Map and truth", "Slices of the map and of its true local resolution (A)."),
                ("fsc", "FSC", "Fourier shell correlation of the two half maps, with its cut-offs."),
            ),
        ),
    )
