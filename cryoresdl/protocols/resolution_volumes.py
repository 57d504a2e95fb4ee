"""Local-resolution volumes in a project: which program made one, which file holds it, and what is none."""

import filecmp
import os
import re

from ..models.maps import foreign_volumes
from ..models.maps.density_map import plain_path
from ..objects import LocalResolutionVolume, ResolutionClassVolume
from .protocol_base import fileOf

PICKED_BY_HAND, VOLUMES_PICKED_BY_HAND = "Volume ", "Volume ,SetOfVolumes "
"""Pointer classes of volumes to compare with or to learn from; the blank keeps Scipion from filling in what is selected.

Scipion offers the outputs of the selected run for every pointer whose class has exactly their name, and a density is
a Volume as MonoRes' result is. The list from which people pick strips the blank.
"""
PROGRAMS = {
    "XmippProtMonoRes": "MonoRes",
    "ProtResMap": "ResMap",
    "ProtRelionLocalRes": "RELION",
    "BsoftProtBlocres": "blocres",
    "XmippProtDeepRes": "DeepRes",
    "ProtCryoResValidate": "CryoResDL",
    "ProtCryoResSimulate": "truth",
}
"""Protocol class -> the name that its users know it by."""
RESOLUTION_OUTPUTS = {
    "XmippProtMonoRes": ("resolution_Volume",),
    "ProtResMap": ("outputVolume",),
    "ProtRelionLocalRes": ("outputVolume",),
    "BsoftProtBlocres": ("resolution_Volume",),
    "XmippProtDeepRes": ("resolution_Volume",),
    "ProtCryoResValidate": ("outputResolution", "outputResolutions", "outputClass"),
    "ProtCryoResSimulate": ("outputTruth",),
}
"""Protocol class -> its outputs that are no density to validate (RELION's is a density, but locally filtered)."""
_NAMES = (
    (re.compile(r"^monoresResolution(Map|Chimera)\.", re.IGNORECASE), "MonoRes"),
    (re.compile(r"_resmap\.", re.IGNORECASE), "ResMap"),
    (re.compile(r"^relion_locres(_filtered)?\.", re.IGNORECASE), "RELION"),
    (re.compile(r"^resolutionMap\.map"), "blocres"),
    (re.compile(r"^deepRes_resolution", re.IGNORECASE), "DeepRes"),
    (re.compile(r"_map_locres\.mrc", re.IGNORECASE), "cryoSPARC"),
    (re.compile(r"^local_resolution_map\.ccp4"), "Phenix"),
    (re.compile(r"^local_resolution(_class|_interval)?\.mrc"), "CryoResDL"),
)
"""File names that local-resolution programs give."""
_RELION_DENSITY = re.compile(r"locres_filtered\.\w+$")


def programOf(pointer):
    """The program that made what a pointer points at, or None."""
    maker = pointer.getObjValue() if pointer.hasValue() else None
    return PROGRAMS.get(maker.getClassName()) if maker is not None else None


def labelOf(pointer):
    """The label that a user gave to the run that made a volume; empty where it still has the protocol's own."""
    maker = pointer.getObjValue() if pointer.hasValue() else None
    label = getattr(maker, "getObjLabel", lambda: "")() or ""
    if maker is None or not hasattr(maker, "getClassLabel"):
        return ""
    kind = maker.getClass()
    defaults = tuple(kind.getClassLabel(prependPackageName=prepend) for prepend in (True, False))
    return "" if label.startswith(defaults) else label


def nameForPeople(pointer, volume):
    """What to call a compared volume: the run's label where its user gave one, else the program, else the file."""
    named = _plain(labelOf(pointer)) or programOf(pointer) or madeBy(volume) or _plain(volume.getObjLabel())
    return named or _plain(os.path.basename(fileOf(volume)).split(".")[0]) or "volume"


def namesForPeople(pointers, taken=(), otherwise=None):
    """A name for every volume; those that would be equal get the number of the run that made them.

    Args:
        pointers: to volumes, none of them empty.
        taken: names that no volume may have.
        otherwise: names of volumes whose run no user has labelled and which no known program made.
    """
    names = [nameForPeople(pointer, pointer.get()) for pointer in pointers]
    if otherwise is not None:
        told = [programOf(pointer) or labelOf(pointer) for pointer in pointers]
        names = [name if known else other for name, known, other in zip(names, told, otherwise)]
    names_taken = [*names, *taken]
    runs = ["%s_%s" % (name, _runNumber(pointer)) for name, pointer in zip(names, pointers)]
    named = [run if names_taken.count(name) > 1 else name for name, run in zip(names, runs)]
    # Two outputs of one run, which its number does not tell apart.
    return [
        "%s_%s" % (name, _plain(pointer.getExtended()) or number) if named.count(name) > 1 else name
        for number, (name, pointer) in enumerate(zip(named, pointers), 1)
    ]


def _runNumber(pointer):
    maker = pointer.getObjValue()
    return "run_%s" % maker.strId() if hasattr(maker, "getClassLabel") else "%s" % pointer.get().strId()


def _plain(label):
    return re.sub(r"[^A-Za-z0-9.-]+", "_", label or "").strip("_")


def madeBy(volume, pointer=None):
    """The program whose local resolution (or locally filtered density) a volume is, or None for a density.

    Told by the run and the output that a pointer names, by the object's class, or by the file's name.
    """
    if isinstance(volume, (LocalResolutionVolume, ResolutionClassVolume)):
        return "CryoResDL"
    maker = pointer.getObjValue() if pointer is not None and pointer.hasValue() else None
    if maker is not None and pointer.getExtended() in RESOLUTION_OUTPUTS.get(maker.getClassName(), ()):
        return PROGRAMS[maker.getClassName()]
    name = os.path.basename(os.path.realpath(fileOf(volume)))
    return next((program for pattern, program in _NAMES if pattern.search(name)), None)


def estimatesFile(volume):
    """The file with the values in A; of RELION's output, a filtered density, the local resolution beside it."""
    path = fileOf(volume)
    # An imported file is a link: what lies beside it, lies where it leads to.
    for place in (path, os.path.realpath(path)):
        chosen = foreign_volumes.estimates_beside(place)
        if chosen != plain_path(place):
            return chosen
    return path


def comparedErrors(volume, other, label):
    """Sentences about a volume that cannot be compared with the network's: it is the map, or RELION's density."""
    path = estimatesFile(other)
    if os.path.isfile(path) and sameContent(fileOf(volume), path):
        return [
            "The %s is the map itself; choose the local resolution that the program made of it, or leave it "
            "empty." % label
        ]
    if _RELION_DENSITY.search(os.path.realpath(path)):
        return [
            "The %s %s is RELION's filtered density; its local resolution, relion_locres.mrc, is missing beside "
            "it: import that file and choose it." % (label, os.path.basename(path))
        ]
    return []


def sameContent(one, other):
    """Whether two files hold the same bytes; it ends at the first difference."""
    try:
        return os.path.samefile(plain_path(one), plain_path(other)) or filecmp.cmp(one, other, shallow=False)
    except OSError:
        return False
