"""A headless Chromium for the tests and pictures of the report, over its DevTools pipe: no driver, no port."""

import atexit
import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = next(
    filter(
        None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"))
    ),
    None,
)
KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "PageUp": 33, "PageDown": 34}


class Browser:
    """One page: load it, ask it, press keys, use the mouse; ``close`` ends it."""

    FLAGS = (
        "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
        "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars "
        "--remote-debugging-pipe"
    ).split()

    def __init__(self, profile=None):
        """Start the browser.

        Args:
            profile: folder for the browser's own files; a temporary one when missing.
        """
        if profile is None:
            profile = tempfile.mkdtemp(prefix="cryoresdl-browser-")
            atexit.register(shutil.rmtree, profile, ignore_errors=True)
        # The browser reads commands from its descriptor 3 and writes answers to its descriptor 4.
        its_in, self._out = os.pipe()
        self._in, its_out = os.pipe()
        words = [CHROMIUM, *self.FLAGS, f"--user-data-dir={profile}", "about:blank"]
        opened = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        self.process = subprocess.Popen(
            ["bash", "-c", opened, "browser", str(its_in), str(its_out), *words],
            pass_fds=[its_in, its_out],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)
        self._buffer, self._number, self.errors = b"", 0, []
        self._session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        """One command of the DevTools protocol; its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next(60)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _next(self, seconds):
        """The next message of the browser."""
        end = time.monotonic() + seconds
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("The browser does not answer.")
            piece = os.read(self._in, 1 << 20)
            if not piece:
                raise ConnectionError("The browser has ended.")
            self._buffer += piece
        message, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        """Keep what the page's console and loader complain about."""
        found = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(found["exceptionDetails"].get("text", "exception"))
        elif event.get("method") == "Runtime.consoleAPICalled" and found.get("type") in ("error", "assert"):
            self.errors.append(str([one.get("value") for one in found.get("args", [])]))
        elif event.get("method") == "Log.entryAdded" and found["entry"].get("level") == "error":
            self.errors.append(found["entry"].get("text", "error"))

    def open(self, url):
        """Load a report and wait until its slice browser, if it has one, is drawn."""
        self.call("Page.navigate", url=url)
        ready = (
            "if (document.readyState !== 'complete') { return false; }"
            "var b = document.getElementById('browser'); return !b || !!b.dataset.slice"
        )
        for _ in range(300):
            if self.run(ready):
                return
            time.sleep(0.1)
        raise TimeoutError(f"{url} is not drawn after 30 s.")

    def run(self, script):
        """The value of a script in the page."""
        found = self.call(
            "Runtime.evaluate", expression=f"(function () {{ {script} }})()", returnByValue=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(f"{script}: {found['exceptionDetails']}")
        return found["result"].get("value")

    def size(self, width, height):
        """Show the page as on a screen of this many pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def key(self, name):
        """Press and release a key, such as ``ArrowRight`` or ``x``."""
        code = KEYS.get(name, ord(name.upper()[0]))
        options = {"key": name, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=name if len(name) == 1 else "", **options)
        self.call("Input.dispatchKeyEvent", type="keyUp", **options)

    def wheel(self, x, y, step):
        """Turn the mouse's wheel at a point of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=step)

    def drag(self, x, y, to_x, to_y):
        """Press the mouse's left button at a point of the window, move, and let go."""
        for kind, at in (("mouseMoved", (x, y)), ("mousePressed", (x, y))):
            self._mouse(kind, *at)
        for part in (0.3, 0.7, 1.0):
            self._mouse("mouseMoved", x + part * (to_x - x), y + part * (to_y - y))
        self._mouse("mouseReleased", to_x, to_y)

    def _mouse(self, kind, x, y):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, whole=False):
        """What is seen, or the whole page, as the bytes of a PNG."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])

    def close(self):
        """End the browser."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for descriptor in (self._in, self._out):
            os.close(descriptor)
