"""The form of the validation: its parameters, and what they say to the engine."""

import os

import pyworkflow.protocol.params as params
from pwem.objects import SetOfVolumes, Volume

from ..models.base.resolution_terms import COMPARED, CRITERIA, MOST_B_FACTOR_A2, RESOLUTION_RANGE_A
from ..models.maps.mrc import header_check
from ..models.networks.model_files import model_store
from .protocol_base import (
    EMPTY_OR_ABOVE_ZERO,
    SAME_SAMPLING,
    CryoResProtocol,
    fileOf,
    inputErrors,
    needsConversion,
    readableFile,
)
from .resolution_volumes import PICKED_BY_HAND

BOTH, GLOBAL, LOCAL = 0, 1, 2
NETWORKS = ("both", "global", "local")
COMPARED_FIELDS = {"%sVolume" % option: option for option in COMPARED}
"""Form parameter -> option of the engine."""
_BY_HALF = "; it is by FSC 0.5 unless it was told otherwise, which is coarser than by 0.143"
ORIGINS = {
    "monores": ("'resolution_Volume' of Xmipp's local MonoRes", params.LEVEL_NORMAL),
    "resmap": ("'outputVolume' of ResMap's local resolution", params.LEVEL_NORMAL),
    "relion": ("relion_locres.mrc, which is found beside RELION's output", params.LEVEL_NORMAL),
    "cryosparc": ("the imported '..._map_locres.mrc'" + _BY_HALF, params.LEVEL_ADVANCED),
    "blocres": ("'resolution_Volume' of Bsoft's blocres" + _BY_HALF, params.LEVEL_ADVANCED),
    "phenix": ("the imported 'local_resolution_map.ccp4'", params.LEVEL_ADVANCED),
    "deepres": ("'resolution_Volume' of Xmipp's DeepRes", params.LEVEL_ADVANCED),
}
"""Option of the engine -> where people find the volume, and for whom the field is shown."""
RESULTS, DEPOSITION = "results", "deposition"
ABSOLUTE, OWN = 0, 1
"""What colours of resolutions stand for: the same A on every map, or the range of this one."""


class ValidationForm(CryoResProtocol):
    """What the user chooses: maps, mask, claim, volumes to compare with, networks."""

    # --------------------------- DEFINE param functions ----------------------
    def _defineParams(self, form):
        self._defineGpuParams(
            form,
            False,
            "The networks are small: the processor is as fast for most maps. A GPU needs TensorFlow with NVIDIA's "
            "libraries, and pays for itself with boxes of 400 voxels and more.",
        )
        self._defineInput(form)
        self._defineClaim(form)
        self._defineComparison(form)
        self._defineNetworks(form)
        self._defineMore(form)
        form.addParallelSection(threads=1, mpi=0)

    @staticmethod
    def _defineInput(form):
        form.addSection(label="Input")
        form.addParam(
            "inputVolumes",
            params.PointerParam,
            pointerClass="Volume,SetOfVolumes",
            label="Volume(s)",
            important=True,
            help="The map to validate, or a set of maps. Its sampling rate (A/voxel) must be right: every resolution "
            "is measured with it. Best is the unsharpened map as it comes from the refinement.",
        )
        form.addParam(
            "inputMask",
            params.PointerParam,
            pointerClass="VolumeMask",
            allowsNull=True,
            label="Mask",
            help="Where the molecule is (same box as the volume); soft masks are cut at half of their maximum. "
            "Empty: a mask is made from the map, and can be looked at in the results.",
        )

    @staticmethod
    def _defineClaim(form):
        form.addParam(
            "claimedResolution",
            params.FloatParam,
            allowsNull=True,
            validators=[EMPTY_OR_ABOVE_ZERO],
            label="Claimed resolution (A)",
            help="The resolution that was published or found by FSC, in A. You get a verdict on it: supported, "
            "optimistic, pessimistic or cannot tell. Empty: no verdict.",
        )
        form.addParam(
            "claimCriterion",
            params.EnumParam,
            choices=["FSC %s" % one for one in CRITERIA],
            default=0,
            display=params.EnumParam.DISPLAY_HLIST,
            label="The claim means",
            help="The FSC that the claim was read at, and the estimate is given for. Today that is 0.143; before about "
            "2013 most resolutions were read at 0.5, where the same map has a larger number.",
        )
        form.addParam(
            "claimAttribute",
            params.StringParam,
            default="",
            expertLevel=params.LEVEL_ADVANCED,
            label="Claims of a set in",
            help="Of a set of volumes: the attribute (column) with the claimed resolution of each, such as "
            "_resolution. Volumes without a number there have the claim above, or none.",
        )
        form.addParam(
            "useHalfMaps",
            params.BooleanParam,
            default=True,
            label="Use half maps",
            help="Half maps show the noise directly and make the local resolution more reliable. They are taken "
            "from the volume (import volumes, 'Set half maps'); without them this has no effect.",
        )

    @staticmethod
    def _defineComparison(form):
        group = form.addGroup("Compare with")
        for name, option in COMPARED_FIELDS.items():
            origin, level = ORIGINS[option]
            group.addParam(
                name,
                params.PointerParam,
                pointerClass=PICKED_BY_HAND,
                allowsNull=True,
                expertLevel=level,
                label="%s volume" % COMPARED[option],
                help="Local-resolution volume (A) of the same map: %s. You get the agreement with the network and "
                "a volume of the disagreement. Only with one volume as input." % origin,
            )

    @staticmethod
    def _defineNetworks(form):
        form.addSection(label="Networks")
        form.addParam(
            "networks",
            params.EnumParam,
            choices=["Global class and local resolution", "Global class only", "Local resolution only"],
            default=BOTH,
            label="Run",
            help="Which networks. The local one takes most of the time; choose the global class only for a quick look at "
            "many maps.",
        )
        ValidationForm._defineNetwork(
            form,
            "global",
            LOCAL,
            model_store.DEFAULT_GLOBAL_MODEL,
            "Name of a shipped or installed network ('cryoresdl models' lists them with their cards). "
            "'default' is the recommended one; the networks of the paper are there for comparison.",
        )
        ValidationForm._defineNetwork(
            form,
            "local",
            GLOBAL,
            model_store.DEFAULT_LOCAL_MODEL,
            "'truth' (recommended) estimates the true local resolution; 'monores' and 'resmap' predict what "
            "those programs would say, in seconds.",
        )

    @staticmethod
    def _defineMore(form):
        form.addSection(label="Also make")
        form.addParam(
            "makeReport",
            params.BooleanParam,
            default=True,
            label="Make a report",
            help="One HTML page with all figures (and the same as PDF and JSON). It is made after the outputs are "
            "ready to use, and takes some seconds; without it, the viewer makes it when it is asked for.",
        )
        form.addParam(
            "colourRange",
            params.EnumParam,
            choices=["The same for all maps", "This map's own"],
            default=ABSOLUTE,
            display=params.EnumParam.DISPLAY_HLIST,
            label="Colours of resolutions",
            help="What the viewer's colours stand for. The same for all maps: from %g to %g A, so that pictures of two maps "
            "can be compared. This map's own: from the finest to the coarsest 5 %% of its local resolution, so that "
            "differences inside one map show. It can be changed in the viewer." % RESOLUTION_RANGE_A,
        )
        form.addParam(
            "makeFiltered",
            params.BooleanParam,
            default=False,
            condition="networks != %d" % GLOBAL,
            label="Locally filtered map",
            help="Also give the map with every voxel low-passed at its local resolution, for building and for pictures. "
            "Of one volume.",
        )
        form.addParam(
            "filterBFactor",
            params.FloatParam,
            default=0.0,
            condition="makeFiltered and networks != %d" % GLOBAL,
            label="B-factor (A^2)",
            validators=[
                params.Range(
                    -MOST_B_FACTOR_A2,
                    MOST_B_FACTOR_A2,
                    "must be between -%g and %g A^2." % (MOST_B_FACTOR_A2, MOST_B_FACTOR_A2),
                )
            ],
            help="Sharpens (below 0) or blurs (above 0) the map before it is low-passed: amplitudes times exp(-B/4 f^2). "
            "0 leaves it as it is, which is right for a map that was sharpened already; for an unsharpened one take what "
            "its postprocessing found, for example -80.",
        )
        form.addParam(
            "makeAudit",
            params.BooleanParam,
            default=False,
            condition="networks == %d" % BOTH,
            label="What the verdict hangs on",
            help="Also ask how the estimate and the verdict move when the mask grows or shrinks, the map is sharpened, "
            "blurred, low-passed or resampled, or the sampling rate is wrong by 2 %. The summary says what turns the "
            "verdict over, the viewer draws it. Of half maps "
            "that are used, mask and sampling rate are changed. It takes as long as about five more maps.",
        )
        form.addParam(
            "makeDeposition",
            params.BooleanParam,
            default=False,
            condition="networks != %d" % GLOBAL,
            label="Folder for the EMDB",
            help="Also write a folder with what the EMDB asks for: map, half maps, mask, FSC curve (XML), the local "
            "resolution as additional map, and a README that says which file goes where and what the EMDB would send "
            "back. Of one volume with half maps.",
        )
        form.addParam(
            "depositContour",
            params.FloatParam,
            allowsNull=True,
            condition="makeDeposition",
            expertLevel=params.LEVEL_ADVANCED,
            label="Recommended contour",
            help="The contour level that the deposition recommends, in the units of the map. Empty: one is found.",
        )

    # --------------------------- UTILS functions -----------------------------
    @staticmethod
    def _defineNetwork(form, kind, without, name, text):
        """A network by name, or one made in this project; hidden where only the ``without`` network is asked for."""
        form.addParam(
            kind + "Model",
            params.StringParam,
            default=name,
            condition="networks != %d" % without,
            label=kind.capitalize() + " network",
            help=text,
        )
        form.addParam(
            kind + "ModelObject",
            params.PointerParam,
            pointerClass="ResolutionModel",
            allowsNull=True,
            condition="networks != %d" % without,
            expertLevel=params.LEVEL_ADVANCED,
            label="... or your own",
            help="A %s network from 'train %s network' or 'import network', used instead of the name."
            % (kind, kind),
        )

    def isSet(self):
        """Whether the input is a set of volumes."""
        return isinstance(self.inputVolumes.get(), SetOfVolumes)

    def _options(self):
        """Options of the engine that come from the form alone."""
        words = ["--networks", NETWORKS[self.networks.get()]]
        for kind, model in self._models():
            words += ["--model-" + kind, str(model)]
        if self.makeAudit.get() and self.networks.get() == BOTH:
            words.append("--audit")
        # The report is a step of its own, when the outputs are there.
        return [*words, "--no-report"]

    def claimOf(self, volume):
        """The resolution in A that is claimed for a volume, or None: its own attribute, else the form's number."""
        name = (self.claimAttribute.get() or "").strip()
        own = getattr(volume, name, None) if name and self.isSet() else None
        try:
            value = float(own.get())
        except (AttributeError, TypeError, ValueError):
            value = 0.0
        return value if value > 0 else self.claimedResolution.get()

    def _models(self):
        """(kind, name or path) of every network that will run."""
        models = []
        for kind, other in (("global", LOCAL), ("local", GLOBAL)):
            if self.networks.get() != other:
                own = getattr(self, kind + "ModelObject").get()
                models.append(
                    (kind, own.getPath() if own is not None else getattr(self, kind + "Model").get())
                )
        return models

    def _halfMaps(self, volume):
        """Both half maps of a volume as the engine reads them, or nothing."""
        halves = [self._halfVolume(volume, name) for name in self._halfNames(volume)]
        target = self._getExtraPath("half%d" + ("_%06d" % volume.getObjId() if self.isSet() else "") + ".mrc")
        return [readableFile(half, target % number) for number, half in enumerate(halves, 1)]

    def _halfNames(self, volume):
        if not self.useHalfMaps.get() or not volume.hasHalfMaps():
            return []
        names = [str(name) for name in volume.getHalfMaps(asList=True)]
        return names if len(names) == 2 else []

    @staticmethod
    def _halfVolume(volume, name):
        half = Volume(location=name)
        half.setSamplingRate(volume.getSamplingRate())
        return half

    def _halfErrors(self, volume):
        """What is wrong with the half maps of a volume: missing, another box, or another pixel size."""
        for name in self._halfNames(volume):
            half = self._halfVolume(volume, name)
            if not os.path.isfile(fileOf(half)):
                return ["The half map %s is missing." % name]
            # Scipion swaps two sides of some Spider volumes, hence without their order.
            if sorted(half.getDim()) != sorted(volume.getDim()):
                return [
                    "The half map %s has a box of %s voxels, the map %s."
                    % (name, half.getDim(), volume.getDim())
                ]
            errors = self._headerErrors(volume, half)
            if errors:
                return errors
        return []

    @staticmethod
    def _headerErrors(volume, half):
        """What the header of a half map says against it, where the engine reads both files as they are."""
        if needsConversion(half) or needsConversion(volume):
            return []
        errors = inputErrors(header_check.check_header, fileOf(half), "half map")
        if errors:
            return errors
        rate, own = (header_check.check_header(fileOf(each)).voxel_size for each in (volume, half))
        if abs(own - rate) <= SAME_SAMPLING * rate:
            return []
        return [
            "The half map %s has %.4g A/voxel in its header, the map %.4g." % (half.getFileName(), own, rate)
        ]

    def _modelErrors(self):
        errors = []
        for kind, model in self._models():
            cards = []
            errors += inputErrors(lambda model=model, cards=cards: cards.append(model_store.read_card(model)))
            if cards and cards[0]["kind"] != kind:
                errors.append(
                    "%s is a %s network, where a %s one is needed; choose another."
                    % (model, cards[0]["kind"], kind)
                )
        return errors

    def _first(self, volume):
        return volume.getFirstItem() if isinstance(volume, SetOfVolumes) else volume
