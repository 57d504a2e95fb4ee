"""The Scipion plugin: which interpreter runs the engine, in which environment, and how that one is built."""

import os
import shlex
import shutil
import subprocess
import sys

import pwem
from pyworkflow.constants import RUN_JOB_GPU_PARAM_SEARCH
from pyworkflow.utils import Environ

from . import __version__
from .models.networks.model_files.model_store import MODELS_VARIABLE

PYTHON_VARIABLE = "CRYORESDL_PYTHON"
HOME_VARIABLE = "CRYORESDL_HOME"
BINARY = "cryoresdl"
BINARY_VERSION = __version__
OLDEST_PYTHON = (3, 10)
"""The oldest Python that TensorFlow and OpenVINO still support."""
CANDIDATES = ("python3.12", "python3.11", "python3.10", "python3")
URL = "https://pypi.org/project/scipion-em-cryoresdl/"


class Plugin(pwem.Plugin):
    """Tells Scipion where the engine runs. By default in Scipion's own environment, if its Python is new enough."""

    _homeVar = HOME_VARIABLE
    _supportedVersions = [BINARY_VERSION]
    _url = URL

    # Scipion asks the module of the class for these two, and finds `cryoresdl.plugin` instead of the package.
    def getName(self):
        return "cryoresdl"

    def getPath(self):
        return os.path.dirname(os.path.abspath(__file__))

    @classmethod
    def _defineVariables(cls):
        cls._defineEmVar(
            HOME_VARIABLE,
            "%s-%s" % (BINARY, BINARY_VERSION),
            description="Folder of the separate environment that 'scipion3 installb cryoresdl' makes.",
        )
        cls._defineVar(
            PYTHON_VARIABLE,
            cls.defaultPython(),
            description="Python (>= 3.10, with TensorFlow) that runs the networks. Default: Scipion's own Python if it "
            "is new enough, otherwise the one that 'scipion3 installb cryoresdl' makes.",
        )
        cls._defineVar(
            MODELS_VARIABLE,
            os.path.join(os.path.expanduser("~"), ".cryoresdl", "models"),
            description="Folder of trained networks that can be chosen by name, besides the shipped ones.",
        )

    @classmethod
    def defaultPython(cls):
        """Path of the interpreter that runs the engine unless CRYORESDL_PYTHON says otherwise."""
        if sys.version_info >= OLDEST_PYTHON:
            return sys.executable
        return cls.getHome("env", "bin", "python")

    @classmethod
    def getPython(cls):
        """Path of the interpreter that runs the engine."""
        return cls.getVar(PYTHON_VARIABLE) or cls.defaultPython()

    @classmethod
    def isSeparate(cls):
        """True when the engine runs in another interpreter than Scipion."""
        return os.path.abspath(cls.getPython()) != os.path.abspath(sys.executable)

    @classmethod
    def getEnviron(cls):
        """Environment of the engine: Scipion's, less what would leak its packages into another interpreter."""
        environ = Environ(os.environ)
        environ[MODELS_VARIABLE] = cls.getVar(MODELS_VARIABLE, "")
        if cls.isSeparate():
            for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONUSERBASE"):
                environ.pop(name, None)
        return environ

    @classmethod
    def validateInstallation(cls):
        """One sentence when the engine cannot run, for the form and for Scipion's plugin manager."""
        python = cls.getPython()
        if os.path.isfile(python) and os.access(python, os.X_OK):
            return []
        if os.environ.get(PYTHON_VARIABLE):
            remedy = "correct %s in scipion.conf" % PYTHON_VARIABLE
        else:
            remedy = "run 'scipion3 installb %s', or set %s in scipion.conf" % (BINARY, PYTHON_VARIABLE)
        return [
            "CryoResDL needs a Python >= 3.10 to run its networks and there is none at %s: %s."
            % (python, remedy)
        ]

    @classmethod
    def engineCommand(cls, *arguments):
        """Program and arguments for ``Protocol.runJob`` that run one engine command.

        Args:
            *arguments: the words after ``cryoresdl`` on a command line; anything that ``str`` turns into text.

        Returns:
            (program, arguments): two strings that are safe in a shell, whatever the file names hold.
        """
        return quote(cls.getPython()), "-m cryoresdl.models " + " ".join(quote(word) for word in arguments)

    @classmethod
    def defineBinaries(cls, env):
        """The separate environment of ``scipion3 installb cryoresdl``: a newer Python's venv, without conda.

        It is installed with the plugin only where Scipion's own Python cannot host the networks.
        """
        needed = sys.version_info < OLDEST_PYTHON
        python = find_python()
        flag = "installed"
        if python is None:
            command = (
                "echo 'CryoResDL needs Python 3.10, 3.11 or 3.12 with its venv module: install it (on Debian and "
                "Ubuntu: apt-get install python3 python3-venv) and run this again.' >&2; exit 1"
            )
        else:
            command = " && ".join(
                [
                    "%s -m venv --clear env" % quote(python),
                    "env/bin/python -m pip install --upgrade pip",
                    "env/bin/python -m pip install %s"
                    % " ".join(quote(word) for word in engine_requirements()),
                    # Last and alone: pip would miss Scipion, whose place this environment is not.
                    "env/bin/python -m pip install --no-deps %s"
                    % " ".join(quote(word) for word in distribution()),
                    "env/bin/python -m cryoresdl.models --version",
                    "touch %s" % flag,
                ]
            )
        env.addPackage(
            BINARY,
            version=BINARY_VERSION,
            tar="void.tgz",
            commands=[(command, flag)],
            default=needed,
            neededProgs=[],
        )


def quote(word):
    """Quote one word for the shell, also against Scipion, which fills in GPU numbers where it sees its placeholder."""
    # Two adjacent quoted strings are one word for the shell, but no longer contain the placeholder.
    return shlex.quote(str(word)).replace(RUN_JOB_GPU_PARAM_SEARCH, "%''" + RUN_JOB_GPU_PARAM_SEARCH[1:])


def find_python():
    """Path of a Python that can host the networks and make environments, or None."""
    check = "import sys, venv, ensurepip; sys.exit(not (%r <= sys.version_info[:2] <= (3, 12)))" % (
        OLDEST_PYTHON,
    )
    for name in CANDIDATES:
        path = shutil.which(name)
        if path and subprocess.call([path, "-c", check], stderr=subprocess.DEVNULL) == 0:
            return path
    return None


CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""Folder of the checkout, when this package is used from one."""


def distribution():
    """What pip installs in the separate environment: this checkout (as it changes), or the same release."""
    if os.path.exists(os.path.join(CHECKOUT, "setup.py")):
        return ["-e", CHECKOUT]
    return ["scipion-em-cryoresdl==%s" % __version__]


def engine_requirements():
    """What pip installs for the engine alone: our requirements less Scipion, in the tested versions if known."""
    try:
        from importlib.metadata import requires
    except ImportError:  # Scipion itself brings the backport where the standard library lacks it
        from importlib_metadata import requires
    plain = [text for text in requires("scipion-em-cryoresdl") or [] if "extra ==" not in text]
    wanted = [text.split(";")[0].strip() for text in plain if not text.startswith("scipion-")]
    pins = os.path.join(CHECKOUT, "constraints.txt")
    return wanted + (["-c", pins] if os.path.exists(pins) else [])
