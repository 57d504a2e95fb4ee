"""The example script of the guide, run as its first lines say."""

import contextlib
import os
import re
import runpy
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from cryoresdl.tests.helpers.chain_case import MAPS, ChainCase
from cryoresdl.tests.helpers.scipion_case import ScipionCase, ball, blob, needs_models

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "workflows.py"
needs_script = unittest.skipUnless(SCRIPT.is_file(), "the examples of the guide are only in the checkout")


def check(printed):
    """What the script prints last: the summary and the volume's path."""
    (path,) = re.findall(r"^Local resolution: (.+)$", printed, re.M)
    assert os.path.isfile(path) and "Median local resolution" in printed
    return printed


def started(*words):
    """The script as a user starts it, when it has ended."""
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start(*words):
    """What a run that ends well has printed."""
    done = started(*words)
    assert done.returncode == 0, done.stdout[-3000:]
    return check(done.stdout)


def follow(*words):
    """Run the script in this process, which spares Scipion's start for every run of a protocol."""
    # A real file: the engine's processes write to it, too.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as printed, ScipionCase.inProcess():
        with mock.patch.object(sys, "argv", [str(SCRIPT), *map(str, words)]):
            with contextlib.redirect_stdout(printed):
                runpy.run_path(str(SCRIPT), run_name="__main__")
        printed.seek(0)
        return check(printed.read())


@needs_models
@needs_script
@pytest.mark.slow
class TestScript(ScipionCase):
    def test_validate_one_map_as_a_user_starts_it(self):
        path = self.write("map.mrc", blob())
        words = ["validate", path, "--sampling", "2.0", "--claimed", "5", "--project", "ScriptOne"]
        self.assertIn("Claim of 5.00 A", start(*words))

    def test_train_on_my_labels_and_validate(self):
        for role in ("maps", "labels", "masks"):
            (self.files / role).mkdir()
        # The network needs boxes of 48 or more.
        box = (48, 48, 48)
        inside = ball(box)
        for number in range(3):
            self.write("maps/%d.mrc" % number, blob(number, box=box))
            resolution = 4 + number + 0.2 * np.arange(box[0], dtype=np.float32)[:, None, None]
            self.write("labels/%d.mrc" % number, resolution * inside)
            self.write("masks/%d.mrc" % number, inside)
        words = ["train", "--sampling", 2.0, "--epochs", 1, "--new", self.write("new.mrc", blob(7))]
        for role in ("maps", "labels", "masks"):
            words += ["--" + role, self.files / role]
        self.assertIn("ScriptTrain", start(*words, "--project", "ScriptTrain"))

    def test_what_is_wrong_is_said(self):
        flat = self.write("flat.mrc", np.ones((20, 20, 20), np.float32))
        done = started("validate", flat, "--sampling", 2, "--project", "ScriptBad")
        self.assertEqual(done.returncode, 1)
        self.assertIn("constant", done.stdout.splitlines()[-1])


@needs_models
@needs_script
@pytest.mark.slow
class TestScriptMonoRes(ChainCase):
    def test_monores_then_validation(self):
        try:
            from xmipp3.protocols import XmippProtMonoRes  # noqa: F401
        except Exception as error:
            self.skipTest("scipion-em-xmipp does not import here: %s" % error)
        paths = [str(self.files / (MAPS[0] + part)) for part in ("_map.mrc", "_mask.mrc")]
        words = ["monores", paths[0], "--mask", paths[1], "--sampling", self.voxel[MAPS[0]]]
        printed = follow(*words, "--project", "ScriptMonoRes")
        self.assertIn("MonoRes", printed)
