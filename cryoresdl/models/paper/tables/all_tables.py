"""Every table and figure of the paper by name."""

from __future__ import annotations

from .global_tables import table1, table2, table3, table4, table5
from .patch_tables import table6, table7
from .training_curves import fig2, fig3, fig4, fig5

ALL = {
    function[0]: function[1]
    for function in (
        ("table1", table1),
        ("table2", table2),
        ("table3", table3),
        ("table4", table4),
        ("table5", table5),
        ("table6", table6),
        ("table7", table7),
        ("fig2", fig2),
        ("fig3", fig3),
        ("fig4", fig4),
        ("fig5", fig5),
    )
}
"""What ``cryoresdl reproduce`` can make."""
