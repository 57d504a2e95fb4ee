"""The instant engine in place of the networks: in this process and in every process that it starts."""

import os
from pathlib import Path

from cryoresdl.models.inference import global_resolution, local_resolution
from cryoresdl.tests.helpers import fake_engine

QUICK = Path(__file__).parent / "quick"

PROGRAM = (
    "import os, runpy, sys\n"
    f"os.environ['PYTHONPATH'] = os.pathsep.join([{str(QUICK)!r}, os.environ.get('PYTHONPATH', '')])\n"
    f"runpy.run_path({str(QUICK / 'sitecustomize.py')!r})\n"
    "from cryoresdl.models import cli\n"
    "from cryoresdl.models.cli.commands import validate\n"
    "validate._digests = lambda options: ''\n"
    "if __name__ == '__main__':\n    sys.exit(cli.main(sys.argv[1:]))\n"
)
"""The command line with the instant engine, for tests about files and not about networks."""


def instant(monkeypatch):
    """Answer at once from now on."""
    monkeypatch.setattr(local_resolution, "localres", fake_engine.localres)
    monkeypatch.setattr(global_resolution, "classify", fake_engine.classify)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(QUICK), os.environ.get("PYTHONPATH", "")]))
