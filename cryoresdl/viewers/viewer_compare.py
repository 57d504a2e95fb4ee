"""Viewer of "compare local resolutions"."""

from ..protocols import ProtCryoResCompare
from .viewer_base import CryoResViewer


class CryoResCompareViewer(CryoResViewer):
    """Shows how far local-resolution volumes agree, and where they do not."""

    _label = "viewer compare local resolutions"
    _targets = [ProtCryoResCompare]
    _figures = (
        (
            "Agreement",
            (
                (
                    "agreement",
                    "Matrix",
                    "Between every two volumes: Cohen's kappa on the ten classes, rank correlation, and the mean "
                    "absolute difference in A.",
                ),
                ("scatter", "Voxel by voxel", "Every two volumes against each other, in A."),
                ("histogram", "Classes", "Share of the voxels per class, for every volume."),
            ),
        ),
        (
            "Slices",
            (
                (
                    "disagreement",
                    "Volumes and disagreement",
                    "Side by side, in A; move with the slider, the wheel or the arrow keys.",
                ),
                (
                    "difference",
                    "Difference of two",
                    "Two volumes and the second minus the first, with its sign, in A.",
                ),
            ),
        ),
    )
