"""A headless Chromium for the tests and pictures of the report: WebDriver over chromedriver's own HTTP interface."""

import atexit
import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


class Browser:
    """The few WebDriver calls that are needed; ``close`` ends it."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --hide-scrollbars"
    ).split()

    def __init__(self, profile=None):
        """Start driver and browser.

        Args:
            profile: folder for the browser's own files; a temporary one when missing.
        """
        if profile is None:
            profile = tempfile.mkdtemp(prefix="cryoresdl-browser-")
            atexit.register(shutil.rmtree, profile, ignore_errors=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.url = f"http://127.0.0.1:{port}/session"
        flags = [*self.FLAGS, f"--user-data-dir={profile}"]
        wanted = {
            "goog:chromeOptions": {"args": flags, "binary": CHROMIUM},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        for attempt in range(50):
            try:
                self.url += "/" + self.call("", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
                return
            except ConnectionError:
                time.sleep(0.2)
            except OSError:
                if attempt == 49:
                    raise
                time.sleep(0.2)

    def call(self, path, body=None):
        """One call of the protocol; its value."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=60) as answer:
            return json.load(answer)["value"]

    def open(self, url):
        """Load a report and wait until its slice browser, if it has one, is drawn."""
        self.call("/url", {"url": url})
        ready = "var b = document.getElementById('browser'); return !b || !!b.dataset.slice"
        for _ in range(100):
            if self.run(ready):
                return
            time.sleep(0.1)

    def run(self, script):
        """The value of a script in the page."""
        return self.call("/execute/sync", {"script": script, "args": []})

    def size(self, width, height):
        """Show the page as on a screen of this many pixels."""
        self.call(
            "/goog/cdp/execute",
            {
                "cmd": "Emulation.setDeviceMetricsOverride",
                "params": {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
            },
        )

    def key(self, code):
        """Press and release a key."""
        keys = [{"type": kind, "value": code} for kind in ("keyDown", "keyUp")]
        self.call("/actions", {"actions": [{"type": "key", "id": "k", "actions": keys}]})

    def drag(self, x, y, to_x, to_y):
        """Press the mouse's left button at a point of the page, move, and let go."""
        steps = [
            {"type": "pointerMove", "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerMove", "x": round(to_x), "y": round(to_y)},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"pointerType": "mouse"}
        self.call(
            "/actions", {"actions": [{"type": "pointer", "id": "m", "parameters": mouse, "actions": steps}]}
        )

    def screenshot(self):
        """What is seen, as the bytes of a PNG."""
        return base64.b64decode(self.call("/screenshot"))

    def close(self):
        """End browser and driver."""
        try:
            urllib.request.urlopen(urllib.request.Request(self.url, method="DELETE"), timeout=10).close()
        finally:
            self.process.terminate()
            self.process.wait(10)
