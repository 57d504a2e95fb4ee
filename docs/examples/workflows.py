"""Three workflows with CryoResDL in Scipion, as a script to start from.

Run it with Scipion's Python; everything that it makes is a normal project, which Scipion opens afterwards:

    scipion3 python workflows.py validate map.mrc --sampling 1.06 --claimed 3.2
    scipion3 python workflows.py monores  map.mrc --mask mask.mrc --sampling 1.06
    scipion3 python workflows.py train    --maps maps/ --labels monores/ --masks masks/ --new map.mrc --sampling 1.06
"""

import argparse
import os
import sys

import pyworkflow as pw

# Scipion serves several fields; this loads the one with volumes and masks. It comes before any other import of it.
pw.Config.setDomain("pwem")

from pwem.protocols import ProtImportMask, ProtImportVolumes  # noqa: E402
from pyworkflow.project import Manager  # noqa: E402

from cryoresdl.protocols import ProtCryoResTrainLocal, ProtCryoResValidate  # noqa: E402


def main():
    """Make a project and run the chosen workflow in it."""
    args = read_arguments()
    # A project is a folder below Scipion's data folder. Paths inside a project count from it, hence the chdir;
    # read_arguments has made the given ones absolute before.
    project = Manager().createProject(args.project)
    os.chdir(project.path)
    {"validate": validate_one_map, "monores": monores_and_validate, "train": train_and_validate}[
        args.workflow
    ](project, args)
    print("Project: %s" % project.path)


# ------------------------------------------------------------------------------------------ the workflows


def validate_one_map(project, args):
    """Import a map and validate it."""
    imported = import_map(project, args.map, args.sampling)
    validation = project.newProtocol(ProtCryoResValidate, claimedResolution=args.claimed)
    # An input is a pointer: to the run that makes it, and to the name of that run's output.
    point(validation.inputVolumes, imported, "outputVolume")
    run(project, validation, "validate")
    show(validation)


def monores_and_validate(project, args):
    """Import a map and its mask, run MonoRes, and validate the map beside it. Needs scipion-em-xmipp."""
    from xmipp3.protocols import XmippProtMonoRes

    imported = import_map(project, args.map, args.sampling)
    mask = project.newProtocol(ProtImportMask, maskPath=args.mask, samplingRate=args.sampling)
    run(project, mask, "import mask")

    monores = project.newProtocol(XmippProtMonoRes, maxRes=15.0)
    point(monores.fullMap, imported, "outputVolume")
    point(monores.mask, mask, "outputMask")
    run(project, monores, "MonoRes")

    validation = project.newProtocol(ProtCryoResValidate, claimedResolution=args.claimed)
    point(validation.inputVolumes, imported, "outputVolume")
    point(validation.inputMask, mask, "outputMask")
    # The volume in angstroms, not the smoothed one that MonoRes makes for Chimera.
    point(validation.monoresVolume, monores, "resolution_Volume")
    run(project, validation, "validate")
    show(validation)


def train_and_validate(project, args):
    """Train a network on your own maps and MonoRes volumes, and validate a new map with it.

    The three folders hold one file per map, in the same order of names. Of three or more maps some are kept apart to
    stop the training and to measure the network.
    """
    runs = {}
    for role in ("maps", "labels", "masks"):
        runs[role] = project.newProtocol(
            ProtImportVolumes,
            filesPath=getattr(args, role),
            filesPattern="*.mrc",
            samplingRate=args.sampling,
        )
        run(project, runs[role], "import " + role)

    training = project.newProtocol(
        ProtCryoResTrainLocal,
        labels=0,  # of MonoRes; 1: of ResMap
        network=0,  # the recommended one; 1: the U-Net of the paper
        epochs=args.epochs,
        modelName="mine",
    )
    for role, parameter in (("maps", "inputMaps"), ("labels", "inputLabels"), ("masks", "inputMasks")):
        getattr(training, parameter).append(runs[role].outputVolumes)
    run(project, training, "train")

    imported = import_map(project, args.new, args.sampling)
    # networks=2: the local network only, which is the one that was trained.
    validation = project.newProtocol(ProtCryoResValidate, networks=2)
    point(validation.inputVolumes, imported, "outputVolume")
    point(validation.localModelObject, training, "outputModel")
    run(project, validation, "validate with my network")
    show(validation)


# ---------------------------------------------------------------------------------------------- the tools


def import_map(project, path, sampling):
    """The run that imports one map."""
    return run(
        project,
        project.newProtocol(ProtImportVolumes, filesPath=path, samplingRate=sampling),
        "import " + os.path.basename(path),
    )


def point(pointer, protocol, output):
    """Set an input to the output of an earlier run."""
    pointer.set(protocol)
    pointer.setExtended(output)


def run(project, protocol, label):
    """Check the form as the window does, run, and wait; ends the script when something is wrong."""
    protocol.setObjLabel(label)
    errors = protocol.validate()
    if errors:
        sys.exit("%s: %s" % (label, " ".join(errors)))
    project.launchProtocol(protocol, wait=True)
    if not protocol.isFinished():
        sys.exit("%s failed: %s" % (label, protocol.getErrorMessage()))
    return protocol


def show(validation):
    """Print the summary, and where the volume is."""
    print("\n".join(validation.summary()))
    print("Local resolution: %s" % os.path.abspath(validation.outputResolution.getFileName()))


def read_arguments():
    """The command line; paths become absolute."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workflows = parser.add_subparsers(dest="workflow", required=True)
    for name in ("validate", "monores", "train"):
        own = workflows.add_parser(name)
        own.add_argument("--sampling", type=float, required=True, metavar="A", help="A per voxel")
        own.add_argument("--project", default="cryoresdl_" + name, help="name of the project (%(default)s)")
        if name == "train":
            for role in ("maps", "labels", "masks"):
                own.add_argument("--" + role, type=os.path.abspath, required=True, metavar="FOLDER")
            own.add_argument("--new", type=os.path.abspath, required=True, metavar="MAP")
            own.add_argument("--epochs", type=int, default=100, metavar="N")
            continue
        own.add_argument("map", type=os.path.abspath, metavar="MAP")
        own.add_argument("--claimed", type=float, metavar="A", help="claimed resolution, to be judged")
        if name == "monores":
            own.add_argument("--mask", type=os.path.abspath, required=True, metavar="MASK")
    return parser.parse_args()


if __name__ == "__main__":
    main()
