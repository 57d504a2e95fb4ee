"""What a checkout promises besides the package: benchmarks that keep their figures, and CI that runs everything."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(not (ROOT / ".ci" / "run").is_file(), reason="only in a checkout")


@pytest.fixture
def benchmark(monkeypatch):
    """Loads a benchmark as the module that its command runs."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))

    def load(name):
        spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_a_worse_figure_is_a_regression_and_a_better_one_is_not(benchmark, capsys):
    regression = benchmark("regression")
    figure = {"value": 10.0, "better": "lower", "tolerance": 0.25, "group": "start"}
    share = {"value": 0.8, "better": "higher", "tolerance": 0.25, "group": "start"}
    assert regression.judge(12, figure) == (1.2, True) and regression.judge(13, figure) == (1.3, False)
    assert regression.judge(0.9, share)[1] and not regression.judge(0.6, share)[1]
    accepted = {"time": figure, "share": share}
    now = {"time": {**figure, "value": 5.0}, "share": {**share, "value": 0.5}}
    assert not regression.compare(now, accepted) and "REGRESSION" in capsys.readouterr().out
    assert not regression.compare({"time": figure}, accepted)  # a figure that is no longer measured
    assert regression.compare({"time": figure, "share": share, "new": figure}, accepted)


def test_the_accepted_figures_are_whole(benchmark):
    regression = benchmark("regression")
    stored = json.loads(regression.ACCEPTED.read_text())
    assert stored["machine"] and "numpy" in stored["versions"]
    assert {row["group"] for row in stored["figures"].values()} == set(regression.GROUPS)
    for label, row in stored["figures"].items():
        assert row["value"] > 0 and 0 < row["tolerance"] < 1 and row["better"] in ("lower", "higher"), label


def test_the_promised_memory_grows_as_stated(benchmark):
    speed = benchmark("inference_speed")
    mega = 1 << 20
    assert speed.promised_mb(0, 0) == 200
    assert speed.promised_mb(100 * mega, mega) == pytest.approx(200 + 1200 + 28 + 130)
    assert speed.promised_mb(100 * mega, 50 * mega) == pytest.approx(200 + 1200 + 1400 + 750)
    assert speed.promised_mb(100 * mega, mega, True) - speed.promised_mb(100 * mega, mega) == 12 * 101


def test_a_process_is_measured_from_outside(benchmark):
    common = benchmark("common")
    found = common.process([sys.executable, "-c", "x = bytearray(50 << 20)"])
    assert found.wall > 0 and found.cpu > 0 and 50 < found.peak_mb < 150
    with pytest.raises(RuntimeError, match="ended with 3"):
        common.process([sys.executable, "-c", "raise SystemExit(3)"])
    assert common.spread([3.0, 1.0, 2.0], 1) == "2.0 (1.0-3.0)"


def test_every_benchmark_says_its_command():
    for path in (ROOT / "benchmarks").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "common.py":
            assert f"benchmarks/{path.name}" in text.split('"""')[1], path.name


def test_peers_that_are_not_there_are_named_and_those_that_are_get_their_files(
    benchmark, tmp_path, monkeypatch
):
    """With a stand-in on PATH: the command arrives whole, and its volume is what is read."""
    import numpy as np

    from cryoresdl.models.maps.mrc import mrc_reader

    peers = benchmark("peers")
    fake = tmp_path / "bin" / "xmipp_resolution_monogenic_signal"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" > "$0.words"\nwhile [ "$1" != -o ]; do last=$2; shift; done\n'
        'cp "$(sed -n 2p "$0.words")" "$2/monoresResolutionMap.mrc"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:/usr/bin:/bin")
    found = {peer.name: peer for peer in peers.PEERS}
    assert found["MonoRes"].path() == str(fake) and found["ResMap"].path() is None
    half = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
    peers.write_job(tmp_path, half, -half + 2, np.ones((8, 8, 8), bool), 1.5)
    cost, volume = found["MonoRes"].run(tmp_path, 1.5, 25)
    assert cost.wall > 0 and np.allclose(volume, mrc_reader.read_values(tmp_path / "map.mrc").data)
    words = (fake.parent / (fake.name + ".words")).read_text().splitlines()
    assert words[words.index("--sampling_rate") + 1] == "1.5"
    assert words[words.index("--mask") + 1] == str(tmp_path / "mask.mrc")


@pytest.mark.parametrize("name", [".ci/run", "tools/install.sh", "tools/fresh_scipion.sh"])
def test_scripts_are_executable_and_parse(name):
    path = ROOT / name
    assert os.access(path, os.X_OK)
    shell = "bash" if "bash" in path.read_text().splitlines()[0] else "sh"
    subprocess.run([shell, "-n", str(path)], check=True)


def test_ci_runs_every_stage():
    text = (ROOT / ".ci" / "run").read_text()
    for stage in ("make lint", "make docs", "make demo", "make test", "said_beside"):
        assert re.search(rf'^stage ".*" {re.escape(stage)}', text, re.M), stage
    assert re.search(r'^tools/fresh_scipion\.sh >"\$beside_log" 2>&1 &$', text, re.M)
    assert "CRYORESDL_COMPLETE=1" in text
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {"demo", "test", "install", "lint", "docs", "wheel-test", "bench", "clean", "distclean"} == set(
        targets
    )
