"""The plugin: how it finds its engine, and the words it calls it with."""

import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path
from unittest import mock

import pyworkflow as pw

from cryoresdl.plugin import PYTHON_VARIABLE, Plugin, engine_requirements, find_python, quote

UGLY = [
    "plain.mrc",
    "with space.mrc",
    "single'quote.mrc",
    'double"quote.mrc',
    "semi;colon.mrc",
    "$(touch broken).mrc",
    "`touch broken`.mrc",
    "100 %.mrc",
    "%(GPU)s.mrc",
    "%(GPU)s and %s.mrc",
    "back\\slash.mrc",
    "new\nline.mrc",
    "ünïcode 電顕.mrc",
    "-dash.mrc",
    "*?[a].mrc",
    "~",
]


class TestCommandLine(unittest.TestCase):
    """Protocols run the engine through a shell, and Scipion fills in GPU numbers where it sees its placeholder."""

    def test_any_file_name_arrives_as_it_is(self):
        from pyworkflow.utils.process import buildRunCommand

        program, words = Plugin.engineCommand(*UGLY)
        gpus = [0, 1] if "%(GPU)s" in words or "%(GPU)s" in program else []
        self.assertEqual(gpus, [], "Scipion would format the command with %")
        command = buildRunCommand(program, words, 1, env=None, gpuList=gpus)
        show = "import json, sys; print(json.dumps(sys.argv[1:]))"
        command = command.replace("-m cryoresdl.models", "-c " + quote(show), 1)
        done = subprocess.run(command, shell=True, stdout=subprocess.PIPE, check=True)
        self.assertEqual(json.loads(done.stdout), UGLY)

    def test_numbers_and_paths_are_words(self):
        _, words = Plugin.engineCommand("validate", Path("a b"), "--claimed", 3.2)
        self.assertEqual(words, "-m cryoresdl.models validate 'a b' --claimed 3.2")


class TestPlugin(unittest.TestCase):
    """Which interpreter runs the engine, and what Scipion shows about the plugin."""

    @classmethod
    def setUpClass(cls):
        # Scipion defines the plugin's variables when it discovers it.
        pw.Config.getDomain().getPlugins()

    def test_the_default_is_scipions_own_python_when_it_is_new_enough(self):
        expected = sys.executable if sys.version_info >= (3, 10) else Plugin.getHome("env", "bin", "python")
        self.assertEqual(Plugin.defaultPython(), expected)

    def test_an_old_scipion_python_hands_over_to_the_separate_environment(self):
        with mock.patch("cryoresdl.plugin.sys.version_info", (3, 8, 0)):
            self.assertTrue(Plugin.defaultPython().endswith("env/bin/python"))

    def test_a_separate_interpreter_gets_none_of_scipions_packages(self):
        with mock.patch.dict(Plugin._vars, {PYTHON_VARIABLE: "/somewhere/else/python"}):
            with mock.patch.dict(os.environ, {"PYTHONPATH": "/scipion", "PYTHONHOME": "/x"}):
                environ = Plugin.getEnviron()
        self.assertNotIn("PYTHONPATH", environ)
        self.assertNotIn("PYTHONHOME", environ)

    def test_a_missing_interpreter_is_one_sentence_with_a_remedy(self):
        with mock.patch.dict(Plugin._vars, {PYTHON_VARIABLE: "/no/such/python"}):
            (sentence,) = Plugin.validateInstallation()
        self.assertIn("/no/such/python", sentence)
        self.assertIn("installb cryoresdl", sentence)

    def test_the_separate_environment_holds_the_engine_without_scipion(self):
        wanted = [word for word in engine_requirements() if not word.startswith("-")]
        self.assertFalse([word for word in wanted if word.startswith("scipion")])
        names = " ".join(wanted)
        for name in ("tensorflow", "openvino", "gemmi", "mrcfile", "h5py"):
            self.assertIn(name, names)

    def binaries(self):
        """The package that defineBinaries declares."""
        env = mock.Mock()
        Plugin.defineBinaries(env)
        (call,) = env.addPackage.call_args_list
        ((command, flag),) = call[1]["commands"]
        return command, flag, call[1]["default"]

    def test_the_environment_is_built_without_conda_and_marked_when_whole(self):
        with mock.patch("cryoresdl.plugin.find_python", return_value="/opt/new python/bin/python3.11"):
            command, flag, _ = self.binaries()
        self.assertTrue(command.startswith("'/opt/new python/bin/python3.11' -m venv"))
        self.assertTrue(command.endswith("touch " + flag))
        self.assertNotIn("conda", command)

    def test_building_it_really_runs_these_commands(self):
        """With a stand-in for pip: the shell syntax, the order and the marker are real."""
        python = find_python()
        if python is None:
            self.skipTest("needs Python 3.10 to 3.12 with venv")
        command, flag, _ = self.binaries()
        folder = Path(os.environ["SCIPION_USER_DATA"]) / "binaries"
        shutil.rmtree(str(folder), ignore_errors=True)
        (folder / "env" / "bin").mkdir(parents=True)
        log = folder / "log"
        fake = folder / "env" / "bin" / "python"
        fake.write_text('#!/bin/sh\necho "$@" >> %s\n' % log)
        fake.chmod(0o755)
        command = command.replace("%s -m venv --clear env" % quote(python), "true", 1)
        subprocess.run(command, shell=True, cwd=str(folder), check=True)
        lines = log.read_text().splitlines()
        self.assertTrue(lines[1].startswith("-m pip install") and "tensorflow" in lines[1])
        self.assertTrue(lines[2].startswith("-m pip install --no-deps"))
        self.assertTrue((folder / flag).exists())

    def test_without_a_newer_python_it_says_what_to_install(self):
        with mock.patch("cryoresdl.plugin.find_python", return_value=None):
            command, _, _ = self.binaries()
        done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("apt-get install", done.stderr)
