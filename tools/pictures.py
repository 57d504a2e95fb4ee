"""Redraw every picture of the guide with the shipped networks: ``python tools/pictures.py [--data FOLDER]``.

Makes a Scipion project (imports, simulation, validation, comparison, two short trainings), opens its window, every
form, every viewer and every wizard on a virtual screen, the report in a headless Chromium, and writes small PNGs to
docs/images. Run it in an environment that has Scipion, TensorFlow and CryoResDL (``.scipion/scipion3 python
tools/pictures.py`` after ``make install``); it needs Xvfb, Chromium and its driver.

``--data`` names a folder with ``maps`` (recorded results of MonoRes, ResMap and RELION on one map), ``structures/pdb`` (to
simulate) and ``local_resolution`` (maps with recorded MonoRes volumes). ``--keep FOLDER`` keeps the project there and,
where it is already, only draws again.
"""

import argparse
import atexit
import functools
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pictures_shots import MEASURED, draw

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
SAMPLE = ROOT / "cryoresdl" / "data"
PROJECT = "Guide"
STRUCTURES = ("1a3c", "1a82", "1agy", "1dix", "1ema", "1gcq_r_u")
TRIPLES = 10
SCREEN = (1600, 1100)


def main():
    """Build the project, draw, and print what was written; the exit code says whether everything could be drawn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=str(ROOT.parent / "shared"), help="recorded data (../shared)")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the project here; draw again where it is made")
    parser.add_argument(
        "--only", nargs="*", metavar="NAME", help="only these pictures, such as form_validate"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="every screen, into this folder (default: the guide's)"
    )
    options = parser.parse_args()
    home = Path(options.keep or tempfile.mkdtemp(prefix="cryoresdl-pictures-")).absolute()
    if not options.keep:
        atexit.register(shutil.rmtree, str(home), ignore_errors=True)
    settle_in(home)
    sys.path.insert(0, str(ROOT))
    print("project ...", flush=True)
    started = time.time()
    runs = build(home, Path(options.data).absolute())
    print("  %.0f s" % (time.time() - started), flush=True)
    out = Path(options.out or IMAGES).absolute()
    out.mkdir(parents=True, exist_ok=True)
    only = options.only or (None if options.out else shown_in_the_guide())
    return draw(runs, out, only)


def shown_in_the_guide():
    """Names of the pictures that a page of the guide shows."""
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    return sorted(set(re.findall(r"images/(\w+)\.png", pages)))


def settle_in(home):
    """A Scipion home of its own, and a screen of its own, before anything of Scipion is imported."""
    for name in ("home/software/bindings", "home/software/em", "home/config", "data", "matplotlib"):
        (home / name).mkdir(parents=True, exist_ok=True)
    import scipion

    os.environ.update(
        SCIPION_HOME=str(home / "home"),
        SCIPION_USER_DATA=str(home / "data"),
        SCIPION_LOCAL_CONFIG=str(home / "home/config/scipion.conf"),
        SCIPION_NOTIFY="False",
        SCIPION_DOMAIN="pwem",
        SCIPION_PYTHON=sys.executable,
        SCIPION_HOSTS=str(Path(scipion.__file__).parent / "templates" / "hosts.template"),
        MPLCONFIGDIR=str(home / "matplotlib"),
        PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    )
    os.environ["DISPLAY"] = screen()


@functools.lru_cache(maxsize=None)
def screen():
    """Start a virtual screen that lives as long as this process; its name."""
    program = shutil.which("Xvfb")
    if not program:
        sys.exit("Xvfb is missing: apt-get install xvfb")
    reading, writing = os.pipe()
    size = "%dx%dx24" % SCREEN
    words = [program, "-displayfd", str(writing), "-screen", "0", size]
    server = subprocess.Popen(words, pass_fds=[writing], stderr=subprocess.DEVNULL)
    atexit.register(server.kill)
    os.close(writing)
    with os.fdopen(reading) as stream:
        return ":" + stream.readline().strip()


# ------------------------------------------------------------------------------------------------ the project


class Builder:
    """Runs protocols in a project, once: a run whose label is there and finished is taken as it is."""

    def __init__(self, project, uploads):
        self.project = project
        self.uploads = uploads
        self.runs = {run.getObjLabel(): run for run in project.getRuns()}

    def run(self, kind, label, pointers=(), **values):
        """Launch a protocol and wait.

        Args:
            kind: the protocol's class.
            label: its name in the project.
            pointers: parameter -> (run, output name), or a list of those.
            **values: the form's other parameters.
        """
        done = self.runs.get(label)
        if done is not None and done.isFinished():
            return done
        from pyworkflow.object import Pointer

        run = self.project.newProtocol(kind, **values)
        run.setObjLabel(label)
        for name, target in dict(pointers).items():
            if isinstance(target, list):
                getattr(run, name).set([Pointer(one, extended=output) for one, output in target])
            else:
                getattr(run, name).set(target[0])
                getattr(run, name).setExtended(target[1])
        started = time.time()
        self.project.launchProtocol(run, wait=True)
        run = self.project.getProtocol(run.getObjId())
        if not run.isFinished():
            sys.exit("%s failed: %s" % (label, run.getErrorMessage()))
        print("  %-24s %5.1f s" % (label, time.time() - started), flush=True)
        self.runs[label] = run
        return run

    def plain(self, path):
        """An uncompressed copy of a map, as Scipion's imports want it."""
        from cryoresdl.models.maps.mrc import mrc_reader, mrc_writer

        target = self.uploads / (path.name.split(".")[0] + ".mrc")
        if not target.exists():
            volume = mrc_reader.read_values(str(path))
            mrc_writer.write_volume(target, volume.data, volume)
        return str(target)


def build(home, data):
    """The project of the pictures; its runs by label, and the project itself as ``project``."""
    import pyworkflow as pw

    pw.Config.setDomain("pwem")
    from pwem.protocols import ProtImportMask, ProtImportSetOfAtomStructs, ProtImportVolumes
    from pyworkflow.project import Manager

    from cryoresdl import protocols

    manager = Manager()
    project = manager.loadProject(PROJECT) if manager.hasProject(PROJECT) else manager.createProject(PROJECT)
    os.chdir(project.path)
    uploads = home / "uploads"
    uploads.mkdir(exist_ok=True)
    make = Builder(project, uploads)

    halves = {
        name: make.plain(SAMPLE / ("sample_%s.mrc.gz" % part))
        for name, part in (("half1map", "half1"), ("half2map", "half2"))
    }
    sample = make.run(
        ProtImportVolumes,
        "import sample",
        filesPath=str(SAMPLE / "sample_map.mrc"),
        samplingRate=1.05,
        setHalfMaps=True,
        **halves,
    )
    make.run(
        protocols.ProtCryoResValidate,
        "validate",
        {"inputVolumes": (sample, "outputVolume")},
        claimedResolution=3.2,
    )
    _compare(make, data / "maps", protocols, ProtImportMask, ProtImportVolumes)
    _train(make, data / "structures" / "pdb", protocols, ProtImportSetOfAtomStructs)
    _train_local(make, data / "local_resolution", protocols, ProtImportVolumes)
    return dict(make.runs, project=project)


def _compare(make, maps, protocols, import_mask, import_volumes):
    """Beta-galactosidase with the recorded volumes of three programs."""
    stem = "relion_betagal"
    rate = 3.54
    volumes = {}
    for label, part in (("map", ""), ("MonoRes", "_monores"), ("ResMap", "_resmap"), ("RELION", "_locres")):
        found = sorted(maps.glob("%s%s.m*" % (stem, part)))
        volumes[label] = make.run(
            import_volumes, "import " + label, filesPath=make.plain(found[0]), samplingRate=rate
        )
    mask = make.run(
        import_mask, "import mask", maskPath=make.plain(maps / (stem + "_mask.mrc.gz")), samplingRate=rate
    )
    pointers = {
        name.lower() + "Volume": (volumes[name], "outputVolume") for name in ("MonoRes", "ResMap", "RELION")
    }
    validated = make.run(
        protocols.ProtCryoResValidate,
        "validate and compare",
        {"inputVolumes": (volumes["map"], "outputVolume"), "inputMask": (mask, "outputMask"), **pointers},
        claimedResolution=8.9,
    )
    others = [(volumes[name], "outputVolume") for name in ("MonoRes", "ResMap", "RELION")]
    make.run(
        protocols.ProtCryoResCompare,
        "compare",
        {
            "inputVolumes": [(validated, "outputResolution"), *others],
            "inputMask": (mask, "outputMask"),
            "inputMap": (volumes["map"], "outputVolume"),
        },
    )


def _train(make, structures, protocols, import_structures):
    """Simulated maps, and the recommended global network trained on them for a minute."""
    folder = make.uploads / "structures"
    folder.mkdir(exist_ok=True)
    for name in STRUCTURES:
        target = folder / (name + ".pdb")
        if not target.exists():
            with gzip.open(str(structures / (name + ".pdb.gz"))) as source:
                target.write_bytes(source.read())
    atoms = make.run(
        import_structures, "import structures", inputPdbData=1, filesPath=str(folder), filesPattern="*.pdb"
    )
    simulated = make.run(
        protocols.ProtCryoResSimulate,
        "simulate",
        {"inputStructures": (atoms, "outputAtomStructs")},
        resolutions="3 7 12",
        samplingRate=1.3,
        boxSize=72,
    )
    triple = {
        "inputMaps": [(simulated, "outputVolumes")],
        "inputLabels": [(simulated, "outputTruth")],
        "inputMasks": [(simulated, "outputMasks")],
    }
    trained = make.run(protocols.ProtCryoResTrainGlobal, "train global", triple, epochs=40)
    # The shipped local network on the same maps, which it never saw.
    words = ["evaluate", "--data", trained.getData(), "--model", "truth", "--split", "train", "--overwrite"]
    engine = [sys.executable, "-m", "cryoresdl.models", *words, "--quiet", "--out", MEASURED]
    subprocess.run(engine, check=True, stdout=subprocess.DEVNULL)


def _train_local(make, folder, protocols, import_volumes):
    """The recommended local network, trained further on recorded maps with their MonoRes volumes."""
    with open(str(folder / "index.json"), encoding="utf-8") as stream:
        rows = [row for row in json.load(stream) if (row["voxel_A"], row["box"]) == (1.0, 80)]
    runs = {}
    for part in ("map", "monores", "mask"):
        target = make.uploads / "triples"
        target.mkdir(exist_ok=True)
        for row in rows[:TRIPLES]:
            with gzip.open(str(folder / row["id"] / (part + ".mrc.gz"))) as source:
                (target / ("%s_%s.mrc" % (part, row["id"]))).write_bytes(source.read())
        runs[part] = make.run(
            import_volumes,
            "import %ss" % part if part != "monores" else "import MonoRes volumes",
            filesPath=str(target / (part + "_*.mrc")),
            samplingRate=1.0,
        )
    triple = {
        "inputMaps": [(runs["map"], "outputVolumes")],
        "inputLabels": [(runs["monores"], "outputVolumes")],
        "inputMasks": [(runs["mask"], "outputVolumes")],
    }
    make.run(protocols.ProtCryoResTrainLocal, "train local", triple, labels=0, epochs=30)


if __name__ == "__main__":
    sys.exit(main())
