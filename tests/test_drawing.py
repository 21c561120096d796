"""The drawing page: the server by real requests, the page in a real browser."""

import base64
import http.client
import json
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from browser import PROGRAM, Page, browser
from conftest import ROOT, heed_signals
from PIL import Image, ImageDraw
from torch import Tensor, nn

from common import LabError
from common.digits.answer import LAYERS, SIDE, answer
from common.digits.drawing import Server, serve
from common.digits.prepare import prepare
from common.models.lenet1998 import LeNet5_1998
from common.models.networks import MLP, LeNet5

LINE = ((60, 60), (200, 60), (100, 240))  # a seven: x, y


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    """Networks with fixed random weights."""
    torch.manual_seed(1)
    networks = {"MLP": MLP(20), "LeNet-5 (1998)": LeNet5_1998(), "LeNet-5 (today)": LeNet5()}
    return {name: network.eval() for name, network in networks.items()}


class WaitingServer(Server):
    """It ends after all its threads, so that no error of theirs is missed."""

    daemon_threads = False

    def server_close(self) -> None:
        """End the connections that are open: a browser opens some in advance."""
        self.patience = -1
        self.service_actions()
        super().server_close()


@pytest.fixture
def server(models: dict[str, nn.Module], capfd: pytest.CaptureFixture) -> Iterator[Server]:
    """A running server, which may print nothing."""
    with WaitingServer(models, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    assert capfd.readouterr() == ("", "")


def drawing(*points: tuple[int, int]) -> bytes:
    """A stroke through `points`, as the page sends it."""
    image = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(image).line(points, 255, 24, "curve")
    return image.tobytes()


def ask(
    server: Server, method: str = "POST", path: str = "/digit", body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    """Status and body of the answer to a request."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    return response.status, response.read()


def image_and_probabilities(
    models: dict[str, nn.Module], pixels: bytes | list[int]
) -> tuple[np.ndarray, dict[str, Tensor]]:
    """The prepared image and each network's probabilities, float32 (10,), for a drawing."""
    ink = np.array(list(pixels), np.float32).reshape(SIDE, SIDE) / 255
    image = prepare(ink)
    x = (torch.from_numpy(image).float().div(255) - 0.1307) / 0.3081
    with torch.inference_mode():
        scores = {name: model(x.view(1, 1, 28, 28)) for name, model in models.items()}
    return image, {name: values.softmax(1)[0] for name, values in scores.items()}


def decoded(images: dict) -> np.ndarray:
    """Images of an answer: uint8 (N, H, W)."""
    return np.frombuffer(base64.b64decode(images["pixels"]), np.uint8).reshape(images["shape"])


def test_the_answer_is_what_the_networks_compute(
    server: Server, models: dict[str, nn.Module]
) -> None:
    status, body = ask(server, body=drawing(*LINE))
    assert status == 200
    result = json.loads(body)
    image, probabilities = image_and_probabilities(models, drawing(*LINE))
    assert (decoded(result["image"]) == image).all()
    assert [network["name"] for network in result["networks"]] == list(models)
    for network in result["networks"]:
        expected = probabilities[network["name"]].tolist()
        assert network["probabilities"] == pytest.approx(expected, abs=1e-6)
    mlp, *lenets = result["networks"]
    assert mlp["layers"] == {}
    for network in lenets:
        shapes = {layer: images["shape"] for layer, images in network["layers"].items()}
        sizes = [[6, 28, 28], [6, 14, 14], [16, 10, 10], [16, 5, 5]]
        assert shapes == dict(zip(LAYERS, sizes, strict=True))
        for images in network["layers"].values():
            assert (decoded(images).min(), decoded(images).max()) == (0, 255)


def test_feature_maps_are_those_after_the_activation(models: dict[str, nn.Module]) -> None:
    model = models["LeNet-5 (1998)"]
    image, _ = image_and_probabilities(models, drawing(*LINE))
    x = (torch.from_numpy(image).float().div(255).view(1, 1, 28, 28) - 0.1307) / 0.3081
    with torch.inference_mode():
        c1 = model.C1_act(model.C1(model.input(x)))
        s2 = model.S2_act(model.S2(c1))[0].numpy()
    layers = answer({"": model}, drawing(*LINE))["networks"][0]["layers"]
    expected = 255 * (s2 - s2.min()) / (s2.max() - s2.min())
    assert decoded(layers["S2"]) == pytest.approx(expected, abs=1.01)
    assert not model.S2_act._forward_hooks  # they would pile up


def test_paper_all_ink_and_one_grey_pixel_are_answered(server: Server) -> None:
    for pixels in (bytes(SIDE**2), bytes([255]) * SIDE**2, bytes([1]) + bytes(SIDE**2 - 1)):
        assert ask(server, body=pixels)[0] == 200


def test_the_page_is_one_file(server: Server) -> None:
    status, body = ask(server, "GET", "/")
    assert status == 200
    assert body == (ROOT / "common" / "digits" / "drawing.html").read_bytes()
    assert b"http" not in body  # nothing from elsewhere


REFUSED = [
    (413, "POST", "/digit", SIDE**2 + 1, {}),
    (413, "POST", "/digit", 20_000_000, {}),
    (413, "POST", "/digit", 0, {"Content-Length": "9" * 5000}),
    (400, "POST", "/digit", SIDE**2 - 1, {}),
    (400, "POST", "/digit", 0, {}),
    (400, "POST", "/digit", 0, {"Content-Length": "-1"}),
    (400, "POST", "/digit", 0, {"Content-Length": "many"}),
    (400, "POST", "/digit", 0, {"Content-Length": "\u00b2"}),  # a digit in Unicode
    (403, "POST", "/digit", SIDE**2, {"Host": "evil.example"}),
    (403, "POST", "/digit", SIDE**2, {"Host": "127.0.0.1"}),
    (403, "GET", "/", 0, {"Host": "evil.example:8000"}),
    (403, "POST", "/digit", SIDE**2, {"Origin": "http://evil.example"}),
    (403, "POST", "/digit", SIDE**2, {"Origin": "null"}),
    (404, "GET", "/../README.txt", 0, {}),
    (404, "GET", "/drawing.html", 0, {}),
    (404, "BREW", "/coffee", 0, {}),
    (405, "GET", "/digit", 0, {}),
    (405, "POST", "/", 0, {}),
    (405, "HEAD", "/", 0, {}),
    (405, "OPTIONS", "/digit", 0, {}),
    (405, "BREW", "/", 0, {}),
]


@pytest.mark.parametrize(("status", "method", "path", "size", "headers"), REFUSED)
def test_refusals(
    server: Server, status: int, method: str, path: str, size: int, headers: dict[str, str]
) -> None:
    assert ask(server, method, path, bytes(size), **headers)[0] == status
    assert ask(server, body=drawing(*LINE))[0] == 200


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_own_host_names_and_origins_are_answered(server: Server, name: str) -> None:
    host = f"{name}:{server.server_port}"
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, body=drawing(*LINE), Host=host, Origin=f"http://{host}")[0] == 200


@pytest.mark.parametrize(
    "head",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n",  # TLS
        b"GET /" + b"x" * 70_000 + b"\n",
        b"GET / HTTP/1.0\r\n" + b"X-Header: x\r\n" * 200 + b"\r\n",
        b"GET / HTTP/1.0\r\nX-Header: " + b"x" * 70_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",  # HTTP/0.9: no host
        b"POST /digit HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
    ids=range(7),
)
def test_malformed_requests_have_a_status(server: Server, head: bytes) -> None:
    with socket.create_connection(server.server_address) as client:
        client.sendall(head)
        client.shutdown(socket.SHUT_WR)
        answered = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"Error code: 4" in answered or b"Error code: 5" in answered


def test_a_truncated_drawing_is_refused(server: Server) -> None:
    with socket.create_connection(server.server_address) as client:
        client.sendall(head_of_post(server) + bytes(1000))
        client.shutdown(socket.SHUT_WR)
        assert client.recv(65536).startswith(b"HTTP/1.0 400")


def head_of_post(server: Server) -> bytes:
    """The head of a drawing's request."""
    host = f"127.0.0.1:{server.server_port}"
    return f"POST /digit HTTP/1.1\r\nHost: {host}\r\nContent-Length: {SIDE**2}\r\n\r\n".encode()


def test_twenty_at_once_have_their_own_answers(
    server: Server, models: dict[str, nn.Module]
) -> None:
    drawings = [drawing((20, 20 + 10 * n), (200, 60), (100 + 5 * n, 240)) for n in range(20)]
    together = threading.Barrier(20)

    def answered(pixels: bytes) -> tuple[int, bytes]:
        together.wait()
        return ask(server, body=pixels)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(answered, drawings))
    for pixels, (status, body) in zip(drawings, answers, strict=True):
        assert status == 200
        assert json.loads(body) == answer(models, pixels)


@pytest.mark.parametrize("sent", [0, 20, 200, 50_000, SIDE**2 + 200])
def test_a_client_that_disconnects_disturbs_nobody(server: Server, sent: int) -> None:
    """In its request's head, in the drawing, and before it reads the answer."""
    for reset in (False, True):
        client = socket.create_connection(server.server_address)
        client.sendall((head_of_post(server) + drawing(*LINE))[:sent])
        if reset:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
    assert ask(server, body=drawing(*LINE))[0] == 200


@pytest.mark.parametrize(
    "start", [b"", b"POST /digit HT", "head", b"GET /nothing HTTP/1.0\r\n\r\n"]
)
def test_a_slow_client_blocks_nobody_and_is_cut_off(server: Server, start: bytes | str) -> None:
    start = head_of_post(server) + bytes(100) if start == "head" else start
    with socket.create_connection(server.server_address) as client:
        client.sendall(start)
        assert ask(server, body=drawing(*LINE))[0] == 200
        server.patience = 0
        while client.recv(65536):  # until the server ends the connection
            pass


SCRIPT = """
import sys
from common import cli
from common.digits.drawing import serve
from common.models.networks import MLP
sys.exit(cli.command(lambda argv: serve({"MLP": MLP(5)}, 0))())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_its_address_and_ends_with_a_signal(number: signal.Signals) -> None:
    command = [sys.executable, "-c", SCRIPT]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=ROOT, preexec_fn=heed_signals, **pipes) as process:
        try:
            line = process.stdout.readline()
            port = int(line.split("http://127.0.0.1:")[1].split()[0])
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.request("POST", "/digit", drawing(*LINE))
            assert connection.getresponse().status == 200
            process.send_signal(number)
            printed, message = process.communicate()
        finally:
            process.kill()
    assert (process.returncode, printed) == (130, "")
    assert message == "interrupted: the page has ended\n"


def test_a_port_in_use_is_one_line(server: Server, models: dict[str, nn.Module]) -> None:
    with pytest.raises(LabError, match=f"port {server.server_port}.*in use.*choose another"):
        serve(models, server.server_port)


needs_browser = pytest.mark.skipif(not PROGRAM, reason="there is no Chromium")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    """One browser for all tests."""
    with browser() as page:
        yield page


@pytest.fixture
def page(chromium: Page, server: Server) -> Page:
    """The drawing page, loaded. At its end it has reported no error."""
    chromium.call("Page.navigate", url=f"http://127.0.0.1:{server.server_port}/")
    chromium.wait_for("document.readyState === 'complete'")
    wait_for_answer(chromium)
    yield chromium
    assert chromium.errors == []


def wait_for_answer(page: Page) -> None:
    """Return when the page shows the answer to its newest drawing."""
    page.wait_for("document.querySelector('#text').ariaBusy === 'false'")


def channel(page: Page, selector: str, number: int) -> np.ndarray:
    """A channel of a canvas on the page, uint8 (H, W): 0 is red, 3 is opacity."""
    pixels = f"""(() => {{
        const {{width, height}} = document.querySelector("{selector}");
        const context = document.querySelector("{selector}").getContext("2d");
        const rgba = context.getImageData(0, 0, width, height).data;
        return [height, width, [...rgba.filter((_, n) => n % 4 === {number})]];
    }})()"""
    height, width, values = page.value(pixels)
    return np.array(values, np.uint8).reshape(height, width)


def ink_of(page: Page) -> np.ndarray:
    """The drawing on the page as its server gets it, uint8 (SIDE, SIDE)."""
    return channel(page, "#drawing", 3)


def texts(page: Page, selector: str) -> list[str]:
    """The texts of elements of the page."""
    return page.value(f"[...document.querySelectorAll('{selector}')].map((e) => e.textContent)")


def points_of(page: Page, selector: str, *points: tuple[int, int]) -> list[tuple[float, float]]:
    """Points of an element, x and y from its corner, as points of the window."""
    corner = f"(({{x, y}}) => [x, y])(document.querySelector('{selector}').getBoundingClientRect())"
    left, top = page.value(corner)
    return [(left + x, top + y) for x, y in points]


def draw_by_mouse(page: Page) -> None:
    """Press, move, release."""
    page.mouse(*points_of(page, "#drawing", *LINE))


def draw_by_touch(page: Page) -> None:
    """With one finger."""
    page.touch(*points_of(page, "#drawing", *LINE))


def draw_by_keys(page: Page) -> None:
    """Move the pen from the middle to the start, put it down, draw, lift it, move on."""
    page.press("Tab", *["ArrowUp", "ArrowLeft"] * 10)
    page.press(" ", *["ArrowRight"] * 17, *["ArrowDown", "ArrowLeft", "ArrowDown"] * 11, "Enter")
    page.press(*["ArrowUp"] * 3)


@needs_browser
@pytest.mark.parametrize("draw", [draw_by_mouse, draw_by_touch, draw_by_keys])
def test_the_page_shows_what_the_networks_make_of_a_drawing(
    page: Page, models: dict[str, nn.Module], draw: Callable[[Page], None]
) -> None:
    assert ink_of(page).max() == 0
    draw(page)
    wait_for_answer(page)
    ink = ink_of(page)
    assert [ink[y, x] for x, y in (*LINE[:2], (130, 60), (150, 150))] == [255] * 4
    assert [ink[y, x] for x, y in ((130, 30), (60, 150), (100, 270))] == [0] * 3
    image, probabilities = image_and_probabilities(models, ink.tobytes())
    assert (channel(page, "#seen", 0) == image).all()
    lines = [f"{name}: {values.argmax()}" for name, values in probabilities.items()]
    assert texts(page, "#text") == ["\n".join(lines)]
    percents = [f"{100 * p:.1f} %" for p in torch.stack([*probabilities.values()], 1).flatten()]
    assert texts(page, "td") == percents
    largest = [f"{100 * p:.1f} %" for p in map(max, probabilities.values())]
    assert sorted(texts(page, "td b")) == sorted(largest)
    assert texts(page, "#maps h3") == ["LeNet-5 (1998)", "LeNet-5 (today)"]
    sizes = ["C1: 6 maps of 28 x 28", "S2: 6 maps of 14 x 14"]
    sizes += ["C3: 16 maps of 10 x 10", "S4: 16 maps of 5 x 5"]
    assert texts(page, "#maps figcaption") == 2 * sizes
    layers = answer(models, ink.tobytes())["networks"][1]["layers"]
    shown = channel(page, "#maps [aria-label^=C1]", 0)
    assert (shown[:, -28:] == decoded(layers["C1"])[5]).all()
    shown = channel(page, "#maps [aria-label^=S4]", 0)
    assert (shown[6:, :5] == decoded(layers["S4"])[8]).all()


@needs_browser
def test_the_page_answers_while_the_pen_is_down(page: Page) -> None:
    before = texts(page, "td")
    page.mouse(*points_of(page, "#drawing", *LINE), release=False)
    wait_for_answer(page)
    during = texts(page, "td")
    assert during != before
    page.mouse_event("mouseReleased", (0, 0))
    wait_for_answer(page)
    assert texts(page, "td") == during


@needs_browser
def test_undo_and_clear_by_key_and_button(page: Page) -> None:
    def one_more(*points: tuple[int, int]) -> np.ndarray:
        page.mouse(*points_of(page, "#drawing", *points))
        return ink_of(page)

    first = one_more((50, 50), (90, 90))
    second = one_more((200, 200))  # a dot
    assert second[200, 200] == 255
    assert first.max() and (second != first).any()
    page.press("u")
    assert (ink_of(page) == first).all()
    assert (one_more((200, 200)) == second).all()
    page.mouse(*points_of(page, "[data-key=u]", (5, 5)))
    assert (ink_of(page) == first).all()
    one_more((200, 200))
    page.press("c", control=True)  # copies
    assert (ink_of(page) == second).all()
    page.press("c")
    wait_for_answer(page)
    assert ink_of(page).max() == 0
    assert texts(page, "#text") == ["Nothing yet: draw one large digit."]
    one_more((50, 50), (90, 90))
    page.mouse(*points_of(page, "[data-key=c]", (5, 5)))
    assert ink_of(page).max() == 0
    page.press("u")
    wait_for_answer(page)
    assert ink_of(page).max() == 0
    one_more((50, 50), (90, 90))
    page.press("Tab", "Tab", "Enter")  # the second button
    wait_for_answer(page)
    assert ink_of(page).max() == 0


@needs_browser
def test_a_stroke_ends_outside_the_paper(page: Page) -> None:
    page.mouse(*points_of(page, "#drawing", (200, 100), (400, 100), (400, 200)))
    wait_for_answer(page)
    assert page.value("stroke") is None
    assert ink_of(page)[100, 279] == ink_of(page)[150, 279] == 255  # along the edge
    assert ink_of(page)[150, 240] == 0


@needs_browser
def test_two_arrow_keys_draw_a_diagonal(page: Page) -> None:
    page.press("Tab", " ")
    page.key("ArrowRight", release=False)
    page.key("ArrowUp", release=False)
    assert page.value("point") == [140 + 16, 140 - 8]
    for key in ("ArrowRight", "ArrowUp"):
        page.key(key, press=False)
    page.press(*["ArrowDown"] * 30)
    assert page.value("point") == [156, 280]  # the edge
    assert texts(page, "#state") == ["The pen is down."]
    page.press("Tab")  # leaves the paper, and lifts the pen
    assert page.value("stroke") is None
    wait_for_answer(page)


@needs_browser
def test_names_for_screen_readers_and_a_narrow_window(page: Page) -> None:
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    names = {(node["role"]["value"], node["name"]["value"]) for node in nodes if node.get("name")}
    assert ("application", "Drawing area") in names
    assert {("button", "Undo (u)"), ("button", "Clear (c)")} <= names
    assert ("table", "Probability of each digit") in names
    assert ("image", "C3: 16 maps of 10 x 10") in names
    assert page.value("[text.role, find('#state').role]") == ["status", "status"]
    size = {"width": 320, "height": 700, "deviceScaleFactor": 1, "mobile": True}
    page.call("Emulation.setDeviceMetricsOverride", **size)
    assert page.value("document.documentElement.scrollWidth") == 320
    page.call("Emulation.clearDeviceMetricsOverride")


@needs_browser
def test_a_server_that_has_ended_is_named(page: Page, server: Server) -> None:
    server.shutdown()
    server.server_close()
    page.mouse(*points_of(page, "#drawing", *LINE))
    wait_for_answer(page)
    assert "Is the script still running?" in texts(page, "#text")[0]
    page.errors.clear()  # the browser reports it too
