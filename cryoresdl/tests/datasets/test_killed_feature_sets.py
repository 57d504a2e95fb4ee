"""A feature set that is killed at any moment and gone on with is, byte for byte, the set of an uninterrupted run."""

import os
import random
import signal
import subprocess
import sys
import time

import psutil
import pytest

from cryoresdl.tests.helpers.feature_sets import write_pdb
from cryoresdl.tests.helpers.small_maps import ball

KILLS = int(os.environ.get("CRYORESDL_KILLS", "3"))


@pytest.fixture
def structures(tmp_path):
    folder = tmp_path / "structures"
    (folder / "pdb").mkdir(parents=True)
    rows = ["id,split,max_extent_A"]
    for k in range(4):
        write_pdb(folder / "pdb" / f"s{k}.pdb.gz", ball(300, 12.0, seed=k))
        rows.append(f"s{k},{'train' if k < 3 else 'validation'},24.0")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.slow
def test_killed_at_any_moment_and_gone_on_with(structures, tmp_path):
    words = [sys.executable, "-m", "cryoresdl.models", "dataset", "features", "--structures", str(structures)]
    words += ["--maps", "3", "1", "0", "--seed", "5", "--quiet", "--resume"]
    subprocess.run([*words, "--out", str(tmp_path / "whole.h5")], check=True)
    out, parts = tmp_path / "killed.h5", tmp_path / "killed.h5.parts"
    chance, killed = random.Random(4), 0
    for number in range(KILLS):
        process = subprocess.Popen([*words, "--workers", str(1 + number % 2), "--out", str(out)])
        wanted = chance.randint(0, 2)
        while process.poll() is None and len(list(parts.glob("*.h5"))) < wanted:
            time.sleep(0.01)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        _, alive = psutil.wait_procs(children, timeout=5)
        assert not alive and not out.exists()
    assert killed == KILLS
    subprocess.run([*words, "--workers", "2", "--out", str(out)], check=True)
    assert out.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert (tmp_path / "killed.json").read_text() == (tmp_path / "whole.json").read_text()
    assert not parts.exists() and not list(tmp_path.glob(".part-*"))
