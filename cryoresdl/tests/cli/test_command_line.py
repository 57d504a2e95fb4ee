"""The command line's contract, seen from outside: codes, sentences, signals, start-up."""

import ast
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import cryoresdl
from cryoresdl.models.base.errors import CryoResError, InputError
from cryoresdl.models.cli import argument_types, command_line

ENGINE = [sys.executable, "-m", "cryoresdl.models"]


def heads(name):
    """HELP and EXAMPLE of a command module, without importing it."""
    path = Path(command_line.__file__).parent / "commands" / f"{name}.py"
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("HELP", "EXAMPLE")
    }


@pytest.fixture
def command(monkeypatch):
    """Replace ``models`` by a command whose run the test chooses."""

    def replace(run, add=lambda parser: None, name="models"):
        module = SimpleNamespace(HELP="h", EXAMPLE="e", add_arguments=add, run=run, __doc__="Does.")
        monkeypatch.setattr(command_line, "load_command", lambda _: module)
        return name

    return replace


WORDS = {"dataset": ["dataset", "features"]}
"""What stands before the options of a command, where it is more than its name."""


class TestWords:
    def test_version(self, capsys):
        assert command_line.main(["--version"]) == 0
        assert capsys.readouterr().out == f"cryoresdl {cryoresdl.__version__}\n"

    def test_help_names_every_command(self, capsys):
        assert command_line.main(["--help"]) == 0
        said = capsys.readouterr().out
        assert all(name in said for name in command_line.COMMANDS) and "example:" in said

    def test_nothing(self, capsys):
        assert command_line.main([]) == 2
        assert "usage" in capsys.readouterr().out

    @pytest.mark.parametrize(
        "words",
        [["nonsense"], ["--nonsense"], ["models", "--nonsense"], ["validate"], ["validate", "a", "--out"]],
    )
    def test_bad_usage_is_one_line(self, words, capsys):
        assert command_line.main(words) == 2
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == 1 and "--help" in said.err and not said.out

    @pytest.mark.parametrize("name", list(command_line.COMMANDS))
    def test_the_table_agrees_with_the_modules(self, name):
        found = heads(name)
        assert found["HELP"] == command_line.COMMANDS[name]
        assert found["EXAMPLE"].startswith(f"cryoresdl {name}")

    def test_every_module_is_in_the_tables(self):
        assert set(command_line.OBEYED) == set(command_line.COMMANDS)
        folder = Path(command_line.__file__).parent / "commands"
        assert {path.stem for path in folder.glob("[!_]*.py")} == set(command_line.COMMANDS)

    @pytest.mark.parametrize("name", list(command_line.COMMANDS))
    def test_help_of_every_command(self, name, capsys):
        assert command_line.main([*WORDS.get(name, [name]), "--help"]) == 0
        said = capsys.readouterr().out
        assert "example: cryoresdl" in said
        for option in ("overwrite", "resume", "seed"):
            assert (f"--{option} " in said) == (
                option in command_line.OBEYED[name] or (name, option) == ("models", "overwrite")
            )
        assert "--quiet" in said and "--version" in said

    def test_replacing_and_going_on_exclude_each_other(self, tmp_path, capsys):
        for name, options in command_line.OBEYED.items():
            if {"overwrite", "resume"} <= set(options):
                assert command_line.main([*WORDS.get(name, [name]), "--overwrite", "--resume"]) == 2
                assert "not allowed with argument" in capsys.readouterr().err

    @pytest.mark.parametrize(
        "words",
        [["validate", "a.mrc"], ["plot", "slices", "."], ["compare", "a.mrc", "b.mrc"]],
    )
    def test_an_empty_out_is_refused(self, words, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        for empty in ("", " "):
            assert command_line.main([*words, "--out", empty]) == 2
            assert "--out is empty" in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_numbers(self):
        assert (
            argument_types.positive("3.2") == 3.2
            and argument_types.number("-1") == -1
            and argument_types.count("4") == 4
        )
        for kind, bad in (
            (argument_types.positive, "0"),
            (argument_types.positive, "nan"),
            (argument_types.number, "inf"),
            (argument_types.count, "1.5"),
            (argument_types.count, "-1"),
        ):
            with pytest.raises(Exception, match="not"):
                kind(bad)


class TensorFlowsError(Exception):
    error_code = 8


class TestEndings:
    @pytest.mark.parametrize(
        "error,code,words",
        [
            (InputError("The map a is bad."), 2, ["The map a is bad."]),
            (CryoResError("Did not work."), 1, ["Did not work.", "Log:"]),
            (ValueError("odd\nthing"), 1, ["unexpected", "ValueError: odd thing", "Log:"]),
            (MemoryError(), 1, ["not enough memory"]),
            (OSError(12, "Nicht genug Speicher"), 1, ["not enough memory"]),
            (TensorFlowsError("OOM"), 1, ["not enough memory"]),
            (ValueError("no map named out of memory.mrc"), 1, ["unexpected", "out of memory.mrc"]),
            (OSError(28, "No space left on device", "/x/y"), 2, ["No space left", "/x/y"]),
            (PermissionError(13, "Permission denied"), 2, ["Permission denied"]),
            (OSError(5, "Input/output error"), 1, ["Input/output error", "Log:"]),
            (KeyboardInterrupt(), 130, ["stopped"]),
            (BrokenPipeError(), 141, []),
        ],
    )
    def test_codes_and_sentences(self, command, capsys, error, code, words, monkeypatch, tmp_path):
        monkeypatch.setattr(command_line, "_closed_pipe", lambda: 141)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

        def run(args):
            raise error

        assert command_line.main([command(run)]) == code
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == (1 if words else 0) and "Traceback" not in said.err
        for word in words:
            assert word in said.err
        logs = list(tmp_path.glob("cryoresdl-error-*.log"))
        assert len(logs) == ("Log:" in said.err)
        if logs and code == 1:
            text = logs[0].read_text()
            assert str(logs[0]) in said.err and "Traceback" in text and "models" in text

    def test_no_log_can_be_written(self, command, capsys, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", "/nowhere")

        def run(args):
            raise ValueError

        assert command_line.main([command(run)]) == 1
        assert "no log could be written" in capsys.readouterr().err

    def test_odd_characters_in_the_sentence(self, command, capsys):
        def run(args):
            raise InputError("bad \udcff name\nwith a newline.")

        assert command_line.main([command(run)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1

    def test_a_command_gets_the_common_options_that_it_obeys_and_no_others(self, command):
        seen = []
        assert command_line.main([command(seen.append), "--quiet"]) == 0
        assert seen[0].quiet and not {"overwrite", "resume", "seed", "out"} & set(vars(seen[0]))
        assert command_line.main([command(seen.append, name="report"), "--overwrite"]) == 0
        assert seen[1].overwrite and not hasattr(seen[1], "resume")
        assert command_line.main([command(seen.append, name="report"), "--seed", "1"]) == 2
        assert command_line.main([command(seen.append, name="compare")]) == 2  # --out is required
        from cryoresdl.models.base import progress

        progress.set_quiet(False)

    def test_handlers_are_put_back(self, command):
        before = signal.getsignal(signal.SIGTERM)
        command_line.main([command(lambda args: None)])
        assert signal.getsignal(signal.SIGTERM) is before

    def test_in_a_thread(self, command):
        import threading

        codes = []
        name = command(lambda args: None)
        thread = threading.Thread(target=lambda: codes.append(command_line.main([name])))
        thread.start()
        thread.join()
        assert codes == [0]


class TestFromOutside:
    def test_start_up_is_quick_and_light(self):
        script = (
            "import sys\nfrom cryoresdl.models.cli import main\nmain(['--version'])\nmain(['--help'])\n"
            "heavy = {'numpy', 'scipy', 'tensorflow', 'pyworkflow', 'pwem', 'mrcfile', 'matplotlib'} & set(sys.modules)\n"
            "sys.exit(f'imported {heavy}' if heavy else 0)\n"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        times = []
        for _ in range(3):
            start = time.perf_counter()
            subprocess.run([*ENGINE, "--version"], check=True, capture_output=True)
            times.append(time.perf_counter() - start)
        bare = time.perf_counter()
        subprocess.run([sys.executable, "-c", "pass"], check=True)
        bare = time.perf_counter() - bare
        assert min(times) < max(0.3, 10 * bare)

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_signals_end_promptly(self, number, tmp_path):
        script = (
            "import sys, time\nfrom types import SimpleNamespace\nfrom cryoresdl.models.cli import command_line as cli\n"
            "def run(args):\n    print('running', flush=True)\n    time.sleep(60)\n"
            "cli.load_command = lambda _: SimpleNamespace(HELP='h', EXAMPLE='e', add_arguments=lambda p: 0, run=run)\n"
            "sys.exit(cli.main(['models']))\n"
        )
        words = [sys.executable, "-c", script]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout.readline() == "running\n"
        start = time.monotonic()
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        assert process.returncode == 128 + number and time.monotonic() - start < 5
        assert said.startswith("cryoresdl: stopped") and len(said.splitlines()) == 1

    def test_a_closed_pipe_is_silent(self):
        read, write = os.pipe()
        os.close(read)
        process = subprocess.run([*ENGINE, "--help"], stdout=write, stderr=subprocess.PIPE, text=True)
        os.close(write)
        assert "Traceback" not in process.stderr

    def test_bad_map_from_outside(self, tmp_path):
        (tmp_path / "a.mrc").write_text("no map")
        out = tmp_path / "out"
        for name in ("classify", "localres", "validate"):
            done = subprocess.run(
                [*ENGINE, name, str(tmp_path / "a.mrc"), "--out", str(out)], capture_output=True, text=True
            )
            assert done.returncode == 2, done.stderr
            assert len(done.stderr.splitlines()) == 1 and "Traceback" not in done.stderr
            done = subprocess.run(
                [*ENGINE, name, str(tmp_path / "a.mrc"), "--claimed", "0", "--out", str(out)],
                capture_output=True,
                text=True,
            )
            assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
