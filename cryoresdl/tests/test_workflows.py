"""The example script of the guide, run as its first lines say."""

import os
import re
import subprocess
import sys
import unittest
from pathlib import Path

import numpy as np
import pytest

from cryoresdl.tests.scipion_case import ScipionCase, ball, blob, needs_models
from cryoresdl.tests.test_protocols_chain import MAPS, ChainCase

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "examples" / "workflows.py"
needs_script = unittest.skipUnless(SCRIPT.is_file(), "the examples of the guide are only in the checkout")


def follow(*words):
    """Run the script; returns what it printed last: the summary and the paths."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    (path,) = re.findall(r"^Local resolution: (.+)$", done.stdout, re.M)
    assert os.path.isfile(path) and "Median local resolution" in done.stdout
    return done.stdout


@needs_models
@needs_script
@pytest.mark.slow
class TestScript(ScipionCase):
    def test_validate_one_map(self):
        path = self.write("map.mrc", blob())
        printed = follow("validate", path, "--sampling", 2.0, "--claimed", 5, "--project", "ScriptOne")
        self.assertIn("Claim of 5.00 A", printed)

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
        printed = follow(*words, "--project", "ScriptTrain")
        self.assertIn("ScriptTrain", printed)

    def test_what_is_wrong_is_said(self):
        done = subprocess.run(
            [
                sys.executable,
                str(SCRIPT),
                "validate",
                self.write("flat.mrc", np.ones((20, 20, 20), np.float32)),
            ]
            + ["--sampling", "2", "--project", "ScriptBad"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
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
