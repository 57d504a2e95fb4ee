"""Where the tests run: a Scipion home of their own, and the data they may use.

pytest imports this file before any test module, and so before pyworkflow, which reads its settings when imported.
"""

import atexit
import functools
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def _shared():
    chosen = os.environ.get("CRYORESDL_SHARED")
    folder = Path(chosen) if chosen else REPOSITORY.parent / "shared"
    return folder if folder.is_dir() else None


def _isolate():
    """Give Scipion, matplotlib and the engine temporary folders instead of the user's."""
    home = Path(tempfile.mkdtemp(prefix="cryoresdl-tests-"))
    # A debugging session may want to look at the projects afterwards.
    if not os.environ.get("CRYORESDL_KEEP_TESTS"):
        atexit.register(shutil.rmtree, str(home), ignore_errors=True)
    for name in ("home/software/bindings", "home/software/em", "home/config", "data", "matplotlib", "models"):
        (home / name).mkdir(parents=True)
    os.environ.update(
        SCIPION_HOME=str(home / "home"),
        SCIPION_USER_DATA=str(home / "data"),
        SCIPION_LOCAL_CONFIG=str(home / "home/config/scipion.conf"),
        SCIPION_NOTIFY="False",
        SCIPION_TEST_NOSYNC="True",
        SCIPION_DOMAIN="pwem",
        SCIPION_PYTHON=sys.executable,
        MPLBACKEND="Agg",
        MPLCONFIGDIR=str(home / "matplotlib"),
        CRYORESDL_MODELS=str(home / "models"),
        CRYORESDL_PRECISION="f32",
        CRYORESDL_TESTS_HOME=str(home),
    )
    scipion = importlib.util.find_spec("scipion")
    if scipion is not None:
        os.environ["SCIPION_HOSTS"] = str(Path(scipion.origin).parent / "templates" / "hosts.template")
    # Protocols run in processes of their own: what the tests can import, they must be able to import.
    paths = [str(REPOSITORY)] + [str(path) for path in _other_plugins(home)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join(paths + [p for p in [os.environ.get("PYTHONPATH")] if p])


def _other_plugins(home):
    """Folders of the plugins of ResMap and Xmipp that ``make test`` installs aside.

    Xmipp's does not import without its compiled modules; a stand-in for those lies in the shared folder.
    """
    aside = REPOSITORY / ".scipion" / "test-plugins"
    bindings = home / "home/software/bindings"
    folders = [bindings, aside / "resmap"]
    stub = _shared() and _shared() / "scipion" / "xmipp_base_stub.py"
    if stub and stub.is_file() and (aside / "xmipp").is_dir():
        shutil.copyfile(str(stub), str(bindings / "xmipp_base.py"))
        (bindings / "xmippViz.py").write_text("")
        folders.append(aside / "xmipp")
    return [folder for folder in folders if folder.is_dir()]


_isolate()

LONG = (
    "test_protocols_validate",
    "test_protocols_train",
    "test_recipes",
    "test_protocols_sets",
    "test_protocols_others",
    "test_protocols_inputs",
    "test_default_networks",
    "test_model_check",
    "test_map_corrections",
    "test_audit",
    "test_figures",
    "test_report",
)
"""Files that take longest: they begin first, so that no worker is alone with one of them at the end."""
OTHER_PROCESSES = ("test_protocols_", "test_workflows")
"""Files whose engine runs in processes of its own: tracing what runs here takes time and tells nothing."""


def pytest_collection_modifyitems(items):
    """Long files first; coverage of the engine is not looked for where it does not run."""
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))
    for item in items:
        if item.path.stem.startswith(OTHER_PROCESSES):
            item.add_marker("no_cover")


# A run in the background ignores Ctrl-C, and so would the programs whose answer to it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared():
    """The project's folder of real maps and recorded results; users do not have it."""
    folder = _shared()
    if folder is None:
        pytest.skip("needs the project's shared data (set CRYORESDL_SHARED)")
    return folder


@pytest.fixture(autouse=True, scope="session")
def _untraced_drawing():
    """Coverage looks away while matplotlib draws: none of our code runs there, and tracing doubles the time."""
    if sys.gettrace() is None:
        yield
        return
    from matplotlib.figure import Figure

    def untraced(draw):
        @functools.wraps(draw)
        def call(*args, **options):
            tracer = sys.gettrace()
            sys.settrace(None)
            try:
                return draw(*args, **options)
            finally:
                sys.settrace(tracer)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("savefig", "draw", "draw_without_rendering"):
            patch.setattr(Figure, name, untraced(getattr(Figure, name)))
        yield


@pytest.fixture(autouse=True)
def _where_we_were():
    """Scipion's test projects change the working directory; give every test its own back."""
    here = os.getcwd()
    yield
    os.chdir(here)


@pytest.fixture(autouse=True)
def heard():
    """A command run with ``--quiet`` in one test silences no other."""
    from cryoresdl.models.base import progress

    progress.set_quiet(False)


@pytest.fixture
def instant_engine(monkeypatch, request):
    """No networks: every map is answered at once, but for tests that want the real engine."""
    from cryoresdl.tests.helpers import quick_engine

    if "real_engine" not in request.keywords:
        quick_engine.instant(monkeypatch)
