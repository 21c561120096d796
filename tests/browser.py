"""A headless Chromium that a test drives over the Chrome DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/ describes methods and events.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClientConnection, websocket_connect

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # it needs rights that containers lack; the only page is our own
    "--disable-dev-shm-usage",  # small in containers
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--no-proxy-server",
    "--remote-debugging-port=0",  # any free port
)
# Of keys without a letter.
CODES = {"Tab": 9, "Enter": 13, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


class Page:
    """A page of the browser. `errors` has what its scripts and the browser report as wrong."""

    def __init__(self, loop: IOLoop, socket: WebSocketClientConnection) -> None:
        self.loop, self.socket = loop, socket
        self.session: dict[str, str] = {}
        self.calls = 0
        self.errors: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its result."""
        self.calls += 1
        call = {"id": self.calls, "method": method, "params": parameters, **self.session}
        self.loop.run_sync(lambda: self.socket.write_message(json.dumps(call)))
        while True:
            message = json.loads(self.loop.run_sync(self.socket.read_message))
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(message)
            if message.get("id") == self.calls:
                return message["result"]

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression; of a promise, when it is kept."""
        options = {"awaitPromise": True, "returnByValue": True}
        result = self.call("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Return when a JavaScript expression is true; the page looks before it paints."""
        look = f"const look = () => ({condition}) ? done() : requestAnimationFrame(look)"
        self.value(f"new Promise((done) => {{ {look}; look(); }})")

    def mouse(self, *points: tuple[float, float], release: bool = True) -> None:
        """Press the mouse button at the first point, move through the others."""
        for number, point in enumerate(points):
            self.mouse_event("mouseMoved" if number else "mousePressed", point)
        if release:
            self.mouse_event("mouseReleased", points[-1])

    def mouse_event(self, kind: str, point: tuple[float, float]) -> None:
        """One event of the left mouse button."""
        button = {"button": "left", "buttons": int(kind != "mouseReleased"), "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=point[0], y=point[1], **button)

    def touch(self, *points: tuple[float, float]) -> None:
        """Put a finger down, move it through the points, lift it."""
        kinds = ["touchStart", *["touchMove"] * (len(points) - 1)]
        for kind, (x, y) in zip(kinds, points, strict=True):
            self.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, *keys: str, control: bool = False) -> None:
        """Press and release keys, by their names in JavaScript, one after another."""
        for key in keys:
            self.key(key, control=control)

    def key(
        self, key: str, press: bool = True, release: bool = True, control: bool = False
    ) -> None:
        """The events of one key."""
        event = {"key": key, "windowsVirtualKeyCode": CODES.get(key, ord(key[0].upper()))}
        event |= {"modifiers": 2 if control else 0}
        if press:
            text = {"text": "\r"} if key == "Enter" else {}
            self.call("Input.dispatchKeyEvent", type="keyDown", **event, **text)
        if release:
            self.call("Input.dispatchKeyEvent", type="keyUp", **event)


@contextmanager
def browser() -> Iterator[Page]:
    """Start a browser with one page, `about:blank`. It ends with the block."""
    loop = IOLoop(make_current=False)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [PROGRAM, *OPTIONS, f"--user-data-dir={folder}"]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            lines = (line for line in process.stderr if "DevTools listening on" in line)
            line = next(lines, "")
            assert line, "the browser does not start"
            yield Page(loop, loop.run_sync(lambda: websocket_connect(line.split()[-1])))
        finally:
            process.kill()
            process.communicate()
            loop.close(all_fds=True)
