"""What the paper printed: its tables as data (Avramov et al., Molecules 2019, 24, 1181)."""

from __future__ import annotations

from typing import Dict, Tuple

TABLE1: Dict[float, Tuple[str, str]] = {
    resolution: (
        "high" if resolution <= 4.0 else "low" if resolution >= 9.0 else "medium",
        "high" if resolution <= 4.5 else "low" if resolution >= 9.0 else "medium",
    )
    for resolution in [1.5 + 0.5 * step for step in range(28)]
}
"""Simulated resolution in A -> classes that the paper's DNN and 3D CNN gave."""
TABLE1[7.5] = ("low", "medium")
TABLE1[10.5] = ("medium", "low")

_H, _M, _L = "high", "medium", "low"
TABLE2: Dict[str, Tuple[float, str, str]] = {
    "8221": (1.6, _H, _H),
    "2984": (2.2, _H, _H),
    "2945": (2.9, _H, _H),
    "6342": (2.5, _H, _H),
    "8218": (2.3, _H, _H),
    "8222": (2.5, _H, _H),
    "8077": (1.75, _H, _H),
    "8217": (1.8, _H, _H),
    "8219": (2.5, _H, _H),
    "6313": (2.5, _H, _H),
    "3311": (6.7, _M, _H),
    "5664": (7.8, _H, _H),
    "6410": (7.8, _H, _H),
    "4047": (6.0, _M, _H),
    "1674": (6.0, _M, _M),
    "5751": (8.0, _H, _M),
    "3340": (7.2, _M, _M),
    "5101": (8.0, _L, _L),
    "3168": (7.4, _M, _M),
    "5653": (7.3, _H, _H),
    "7089": (13.2, _L, _L),
    "1601": (14.1, _H, _H),
    "6013": (14.8, _M, _M),
    "3368": (13.0, _M, _M),
    "2862": (12.5, _L, _L),
    "3098": (11.0, _M, _M),
    "7471": (12.5, _M, _H),
    "1711": (13.0, _L, _L),
    "5169": (11.0, _M, _M),
    "1981": (14.2, _H, _H),
}
"""EMDB id -> claimed resolution in A, classes that the paper's DNN and 3D CNN gave."""

TABLE3 = ((10, 0, 0), (4, 5, 1), (2, 5, 3))
"""DNN confusion matrix: rows published, columns predicted; high, medium, low."""
TABLE4 = ((10, 0, 0), (5, 4, 1), (3, 4, 3))
"""3D CNN confusion matrix, as :data:`TABLE3`."""

TABLE5 = {
    "DNN": ((100.0, 70.0, 62.5, 100.0), (50.0, 75.0, 50.0, 75.0), (30.0, 95.0, 75.0, 73.1)),
    "CNN": ((100.0, 60.0, 55.6, 100.0), (40.0, 80.0, 50.0, 72.7), (30.0, 95.0, 75.0, 73.1)),
}
"""Sensitivity, specificity, PPV and NPV in per cent of each network, per class (high, medium, low)."""

TABLE6 = {
    ("monores", "monores"): 88.3,
    ("monores", "resmap"): 59.4,
    ("resmap", "monores"): 88.9,
    ("resmap", "resmap"): 94.7,
}
"""(evaluation set, model) -> accuracy over all voxels in per cent."""

TABLE7 = {"monores": (9670, 1080, 2694), "resmap": (1400, 159, 393)}
"""Label -> patches for training, validation, evaluation."""

PRINTED_CURVES = {
    "fig2": {"val_accuracy": 0.92, "val_loss": 0.19, "epochs": 90},
    "fig3": {"val_accuracy": 1.0, "val_loss": 0.01, "epochs": 1500},
    "fig4": {"val_accuracy": 0.799, "val_loss": 0.87, "epochs": 1172},
    "fig5": {"val_accuracy": 0.950, "val_loss": 0.19, "epochs": 1060},
}
"""Where the training curves of Figures 2 to 5 end."""
