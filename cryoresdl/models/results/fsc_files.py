"""The FSC curves of half maps as files: JSON for our own figures, CSV, STAR with RELION's labels, and the EMDB's XML."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List
from xml.sax.saxutils import quoteattr

import numpy as np

from ..base.runs.atomic_files import PathLike, write_json, write_text
from ..maps.fsc.half_map_fsc import HalfMapFsc, mask_doubts

FSC_JSON, FSC_CSV, FSC_STAR, FSC_XML = "fsc.json", "fsc.csv", "fsc.star", "fsc.xml"
FSC_FILES = (FSC_JSON, FSC_CSV, FSC_STAR, FSC_XML)
CURVES = ("unmasked", "masked", "randomised", "corrected", "particle", "half_bit")
CURVE_NAMES = {
    "unmasked": "unmasked",
    "masked": "in the mask",
    "randomised": "in the mask, random phases",
    "corrected": "corrected for the mask",
    "particle": "corrected for mask and solvent",
    "half_bit": "half-bit threshold",
}
"""What the curves are called in figures."""


def write_fsc(fsc: HalfMapFsc, folder: PathLike) -> None:
    """Write ``fsc.json``, ``fsc.csv``, ``fsc.star`` and ``fsc.xml`` into a results folder."""
    folder = Path(folder)
    write_text(folder / FSC_CSV, _csv(fsc))
    write_text(folder / FSC_STAR, _star(fsc))
    write_text(folder / FSC_XML, emdb_xml(fsc))
    write_json(folder / FSC_JSON, as_json(fsc))


def as_json(fsc: HalfMapFsc) -> Dict[str, Any]:
    """Curves, crossings (A) and what is said of the mask, as plain JSON."""
    curves = {name: _rounded(getattr(fsc, name)) for name in CURVES}
    return {
        "frequency_per_A": _rounded(fsc.frequency, 7),
        "curves": curves,
        "cutoffs_A": {name: None if v is None else round(v, 4) for name, v in fsc.cutoffs().items()},
        "randomised_from_A": round(float(1 / fsc.frequency[fsc.randomised_from]), 4),
        "mask_over_molecule": round(fsc.solvent, 4),
        "molecule_cut": round(fsc.cut, 4),
        "mask_doubts": mask_doubts(fsc),
    }


def _rounded(values: np.ndarray, digits: int = 6) -> List[float]:
    return [round(float(value), digits) for value in values]


def _csv(fsc: HalfMapFsc) -> str:
    lines = ["frequency_per_A,resolution_A," + ",".join(CURVES)]
    for k, frequency in enumerate(fsc.frequency):
        resolution = f"{1 / frequency:.5f}" if k else ""
        values = ",".join(f"{getattr(fsc, name)[k]:.6f}" for name in CURVES)
        lines.append(f"{frequency:.7f},{resolution},{values}")
    return "\n".join(lines) + "\n"


def _star(fsc: HalfMapFsc) -> str:
    labels = (
        "SpectralIndex",
        "Resolution",
        "AngstromResolution",
        "FourierShellCorrelationCorrected",
        "FourierShellCorrelationParticleMaskFraction",
        "FourierShellCorrelationUnmaskedMaps",
        "FourierShellCorrelationMaskedMaps",
        "CorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps",
    )
    end = fsc.crossing() or 1 / fsc.frequency[-1]
    head = ["", "data_general", "", f"_rlnFinalResolution {end:.6f}"]
    head += [
        f"_rlnRandomiseFrom {1 / fsc.frequency[fsc.randomised_from]:.6f}",
        "",
        "",
        "data_fsc",
        "",
        "loop_",
    ]
    head += [f"_rln{label} #{number}" for number, label in enumerate(labels, 1)]
    rows = []
    for k, frequency in enumerate(fsc.frequency):
        curves = (fsc.corrected, fsc.particle, fsc.unmasked, fsc.masked, fsc.randomised)
        numbers = [frequency, 1 / frequency if k else 999.0, *(float(curve[k]) for curve in curves)]
        rows.append(f"{k:12d} " + " ".join(f"{value:12.6f}" for value in numbers))
    return "\n".join(head + rows) + "\n\n"


def emdb_xml(fsc: HalfMapFsc) -> str:
    """The corrected curve as the EMDB takes it: x in 1/A, y the correlation."""
    title = quoteattr("Half-map FSC, corrected for the mask by phase randomisation")
    points = "".join(
        f"  <coordinate>\n    <x>{x:.6f}</x>\n    <y>{y:.6f}</y>\n  </coordinate>\n"
        for x, y in zip(fsc.frequency, fsc.corrected)
    )
    axes = 'xaxis="Resolution (A-1)" yaxis="Correlation Coefficient"'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<fsc title={title} {axes}>\n{points}</fsc>\n'
