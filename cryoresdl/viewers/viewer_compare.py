"""Viewer of "DL compare local resolutions"."""

from ..protocols import ProtCryoResCompare
from .viewer_base import CryoResViewer


class CryoResCompareViewer(CryoResViewer):
    """Shows how far local-resolution volumes agree, and where they do not."""

    _label = "viewer DL compare local resolutions"
    _targets = [ProtCryoResCompare]
    _figures = (
        (
            "Agreement",
            (
                ("agreement", "Matrix", "Cohen's kappa on the ten classes between every two volumes."),
                ("scatter", "Voxel by voxel", "The first two volumes against each other, in A."),
                ("histogram", "Classes", "Share of the voxels per class, for every volume."),
            ),
        ),
        (
            "Slices",
            (
                (
                    "disagreement",
                    "Volumes and disagreement",
                    "Side by side, in A; move with the slider or the wheel.",
                ),
            ),
        ),
    )
