"""Scipion objects of CryoResDL: a trained network, its volumes, and what the networks say about a volume."""

from pwem.objects import EMObject, Volume
from pyworkflow.object import Boolean, Float, String

VERDICT = {
    "_cryoresClass": String,
    "_cryoresHigh": Float,
    "_cryoresMedium": Float,
    "_cryoresLow": Float,
    "_cryoresEstimate": Float,
    "_cryoresLo": Float,
    "_cryoresHi": Float,
    "_cryoresMedian": Float,
    "_cryoresBest": Float,
    "_cryoresWorst": Float,
    "_cryoresAnisotropy": Float,
    "_cryoresWorstAxis": String,
    "_cryoresClaimed": Float,
    "_cryoresVerdict": String,
    "_cryoresReasons": String,
    "_cryoresTrusted": Boolean,
    "_cryoresWarnings": String,
    "_cryoresFolder": String,
}
"""Attributes that the validation puts on a volume: columns of a set that Scipion shows, sorts and filters.

Global class and its three probabilities; estimate with the ends of its interval (A); median of the local
resolution (A); along the best and the worst direction (A), their ratio and the worst axis (z y x); the claim (A),
the verdict on it and the reasons; whether the map is of a kind that the networks know, and the warnings; the folder
with all results.
"""


class LocalResolutionVolume(Volume):
    """A volume whose values are local resolutions in A; 0: not estimated. Its own class keeps it apart from maps."""


class ResolutionClassVolume(Volume):
    """A volume of resolution classes, 0 (finest) to 9; -1: not estimated."""


class ResolutionModel(EMObject):
    """A trained network of CryoResDL: one ``.cryoresdl`` file, its name, kind and a line about it."""

    def __init__(self, path=None, name=None, kind=None, summary=None, **kwargs):
        """Describe a model.

        Args:
            path: the model file, relative to the project or absolute.
            name: the name on the model's card.
            kind: ``global`` (one class for the map) or ``local`` (a resolution per voxel).
            summary: one line for the project window.
            **kwargs: what every Scipion object takes.
        """
        super().__init__(**kwargs)
        self._path = String(path)
        self._name = String(name)
        self._kind = String(kind)
        self._summary = String(summary)

    def getPath(self):
        """Path of the model file."""
        return self._path.get()

    def getFileName(self):
        """Path of the model file, under the name that Scipion's browsers ask for."""
        return self._path.get()

    def getModelName(self):
        """The name on the model's card."""
        return self._name.get()

    def getKind(self):
        """``global`` or ``local``."""
        return self._kind.get()

    def getSummary(self):
        """One line about the model."""
        return self._summary.get()

    def getFiles(self):
        """The files that belong to this object, for Scipion's export and clean-up."""
        return {self._path.get()} if self._path.hasValue() else set()

    @classmethod
    def fromFile(cls, path):
        """Describe a model file by its card.

        Raises:
            InputError: the file is not a model that this version reads.
        """
        from .models.networks.model_files import model_store

        card = model_store.read_card(path)
        network = card.get("network") or {}
        summary = "%s network '%s' (%s)" % (
            card["kind"],
            card["name"],
            network.get("name", "unknown architecture"),
        )
        return cls(path=path, name=card["name"], kind=card["kind"], summary=summary)

    def __str__(self):
        return self._summary.get() or "ResolutionModel (no file)"


def setVerdict(volume, entry=None, local=None, folder=None):
    """Put what the networks say on a volume, as attributes that Scipion stores.

    Args:
        volume: the Scipion object.
        entry: one entry of ``classification.json``, or None when the global network was not run.
        local: the content of ``local_resolution.json``, or None.
        folder: the results folder.
    """
    entry = entry or {}
    local = local or {}
    claim = entry.get("claim") or {}
    probabilities = entry.get("probabilities") or {}
    directions = entry.get("directional") or {}
    low, high = entry.get("interval_A") or (None, None)
    values = {
        "_cryoresClass": entry.get("class"),
        "_cryoresHigh": probabilities.get("high"),
        "_cryoresMedium": probabilities.get("medium"),
        "_cryoresLow": probabilities.get("low"),
        "_cryoresEstimate": entry.get("resolution_A"),
        "_cryoresLo": low,
        "_cryoresHi": high,
        "_cryoresMedian": local.get("median_A"),
        "_cryoresBest": directions.get("best_A"),
        "_cryoresWorst": directions.get("worst_A"),
        "_cryoresAnisotropy": directions.get("anisotropy"),
        "_cryoresWorstAxis": " ".join("%.2f" % part for part in directions.get("worst_axis_zyx") or ())
        or None,
        "_cryoresClaimed": claim.get("claimed_A"),
        "_cryoresVerdict": claim.get("verdict"),
        "_cryoresReasons": _sentences(claim.get("reasons")),
        "_cryoresTrusted": entry.get("in_distribution"),
        "_cryoresWarnings": _sentences(entry.get("warnings") or local.get("warnings")),
        "_cryoresFolder": folder,
    }
    for name, kind in VERDICT.items():
        setattr(volume, name, kind(values[name]))


def getVerdict(volume):
    """What :func:`setVerdict` put on a volume, as a dictionary without the leading ``_cryores``."""
    return {
        name[len("_cryores") :].lower(): getattr(volume, name).get()
        for name in VERDICT
        if hasattr(volume, name)
    }


def _sentences(value):
    if not value:
        return None
    if isinstance(value, str):
        return value
    sentences = [str(item) for item in value]
    return (" " if all(one.endswith(".") for one in sentences) else "; ").join(sentences)
