"""The drawing page: draw a digit in a browser, and see at once what networks make of it.

The server listens on 127.0.0.1 and answers its own page only. It refuses other origins, and other
host names: a foreign site can point its own name at 127.0.0.1 (DNS rebinding).
"""

import json
import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from torch import nn

from common import LabError
from common.digits.answer import SIDE, answer


class Server(ThreadingHTTPServer):
    """Listens on 127.0.0.1:`port` (0: any free port). OSError: it cannot."""

    allow_reuse_address = sys.platform != "win32"  # Windows would share a port that is in use
    request_queue_size = 64
    patience = 10.0  # seconds for a connection

    def __init__(self, models: dict[str, nn.Module], port: int) -> None:
        self.models = {name: model.eval() for name, model in models.items()}
        self.models_lock = threading.Lock()  # the hooks of two calls would mix
        self.connections: dict[socket.socket, float] = {}  # and when each began
        super().__init__(("127.0.0.1", port), Handler)
        self.hosts = [f"{name}:{self.server_port}" for name in ("127.0.0.1", "localhost")]

    def service_actions(self) -> None:
        """Twice a second: end the connections of clients that are too slow."""
        for connection, start in list(self.connections.items()):
            if time.monotonic() - start > self.patience:
                with suppress(OSError):  # it ends at this moment
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """A connection with one request."""

    server: Server
    disable_nagle_algorithm = True  # the second packet of an answer does not wait

    def handle(self) -> None:
        """Answer. A client that has gone is no error."""
        self.server.connections[self.connection] = time.monotonic()
        with suppress(OSError):
            super().handle()
        del self.server.connections[self.connection]

    def parse_request(self) -> bool:
        """Read the head of a request, and refuse it whatever its method."""
        if not super().parse_request():
            return False
        hosts, length = self.server.hosts, self.headers.get("Content-Length", "")
        origins = [None, *(f"http://{host}" for host in hosts)]
        refusals = {
            403: self.headers["Host"] not in hosts or self.headers["Origin"] not in origins,
            404: self.path not in ("/", "/digit"),
            405: self.command != ("POST" if self.path == "/digit" else "GET"),
            413: length.isdecimal() and float(length) > SIDE**2,
            400: self.command == "POST" and length != str(SIDE**2),
        }
        status = next((status for status, refused in refusals.items() if refused), None)
        if status is not None:
            self.send_error(status)
        return status is None

    def do_GET(self) -> None:
        self.reply("text/html; charset=utf-8", Path(__file__).with_suffix(".html").read_bytes())

    def do_POST(self) -> None:
        drawing = self.rfile.read(SIDE**2)
        if len(drawing) < SIDE**2:
            return self.send_error(400)
        with self.server.models_lock:
            result = answer(self.server.models, drawing)
        return self.reply("application/json", json.dumps(result).encode())

    def reply(self, content_type: str, body: bytes) -> None:
        """Answer with status 200."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def send_error(self, code: int, *message: str | None) -> None:
        """Refuse, then read the rest: a client that cannot send it would miss the answer."""
        super().send_error(code, *message)
        self.connection.shutdown(socket.SHUT_WR)
        while self.rfile.read(65536):
            pass

    def log_message(self, *_: object) -> None:
        """No line per request."""


def serve(models: dict[str, nn.Module], port: int) -> int:
    """Serve the page for `models`, see `answer`, until Ctrl-C; returns the exit status.

    Raises:
        LabError: the port is in use.
    """
    torch.set_num_threads(1)
    try:
        server = Server(models, port)
    except OSError as error:
        raise LabError(f"cannot open port {port}: {error.strerror}; choose another") from error
    with server:
        print(f"draw at http://127.0.0.1:{server.server_port} (Ctrl-C ends the server)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("interrupted: the page has ended", file=sys.stderr)
        finally:
            server.models_lock.acquire()  # Python must not end while a network runs in a thread
    return 130
