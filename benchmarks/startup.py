"""What it costs to start: the commands that users wait for although they compute nothing, and the imports behind them.

    python benchmarks/startup.py [--repeats 5] [--json FILE]

Every figure is a process of its own; the interpreter's own start is in all of them and is the first row.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import common

from cryoresdl.models.maps.mrc import mrc_reader

SAMPLE = Path(mrc_reader.__file__).resolve().parents[3] / "data" / "sample_map.mrc"


def jobs(folder: str) -> dict[str, list]:
    """Label -> words after the interpreter."""
    engine = ["-m", "cryoresdl.models"]
    found = {
        "python -c pass": ["-c", "pass"],
        "import numpy": ["-c", "import numpy"],
        "cryoresdl --version": [*engine, "--version"],
        "cryoresdl --help": [*engine, "--help"],
        "cryoresdl localres --help": [*engine, "localres", "--help"],
        "cryoresdl models": [*engine, "models"],
        "bad input (exit 2)": ["-c", BAD],
        "cryoresdl localres, 64^3": [*engine, "localres", SAMPLE, "--out", folder, "--overwrite", "--quiet"],
        "cryoresdl classify, 64^3": [*engine, "classify", SAMPLE, "--out", folder, "--overwrite", "--quiet"],
        "import openvino": ["-c", "import openvino"],
        "import tensorflow": ["-c", "import os; os.environ['TF_CPP_MIN_LOG_LEVEL'] = '3'; import tensorflow"],
        "import matplotlib.figure": ["-c", "import matplotlib.figure"],
        "import the Scipion plugin": [
            "-c",
            "import pyworkflow as pw; pw.Config.setDomain('pwem'); import cryoresdl.protocols",
        ],
        "import pwem alone": [
            "-c",
            "import pyworkflow as pw; pw.Config.setDomain('pwem'); import pwem.protocols",
        ],
    }
    return found


BAD = "import sys; from cryoresdl.models import cli; sys.exit(cli.main(['localres', '/no/such.mrc', '--out', 'x']) != 2)"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    common.heading(f"Start-up cost, n = {args.repeats}", "openvino", "tensorflow-cpu", "tensorflow")
    print("                              wall s               CPU s              peak MB")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for label, words in jobs(folder).items():
            try:
                common.process([sys.executable, *words])  # files in the disk's cache
                runs = [common.process([sys.executable, *words]) for _ in range(args.repeats)]
            except RuntimeError as error:
                print(f"{label:28s}  not measured: {error}")
                continue
            found[label] = {"wall": [r.wall for r in runs], "cpu": [r.cpu for r in runs]}
            peak = max(r.peak_mb for r in runs)
            print(
                f"{label:28s}  {common.spread(found[label]['wall']):20s} {common.spread(found[label]['cpu']):18s} {peak:7.0f}",
                flush=True,
            )
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
