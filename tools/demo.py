"""``make demo``: a map in a real Scipion project, validated, and where to look at the results.

Runs inside Scipion (``scipion3 python tools/demo.py``). What to validate comes from the environment, so that any
file name arrives as it is: MAP, MASK, CLAIMED (A) and VOXEL_SIZE (A, where the map's header is wrong or empty).
Without MAP the bundled sample is used.
"""

import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "cryoresdl" / "data"
SAMPLE = "sample_map"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_./+-]+\Z")


def main():
    """Run the demonstration; the exit code is 0, or 2 for a bad MAP, MASK, CLAIMED or VOXEL_SIZE."""
    from cryoresdl.models.base.errors import CryoResError

    try:
        request = Request.fromEnvironment()
        request.check()
    except CryoResError as error:
        print(error, file=sys.stderr)
        return 2
    project = openProject(request.name)
    run = validate(project, request)
    if not run.isFinished():
        # Scipion paints its messages for a terminal.
        reason = re.sub(r"\x1b\[\d+m", "", run.getErrorMessage() or "see its log")
        print("The validation failed: %s" % reason, file=sys.stderr)
        print("Log: %s" % os.path.join(project.path, run._getLogsPath("run.stderr")), file=sys.stderr)
        return 1
    report(project, run)
    return 0


class Request:
    """What the user asked for."""

    def __init__(self, name, map_, mask=None, claimed=None, voxel_size=None, halves=()):
        # Scipion changes the working directory to the project.
        self.map, self.mask = (os.path.abspath(path) if path else None for path in (map_, mask))
        self.name, self.halves = name, halves
        self.claimed, self.voxel_size = claimed, voxel_size
        self.density = None

    @classmethod
    def fromEnvironment(cls):
        """Read the request from the environment.

        Raises:
            InputError: CLAIMED or VOXEL_SIZE is not a number above 0.
        """
        given = {name: os.environ.get(name, "").strip() for name in ("MAP", "MASK", "CLAIMED", "VOXEL_SIZE")}
        numbers = [_number(name, given[name]) for name in ("CLAIMED", "VOXEL_SIZE")]
        if given["MAP"]:
            stem = re.sub(
                r"(\.mrc|\.map|\.ccp4|\.gz|\.bz2)+$", "", os.path.basename(given["MAP"]), flags=re.I
            )
            name = "CryoResDL_" + (re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_") or "map")
            return cls(name, given["MAP"], given["MASK"] or None, *numbers)
        halves = [_sample("half1"), _sample("half2")]
        return cls(
            "CryoResDL_demo",
            _sample("map"),
            given["MASK"] or _sample("mask"),
            *numbers,
            halves=halves if all(halves) else (),
        )

    def check(self):
        """Read map and mask, so that what is wrong with them is said before a project is made.

        Raises:
            InputError: as the engine's readers.
        """
        from cryoresdl.models.base.errors import InputError
        from cryoresdl.models.maps.mrc import mask_reader, mrc_reader

        if self.map is None:
            raise InputError(
                "The bundled sample map is missing from %s; restore it, or give MAP=file.mrc." % DATA
            )
        self.density = mrc_reader.read(self.map, self.voxel_size)
        if self.mask:
            mask_reader.read_mask(self.mask, self.density)


def _number(name, text):
    from cryoresdl.models.base.errors import InputError

    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise InputError(
            "%s=%s is not a number above 0; give it in A, for example %s=3.2." % (name, text, name)
        )
    return value


def _sample(part):
    stem = SAMPLE if part == "map" else SAMPLE.replace("map", part)
    for suffix in (".mrc", ".mrc.gz"):
        path = DATA / (stem + suffix)
        if path.is_file():
            return str(path)
    return None


def openProject(name):
    """Open the project of this name or make it, and go there, as Scipion's protocols expect."""
    import pyworkflow as pw

    pw.Config.setDomain("pwem")
    from pyworkflow.project import Manager

    manager = Manager()
    project = manager.loadProject(name) if manager.hasProject(name) else manager.createProject(name)
    os.chdir(project.path)
    return project


def importable(path, density, folder):
    """A file that Scipion imports: the user's own where Scipion reads it as it is, otherwise a copy in the project.

    Scipion reads neither compressed maps nor half-precision ones, takes the axes as x, y, z whatever the header
    says, and treats a path as a pattern.
    """
    from cryoresdl.models.maps.mrc import mrc_writer

    path = os.path.abspath(path)
    if PLAIN_NAME.match(path) and path.lower().endswith((".mrc", ".map")):
        import mrcfile

        with mrcfile.mmap(path, "r", permissive=True) as opened:
            header = opened.header
            if int(header.mode) == 2 and (header.mapc, header.mapr, header.maps) == (1, 2, 3):
                return path
    os.makedirs(folder, exist_ok=True)
    stem = re.sub(r"(\.mrc|\.map|\.ccp4|\.gz|\.bz2)+$", "", os.path.basename(path), flags=re.I)
    target = os.path.abspath(os.path.join(folder, (re.sub(r"[^A-Za-z0-9_-]+", "_", stem) or "map") + ".mrc"))
    mrc_writer.write_volume(target, density.data, density)
    return target


def validate(project, request):
    """Import and validate; returns the validation run."""
    from pwem.protocols import ProtImportMask, ProtImportVolumes

    from cryoresdl.models.maps.mrc import mrc_reader
    from cryoresdl.protocols import ProtCryoResValidate

    density, size = request.density, request.density.voxel_size
    folder = os.path.join("Uploads", "demo")
    options = {}
    if request.halves:
        halves = [
            importable(half, mrc_reader.read(half, size, "half map"), folder) for half in request.halves
        ]
        options = {"setHalfMaps": True, "half1map": halves[0], "half2map": halves[1]}
    print(
        "Importing %s (%s voxels of %.4g A) ..."
        % (request.map, "x".join(map(str, density.data.shape[::-1])), size)
    )
    imported = project.newProtocol(
        ProtImportVolumes, filesPath=importable(request.map, density, folder), samplingRate=size, **options
    )
    imported.setObjLabel("import map")
    project.launchProtocol(imported, wait=True)
    if not imported.isFinished():
        return imported

    run = project.newProtocol(ProtCryoResValidate, claimedResolution=request.claimed)
    run.inputVolumes.set(imported)
    run.inputVolumes.setExtended("outputVolume")
    if request.mask:
        mask = mrc_reader.read_values(request.mask, density, "mask")
        masked = project.newProtocol(
            ProtImportMask, maskPath=importable(request.mask, mask, folder), samplingRate=size
        )
        masked.setObjLabel("import mask")
        project.launchProtocol(masked, wait=True)
        if not masked.isFinished():
            return masked
        run.inputMask.set(masked)
        run.inputMask.setExtended("outputMask")
    print("Validating ...")
    project.launchProtocol(run, wait=True)
    return run


def report(project, run):
    """Print the verdict and where everything is."""
    folder = os.path.join(project.path, run.getResultsFolder())
    entry, local = run.getResults()
    print()
    if entry:
        odds = ", ".join(
            "%s %.3f" % (name, entry["probabilities"][name]) for name in ("high", "medium", "low")
        )
        print("Class:             %s (%s)" % (entry["class"], odds))
        if entry["resolution_A"] is not None:
            print("Resolution:        %.2f A%s" % (entry["resolution_A"], _interval(entry["interval_A"])))
        if entry.get("claim"):
            claim = entry["claim"]
            print(
                "Claim of %.2f A:   %s. %s" % (claim["claimed_A"], claim["verdict"], _text(claim["reasons"]))
            )
        for warning in entry.get("warnings") or []:
            print("Warning:           %s" % warning)
    if local:
        print("Local resolution:  median %.2f A" % local["median_A"])
    print()
    print("Local-resolution volume:  %s" % os.path.join(project.path, run.outputResolution.getFileName()))
    print("Numbers:                  %s" % os.path.join(folder, "classification.json"))
    page = os.path.join(folder, "report.html")
    if os.path.exists(page):
        print("Report (in a browser):    %s" % page)
    print()
    print("Open the project in Scipion:  %s project %s" % (_launcher(), project.getShortName()))


def _interval(ends):
    return " (68 %% interval %.2f to %.2f A)" % tuple(ends) if ends else ""


def _text(reasons):
    return reasons if isinstance(reasons, str) else " ".join(reasons)


def _launcher():
    return os.path.join(os.environ.get("SCIPION_HOME", "."), "scipion3")


if __name__ == "__main__":
    sys.exit(main())
