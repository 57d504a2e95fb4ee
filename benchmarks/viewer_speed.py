"""How fast results can be seen: wall-clock time until a viewer shows its first figure, and how fast slices move.

    python benchmarks/viewer_speed.py [--box 256] [--repeat 3]

Makes finished runs of every kind with a box of 256^3 in a Scipion project, and opens their viewers the way the
project window does when *Analyze Results* is pressed: in its own process, which has Scipion and its plugins loaded.
Every kind of figure is timed from the click on its row until its window is drawn; ``first`` is the first figure of a
viewer, with everything that is imported for it, in a process that has shown none yet. It needs Xvfb and Scipion.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
FIRST_LIMIT_S, SLICES_PER_S = 2.0, 10.0
RUNS = (
    ("ProtCryoResValidate", "results", "validation"),
    ("ProtCryoResCompare", "results", "comparison"),
    ("ProtCryoResSimulate", "map_00000", "simulation"),
    ("ProtCryoResTrainLocal", "training", "training"),
)


def main():
    """Measure in fresh processes and print the table; the exit code says whether both limits were kept."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--box", type=int, default=256, help="edge of the maps in voxels (256)")
    parser.add_argument("--repeat", type=int, default=3, help="processes per viewer; the median is shown (3)")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(options.one)))
        return 0
    with tempfile.TemporaryDirectory(prefix="cryoresdl-speed-") as home:
        environment(Path(home))
        make_runs(options.box)
        found = {name: [_child(name) for _ in range(options.repeat)] for name, _, _ in RUNS}
    return table(found, options)


def environment(home):
    """A Scipion home of its own and a virtual screen, before Scipion is imported."""
    import scipion

    from cryoresdl.tests.helpers import virtual_screen

    for name in ("home/software/bindings", "home/software/em", "home/config", "data"):
        (home / name).mkdir(parents=True)
    os.environ.update(
        SCIPION_HOME=str(home / "home"),
        SCIPION_USER_DATA=str(home / "data"),
        SCIPION_LOCAL_CONFIG=str(home / "home/config/scipion.conf"),
        SCIPION_NOTIFY="False",
        SCIPION_DOMAIN="pwem",
        SCIPION_HOSTS=str(Path(scipion.__file__).parent / "templates" / "hosts.template"),
        PYTHONPATH=os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        DISPLAY=virtual_screen.display() or "",
    )


def make_runs(box):
    """One finished run of every protocol, with the files that its engine command writes."""
    import pyworkflow as pw
    from pyworkflow.project import Manager
    from pyworkflow.protocol.constants import STATUS_FINISHED

    from cryoresdl import protocols
    from cryoresdl.tests.helpers import made_results

    pw.Config.setDomain("pwem")
    project = Manager().createProject("Speed")
    os.chdir(project.path)
    for name, folder, kind in RUNS:
        run = project.newProtocol(getattr(protocols, name))
        run.setObjLabel(name)
        project.saveProtocol(run)
        run.makePathsAndClean()
        run.setStatus(STATUS_FINISHED)
        run._store()
        target = Path(project.path, run._getExtraPath(folder))
        if kind == "training":
            made_results.training(target, epochs=200)
        elif kind == "simulation":
            made_results.simulation(target, box=(box,) * 3)
        else:
            made_results.validation(target, box=(box,) * 3)
    project.closeMapper() if hasattr(project, "closeMapper") else None


def _child(name):
    words = [sys.executable, __file__, "--one", name]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    return json.loads(done.stdout.strip().splitlines()[-1])


# ------------------------------------------------------------------------------------- in a process of its own


def measure(name):
    """Times of one viewer, in seconds: ``form`` (until its window is there) and one entry per figure."""
    import pyworkflow as pw
    from pyworkflow.gui.project import ProjectWindow
    from pyworkflow.project import Manager
    from pyworkflow.viewer import DESKTOP_TKINTER

    pw.Config.setDomain("pwem")
    window = ProjectWindow(Manager().getProjectPath("Speed"))
    window.root.update()
    run = next(run for run in window.project.getRuns() if run.getClassName() == name)
    found = {"figures": {}, "scroll": {}}
    start = now()
    viewer = pw.Config.getDomain().findViewers(run, DESKTOP_TKINTER)[0](
        project=window.project, protocol=run, parent=window
    )
    _open_form(viewer, run, window)
    found["form"] = since(start)
    for _, rows in viewer._figures:
        for kind, _, _ in rows:
            param = viewer.paramOf(kind)
            start = now()
            view = viewer._getVisualizeDict()[param](param)[0]
            view.show()
            _wait(view, window.root)
            found["figures"][kind] = since(start)
            if hasattr(view, "showSlice"):
                found["scroll"][kind] = {axis: _scroll(view, axis, window.root) for axis in "zyx"}
            view.window.destroy()
    return found


def now():
    """Wall-clock and processor time of this process (s)."""
    return time.perf_counter(), time.process_time()


def since(start):
    """Both, since ``start``."""
    return tuple(then - first for then, first in zip(now(), start))


def _open_form(viewer, run, window):
    """The viewer's form, without the main loop that the project window already has."""
    from pyworkflow.gui.form import FormWindow

    show = FormWindow.show
    FormWindow.show = lambda self, *a, **k: (self.root.deiconify(), self.root.update())
    try:
        viewer.visualize(run, windows=window)
    finally:
        FormWindow.show = show


def _wait(view, root):
    """Process events until the figure is on the screen."""
    drawn = []
    view.canvas.mpl_connect("draw_event", lambda event: drawn.append(1))
    end = time.perf_counter() + 30
    while not drawn and time.perf_counter() < end:
        root.update()
    root.update()


def _scroll(view, axis, root):
    """Slices per second along an axis, each drawn before the next."""
    view._axis.set(axis)
    view._onAxis()
    root.update()
    count = min(60, view.slices.count - 2)
    first = (view.slices.count - count) // 2
    start = time.perf_counter()
    for index in range(first, first + count):
        view._slider.set(index + 1)
        root.update()
    return count / (time.perf_counter() - start)


# -------------------------------------------------------------------------------------------------- the table


def table(found, options):
    """Print medians; 1 when a limit is missed."""
    import statistics

    kept = True
    print("box %d^3, median of %d processes\n" % (options.box, options.repeat))
    print(
        "%-12s %-14s %8s %8s   %s"
        % ("viewer", "figure", "wall s", "CPU s", "slices per second along z, y, x")
    )
    for name, runs in found.items():
        short = name.replace("ProtCryoRes", "")
        form, work = (statistics.median(run["form"][clock] for run in runs) for clock in (0, 1))
        print("%-12s %-14s %8.2f %8.2f" % (short, "(its form)", form, work))
        for number, kind in enumerate(runs[0]["figures"]):
            seconds, work = (
                statistics.median(run["figures"][kind][clock] for run in runs) for clock in (0, 1)
            )
            speeds = [
                statistics.median(run["scroll"][kind][axis] for run in runs)
                for axis in "zyx"
                if kind in runs[0]["scroll"]
            ]
            mark = "  first" if number == 0 else ""
            speed = "  ".join("%5.0f" % one for one in speeds)
            print("%-12s %-14s %8.2f %8.2f   %s%s" % ("", kind, seconds, work, speed, mark))
            kept &= seconds + (form if number == 0 else 0) <= FIRST_LIMIT_S and all(
                speed >= SLICES_PER_S for speed in speeds
            )
    print(
        "\nLimits: form and first figure together %.0f s, every figure %.0f s, %.0f slices per second: %s"
        % (FIRST_LIMIT_S, FIRST_LIMIT_S, SLICES_PER_S, "kept" if kept else "MISSED")
    )
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
