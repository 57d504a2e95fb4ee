"""The methods paragraph of the report and its references."""

from __future__ import annotations

import re
from typing import Any, Dict, Mapping, Sequence

from .. import compared_results
from .report_page import MethodsText
from .report_tables import _model_name, _span


def methods(
    entry: Mapping[str, Any], summary: Mapping[str, Any], comparison: Mapping[str, Any] | None
) -> MethodsText:
    """Sentences for a paper's methods section, with the works that they cite."""
    from .... import __version__

    version = summary.get("version") or __version__
    text, cited = [], ["avramov2019"]
    if summary:
        mask = (summary.get("mask") or {}).get("source")
        origin = {"auto": "made by the program from the map", "given": "given by the user"}.get(
            str(mask), "as recorded"
        )
        half = "the two half maps" if summary.get("half_maps") else "a single map"
        model = _model_name(summary.get("model"))
        text.append(
            f"Local resolution was estimated from {half} with CryoResDL {version} (model '{model}'), which "
            f"continues the approach of Avramov et al. (2019), inside a mask {origin}. It is the wavelength "
            f"at which the expected local half-map Fourier shell correlation falls to 0.143 (Rosenthal and "
            f"Henderson, 2003)."
        )
        cited.append("rosenthal2003")
        if summary.get("median_A") is not None:
            text.append(
                f"Among {summary.get('n_voxels', 0):,} voxels the median was {summary['median_A']:.2f} Å "
                f"(quartiles {_span(summary.get('quartiles_A'))} Å)."
            )
    if entry.get("class"):
        chance = (entry.get("probabilities") or {}).get(entry["class"])
        sure = f" with probability {chance:.2f}" if compared_results.is_number(chance) else ""
        estimate = entry.get("resolution_A")
        about = (
            f" (estimate {estimate:.2f} Å, 68 % interval {_span(entry.get('interval_A'))} Å)"
            if compared_results.is_number(estimate)
            else ""
        )
        model = _model_name(entry.get("model"))
        text.append(f"The model '{model}' classed the map as {entry['class']} resolution{sure}{about}.")
        if entry.get("estimate_from") == "half maps":
            level = entry.get("criterion") or "0.143"
            text.append(
                f"That estimate is where the Fourier shell correlation of the two half maps falls to {level}, corrected for "
                "the mask by phase randomisation (Chen et al., 2013) and for the solvent inside it (Grant et al., 2018); "
                "the network gave its interval and the probabilities."
            )
            cited += ["chen2013", "grant2018"]
    names = " ".join(compared_results.volumes_agreement(comparison or {}, "kappa")[0]).lower()
    others = []
    for word, key, program in (
        ("monores", "vilas2018", "MonoRes (Vilas et al., 2018)"),
        ("resmap", "kucukelbir2014", "ResMap (Kucukelbir et al., 2014)"),
        ("relion", "", "RELION"),
    ):
        if word in names:
            others.append(program)
            cited += [key] if key else []
    if others:
        text.append(f"The local resolution was compared with that of {_listed(others)}.")
    references = _references()
    return MethodsText(text, [references[key] for key in cited if key in references])


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


def _references() -> Dict[str, str]:
    """The plugin's bibliography as lines of text, by key."""
    from .... import bibtex

    found = {}
    for key, body in re.findall(r"@\w+\{(\w+),(.*?)\n\}", bibtex.__doc__ or "", re.S):
        fields = dict(re.findall(r"(\w+)=\{(.*?)\},?\n", body + "\n"))
        people = [person.split(",")[0] for person in fields.get("author", "").split(" and ")]
        authors = (
            people[0]
            if len(people) == 1
            else " and ".join(people)
            if len(people) == 2
            else f"{people[0]} et al."
        )
        where = f"{fields.get('journal', '')} {fields.get('volume', '')}, {fields.get('pages', '')}".replace(
            "--", "-"
        )
        found[key] = (
            f"{authors} ({fields.get('year')}). {fields.get('title')}. {where}. doi:{fields.get('doi')}"
        )
    return found
