"""What every protocol of CryoResDL shares: run one engine command, and hand volumes over to it."""

import contextlib
import json
import os
import subprocess

import pyworkflow as pw
import pyworkflow.protocol.params as params
from pwem.constants import NO_INDEX
from pwem.objects import SetOfVolumes, Transform
from pwem.protocols import EMProtocol

from ..models.base.runs.atomic_files import read_json
from ..models.networks.model_files.model_store import BACKEND_VARIABLE
from ..models.results import result_files
from ..plugin import Plugin, quote

FOREIGN_FORMATS = (
    ".vol",
    ".spi",
    ".hdf",
    ".h5",
    ".hed",
    ".img",
    ".em",
    ".stk",
    ".xmp",
    ".tif",
    ".tiff",
    ".pif",
)
"""Volume formats that Scipion reads and the engine does not; they are converted to MRC first."""
EXIT_CODE = "engine.code"
"""Where a job of a queue notes how the engine ended."""
BAD_INPUT = 2
"""The engine's exit code for what is the input's fault."""
SAME_SAMPLING = 0.01
"""Relative difference of two sampling rates that is still taken for rounding."""


EMPTY_OR_ABOVE_ZERO = params.Conditional("must be above 0, or empty.", allowsNull=True)
EMPTY_OR_ABOVE_ZERO._condition = lambda value: value > 0
"""Validator of numbers that may be left out."""
ABOVE_ZERO = params.GT(0, error="must be above 0.")
"""Validator of numbers that are needed."""


class EngineError(Exception):
    """The engine refused or failed; the message is its own sentence."""

    def __init__(self, message, badInput=False):
        """Remember whether the input is at fault, which a protocol over many inputs may survive."""
        super().__init__(message)
        self.badInput = badInput


class CryoResProtocol(EMProtocol):
    """Base of the protocols: the form becomes a command line of the engine, its files become Scipion objects."""

    _devStatus = pw.BETA

    @staticmethod
    def _defineGpuParams(form, default, text):
        """The row of GPUs; hidden, because Scipion draws it with the processors."""
        form.addHidden(params.USE_GPU, params.BooleanParam, default=default, label="Use GPU", help=text)
        form.addHidden(
            params.GPU_LIST,
            params.StringParam,
            default="0",
            expertLevel=params.LEVEL_ADVANCED,
            label="GPU",
            help="Number of the GPU, as nvidia-smi counts; several with a comma.",
        )

    def _engineEnviron(self):
        """The engine's environment: TensorFlow sees the chosen GPUs, or none."""
        environ = Plugin.getEnviron()
        if self.allowsGpu():
            chosen = self.getGpuList() if self.usesGpu() else []
            environ["CUDA_VISIBLE_DEVICES"] = ",".join(str(number) for number in chosen) or "-1"
            if chosen:
                # The other backends compute on the processor only.
                environ[BACKEND_VARIABLE] = "tensorflow"
        return environ

    def runEngine(self, *arguments):
        """Run ``cryoresdl ARGUMENTS`` and wait for it.

        Raises:
            EngineError: with the engine's own sentence when it ended with another exit code than 0.
        """
        program, words = Plugin.engineCommand(*arguments)
        inQueue = self.useQueueForSteps()
        if inQueue:
            words = self._noted(words)
        try:
            self.runJob(program, words, env=self._engineEnviron(), numberOfMpi=1, numberOfThreads=1)
            code = self._notedCode() if inQueue else 0
        except subprocess.CalledProcessError as error:
            code = error.returncode
        if code:
            words = self._lastWords() or "The engine ended with exit code %d." % code
            raise EngineError(words, badInput=code == BAD_INPUT)

    def _noted(self, words):
        """Let a job of a queue note its exit code and write into our logs: Scipion sees neither."""
        code, *logs = [
            quote(os.path.abspath(self._getLogsPath(name)))
            for name in (EXIT_CODE, "run.stdout", "run.stderr")
        ]
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._getLogsPath(EXIT_CODE))
        return "%s >>%s 2>>%s; echo $? >%s" % (words, logs[0], logs[1], code)

    def _notedCode(self):
        try:
            with open(self._getLogsPath(EXIT_CODE), encoding="ascii") as stream:
                return int(stream.read())
        except (OSError, ValueError):
            raise EngineError(
                "The job ended in the queue before the engine did (cancelled, out of time or of memory); "
                "continue the protocol to do the rest."
            ) from None

    def _lastWords(self):
        """The last line that the engine wrote on stderr: by contract, the reason why it stopped."""
        try:
            with open(self._getLogsPath("run.stderr"), encoding="utf-8", errors="replace") as log:
                lines = [line.strip() for line in log if line.strip()]
        except OSError:
            return None
        return lines[-1] if lines else None

    def hasResult(self, *names):
        """Whether this file of the run is there."""
        return os.path.isfile(self._getExtraPath(*names))

    def readResult(self, *names):
        """A JSON file of the run, or None where it is missing or unreadable (a run that failed or still runs)."""
        try:
            with open(self._getExtraPath(*names), encoding="utf-8") as stream:
                return json.load(stream)
        except (OSError, ValueError):
            return None


def resultsIn(folder):
    """The entry of ``classification.json`` and the content of ``local_resolution.json`` of a folder; None where missing."""
    found = []
    for name in (result_files.CLASSIFICATION_JSON, result_files.LOCAL_JSON):
        path = os.path.join(folder, name)
        found.append(read_json(path) if os.path.isfile(path) else None)
    entry, local = found
    if isinstance(entry, list):
        entry = entry[0] if entry else None
    return entry, local


def fileOf(volume):
    """Path of a volume as the file system knows it (Scipion may append ``:mrc``)."""
    from ..models.maps.density_map import plain_path

    return plain_path(volume.getFileName())


def needsConversion(volume):
    """Whether the engine cannot read this volume where it is: another format, or one item of a stack."""
    if os.path.splitext(fileOf(volume))[1].lower() in FOREIGN_FORMATS:
        return True
    return volume.getIndex() not in (NO_INDEX, None) and volume.getIndex() > 1


def readableFile(volume, target, own=None):
    """Path of a file that the engine reads: the volume's own (or ``own``), or a conversion to MRC at ``target``."""
    if not needsConversion(volume):
        return own or fileOf(volume)
    from pwem.emlib.image import ImageHandler

    if not os.path.exists(target):
        partial = target[: -len(".mrc")] + ".part.mrc"
        ImageHandler().convert(volume, partial)
        os.replace(partial, target)
    return target


def sameSampling(one, other):
    """Whether two volumes have the same sampling rate, up to rounding."""
    first, second = one.getSamplingRate(), other.getSamplingRate()
    if not first or not second:
        return False
    return abs(first - second) <= SAME_SAMPLING * max(first, second)


def gridErrors(volume, other, role, sampling=True):
    """Sentences about a second volume that does not lie on the grid of the first: box, then sampling rate."""
    errors = []
    for each, name in ((volume, "map"), (other, role)):
        if not os.path.isfile(fileOf(each)):
            errors.append("The file of the %s, %s, is missing." % (name, each.getFileName()))
    if errors:
        return errors
    here, there = volume.getDim(), other.getDim()
    if here != there:
        errors.append(
            "The %s has a box of %s voxels, the map %s; choose one made for this map." % (role, there, here)
        )
    elif sampling and not sameSampling(volume, other):
        errors.append(
            "The %s has a sampling rate of %.4g A, the map %.4g A; choose one made for this map."
            % (role, other.getSamplingRate() or 0, volume.getSamplingRate() or 0)
        )
    return errors


def originError(volume, other, role):
    """A sentence when two volumes both have an origin and it differs by more than a voxel, else nothing."""
    if not (volume.hasOrigin() and other.hasOrigin()):
        return []
    here, there = volume.getOrigin().getShifts(), other.getOrigin().getShifts()
    if max(abs(a - b) for a, b in zip(here, there)) <= volume.getSamplingRate():
        return []
    return [
        "The origin of the %s is (%.4g, %.4g, %.4g) A, that of the map (%.4g, %.4g, %.4g) A; choose one made for this map."
        % ((role,) + tuple(there) + tuple(here))
    ]


def volumesOf(pointers):
    """The volumes that a list of pointers to volumes and sets of volumes stands for, in order."""
    volumes = []
    for pointer in pointers:
        target = pointer.get()
        if isinstance(target, SetOfVolumes):
            for item in target.iterItems():
                copy = item.clone()
                copy.setObjId(item.getObjId())
                volumes.append(copy)
        elif target is not None:
            volumes.append(target)
    return volumes


def inputErrors(read, *arguments, **options):
    """Run one of the engine's readers and return its complaint as a list of sentences (empty: all is well)."""
    from ..models.base.errors import CryoResError

    try:
        read(*arguments, **options)
    except CryoResError as error:
        return [str(error)]
    return []


def placeLike(output, volume):
    """Give an output volume the grid of the input: same sampling rate, same origin."""
    output.setSamplingRate(volume.getSamplingRate())
    if volume.hasOrigin():
        # A copy: the transform of the input is stored under its own id, and cannot belong to two objects.
        output.setOrigin(Transform(volume.getOrigin().getMatrix().copy()))
    return output
