"""Hostile names and files, on every way through: shells, queue scripts, projects, archives, reports and downloads."""

import html.parser
import http.server
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
import zipfile
from types import SimpleNamespace

import pytest

from cryoresdl.models.base import errors
from cryoresdl.models.networks.model_files import model_archive, model_store
from cryoresdl.models.results import result_files, results_folder
from cryoresdl.models.results.report import build_report, html_page
from cryoresdl.models.structures import structure_download
from cryoresdl.tests.helpers import made_results, small_maps
from cryoresdl.tests.helpers.places import PACKAGE
from cryoresdl.tests.helpers.scipion_case import ScipionCase, blob, needs_models

NAMES = (
    "with space.mrc",
    "single'quote.mrc",
    'double"quote.mrc',
    "semi;colon & more | less.mrc",
    "$(touch owned).mrc",
    "`touch owned`.mrc",
    "100 % %s %(JOB_NAME)s %(GPU)s.mrc",
    "back\\slash\\n.mrc",
    "new\nline\ntouch owned\n.mrc",
    "ünïcode 電顕 \u202e.mrc",
    "-rf",
    "*?[a]{b,c}~!#<>.mrc",
    "</script><script>alert(1)</script>.mrc".replace("/", "\u2215"),
)
SHOW = "import json, sys; open('seen.json', 'w').write(json.dumps(sys.argv[1:]))"


def engine_words(*words):
    """The command line of the engine, with a stand-in that writes down the words that arrive."""
    from cryoresdl.plugin import Plugin, quote

    program, arguments = Plugin.engineCommand(*words)
    return program, arguments.replace("-m cryoresdl.models", "-c " + quote(SHOW), 1)


def test_names_go_through_run_job(tmp_path):
    from pyworkflow.utils.process import runJob

    program, words = engine_words(*NAMES)
    runJob(logging.getLogger("quiet"), program, words, env=None, cwd=str(tmp_path))
    assert json.loads((tmp_path / "seen.json").read_text()) == list(NAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["seen.json"]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_names_go_through_queue_scripts(tmp_path, shell):
    """Scipion fills its queue template with ``%`` and the queue hands the script to a shell."""
    from pyworkflow.protocol.launch import _submit
    from pyworkflow.utils.process import buildRunCommand

    template = (
        "#!/bin/%s\n#SBATCH --job-name=%%(JOB_NAME)s\n#SBATCH --time=01:00:00\n\n%%(JOB_COMMAND)s\n" % shell
    )
    host = SimpleNamespace(
        getSubmitTemplate=lambda: template,
        # As sbatch does: read the script, say a number, run it.
        getSubmitCommand=lambda: shell + " '%(JOB_SCRIPT)s' >&2 && echo Submitted batch job 17",
    )
    program, words = engine_words(*NAMES)
    command = buildRunCommand(program, words, 1, host, None, gpuList=[])
    submit = {"JOB_NAME": "run", "JOB_SCRIPT": str(tmp_path / "run.job"), "JOB_COMMAND": command}
    job, errors = _submit(host, submit, cwd=str(tmp_path))
    assert (job, errors) == (17, None)
    assert json.loads((tmp_path / "seen.json").read_text()) == list(NAMES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.job", "seen.json"]


@needs_models
class TestProject(ScipionCase):
    """A whole protocol on a volume whose name holds everything at once."""

    def test_the_worst_name_is_validated(self):
        from cryoresdl.protocols import ProtCryoResValidate

        worst = "a\nb \"c\" 'd'; $(touch owned) `touch owned` %s %(GPU)s & 電顕 <script>alert(1).mrc"
        path = self.write(worst, blob())
        imported = self.importVolume(self.write("plain.mrc", blob()))
        volume = imported.outputVolume
        volume.setFileName(path)
        imported._store(volume)
        protocol = self.newProtocol(ProtCryoResValidate, networks=2)
        self.point(protocol.inputVolumes, imported, "outputVolume")
        self.assertEqual(protocol.validate(), [])
        self.run_(protocol)
        self.assertTrue(os.path.exists(protocol.outputResolution.getFileName()))
        summary = json.loads(open(protocol._getExtraPath("results", result_files.LOCAL_JSON)).read())
        self.assertEqual(os.path.basename(summary["map"]), worst)
        left = [name for _, folders, files in os.walk(self.proj.path) for name in [*folders, *files]]
        self.assertNotIn("owned", left)
        self.assertNotIn("owned", os.listdir(os.curdir))


class Owned:
    """Unpickling this makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_a_model_file_never_runs_code(tmp_path):
    """A pickle as the file, as the weights, as one array, and code in the array's header: all refused, none run."""
    owned = str(tmp_path / "owned")
    code = pickle.dumps(Owned(owned))
    good = small_maps.save_local_model(tmp_path / "good.cryoresdl")
    with zipfile.ZipFile(good) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}".ljust(117) + b"\n"
    array = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + code
    call = ("{'descr': __import__('os').open(%r, 65), 'fortran_order': False, 'shape': ()}" % owned).encode()
    evil = b"\x93NUMPY\x01\x00" + len(call).to_bytes(2, "little") + call
    bodies = {"file": code}
    for name, body in (("array", array), ("header", evil), ("pickle", code)):
        inner = tmp_path / "inner.zip"
        with zipfile.ZipFile(inner, "w") as archive:
            archive.writestr("w.npy", body)
        bodies[name] = inner.read_bytes()
    bodies["weights"] = code
    for name, weights in bodies.items():
        path = tmp_path / f"{name}.cryoresdl"
        if name == "file":
            path.write_bytes(weights)
        else:
            model_file_with(path, members, weights)
        with pytest.raises(errors.InputError):
            model_store.load_named(path)
        assert not os.path.exists(owned), name
    assert not any(
        "pickle" in line for line in open(model_archive.__file__) if line.startswith(("import", "from"))
    )


def model_file_with(path, members, weights):
    """The same model with other weights and digests that fit them: the attacker writes those too."""
    import hashlib

    manifest = json.loads(members["manifest.json"])
    manifest["files"]["weights.npz"] = {"sha256": hashlib.sha256(weights).hexdigest(), "bytes": len(weights)}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("card.json", members["card.json"])
        archive.writestr("weights.npz", weights)


@pytest.mark.parametrize(
    "name", ["../escaped.npy", "/tmp/escaped.npy", "a/../../escaped.npy", "..\\escaped.npy"]
)
def test_an_archive_writes_nothing_outside_its_folder(tmp_path, name, monkeypatch):
    good = small_maps.save_local_model(tmp_path / "good.cryoresdl")
    with zipfile.ZipFile(good) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    inner = tmp_path / "inner.zip"
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr(name, b"escaped")
    path = tmp_path / "models" / "evil.cryoresdl"
    path.parent.mkdir()
    model_file_with(path, members, inner.read_bytes())
    monkeypatch.setenv(model_store.MODELS_VARIABLE, str(tmp_path / "installed"))
    for read in (model_store.load_named, model_store.install):
        with pytest.raises(errors.InputError):
            read(path)
    found = sorted(str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*") if each.is_file())
    assert found == ["good.cryoresdl", "inner.zip", "models/evil.cryoresdl"]
    assert not os.path.exists("/tmp/escaped.npy")


class Markup(html.parser.HTMLParser):
    """Elements and handlers of a page."""

    def __init__(self):
        super().__init__()
        self.scripts, self.handlers, self.sources = 0, [], []

    def handle_starttag(self, tag, attrs):
        self.scripts += tag == "script"
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_hostile_model_card_is_text_in_the_report(tmp_path, monkeypatch):
    """A model from elsewhere brings its own words into the report: none of them is markup."""
    evil = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'{{ 7*191 }}"
    monkeypatch.setenv(model_store.MODELS_VARIABLE, str(tmp_path / "installed"))
    (tmp_path / "installed").mkdir()
    folder = made_results.validation(tmp_path / "run", box=(6, 7, 8))

    def page_of():
        content = build_report.content(results_folder.ResultsFolder(folder))
        text = html_page.render(content, {})
        page = Markup()
        page.feed(text)
        return page, text

    clean, _ = page_of()
    card = {"kind": "local", "name": "evil", "network": {"name": evil, "config": {evil: evil}}}
    card.update(
        data={evil: evil}, training={"what": evil}, metrics={evil: [evil]}, created=evil, version=evil
    )
    model_archive.save_model(tmp_path / "installed" / "evil.cryoresdl", card, {})
    for name, change in ((result_files.LOCAL_JSON, "evil"), (result_files.CLASSIFICATION_JSON, "evil")):
        value = json.loads((folder / name).read_text())
        for each in value if isinstance(value, list) else [value]:
            each.update(
                model={"name": change, "digest": model_store.digest("evil")}, version=evil, warnings=[evil]
            )
        (folder / name).write_text(json.dumps(value))
    page, text = page_of()
    assert page.scripts == clean.scripts and page.handlers == clean.handlers
    assert all(source.startswith(("data:", "#")) or source in clean.sources for source in page.sources)
    assert "alert(1)" in text and "1337" not in "".join(part for part in text.split('"') if len(part) < 1000)


class Endless(http.server.BaseHTTPRequestHandler):
    """A server whose answer never ends, or that packs gigabytes of nothing."""

    bomb = b""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        try:
            if "bomb" in self.path:
                self.wfile.write(self.bomb)
                return
            for _ in range(10_000):
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    def log_message(self, *_):
        pass


def test_downloads_refuse_endless_answers_and_bombs(tmp_path, monkeypatch):
    import gzip

    monkeypatch.setattr(structure_download, "MAX_BYTES", 1 << 20)
    Endless.bomb = gzip.compress(bytes(20 << 20))
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{running.server_address[1]}/{{id}}.cif.gz"
        failed = structure_download.fetch_all([("endless", ""), ("bomb", "")], tmp_path, url, 2, 0.01, 5)
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
    assert "larger than" in failed["endless"] and "100 times" in failed["bomb"]
    assert not [each for each in tmp_path.iterdir() if each.name != structure_download.CHECKSUMS]


def test_a_checksum_that_does_not_fit_is_refused(tmp_path, monkeypatch):
    """With the list's SHA-256, what another server sends instead never becomes a structure."""
    Endless.bomb = b"ATOM  not what the list promised\n"
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    try:
        url = f"http://127.0.0.1:{running.server_address[1]}/{{id}}.pdb"
        failed = structure_download.fetch_all([("bomb", "ab" * 32)], tmp_path, url, 2, 0.01, 5)
    finally:
        running.shutdown()
        thread.join()
        running.server_close()
    assert "SHA-256" in failed["bomb"] and not list(tmp_path.glob("bomb*"))


def test_no_reader_uses_pickle_eval_or_a_shell():
    """The engine's own text: nothing that turns data into code."""
    forbidden = (
        "pickle.load",
        "allow_pickle=True",
        "eval(",
        "exec(",
        "os.system(",
        "shell=True",
        "extractall(",
    )
    paths = sorted((PACKAGE / "models").rglob("*.py"))
    assert len(paths) > 100
    for path in paths:
        text = path.read_text(encoding="utf-8").replace("ast.literal_eval(", "")
        if path.name == "worker_processes.py":  # reads what its own parent sent through a pipe, and no file
            assert "open(" not in text
            text = text.replace("pickle.loads(", "")
        assert not [word for word in forbidden if word in text], path.name


def test_the_command_line_shows_hostile_names_in_one_line(tmp_path):
    """A missing file with line breaks and terminal codes in its name cannot forge a second message."""
    name = "gone\ncryoresdl: all is well\x1b[2J.mrc"
    done = subprocess.run(
        [sys.executable, "-m", "cryoresdl.models", "localres", name, "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1 and "\x1b" not in done.stderr
