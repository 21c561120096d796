"""Downloads from real servers on loopback: good, stalled, truncated, corrupted, and none."""

import gzip
import hashlib
import io
import signal
import socket
import subprocess
import sys
import tarfile
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ROOT, heed_signals

from common import LabError
from common.data import download
from common.data.download import Archive, Source, obtain

FILES = {"set/one": b"1" * 5000, "set/two": bytes(range(256)) * 40}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def tar_of_files() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in FILES.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


TAR = tar_of_files()
GZIPS = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in FILES.items()}
HTML = b"<!DOCTYPE html><title>Please log in</title>" * 50


class Handler(BaseHTTPRequestHandler):
    """Serves the archive; the first part of the path chooses the manner."""

    released = threading.Event()
    stalled = threading.Semaphore(0)  # counts the requests that stall

    def do_GET(self) -> None:
        manner = self.path.split("/")[1]
        if manner == "absent":
            self.send_error(404)
            return
        body = {
            "html": HTML,
            "corrupted": TAR[:100] + bytes([TAR[100] ^ 1]) + TAR[101:],
            "gzip": GZIPS["set/one.gz"],
        }.get(manner, TAR)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if manner == "truncated":
            self.wfile.write(body[: len(body) // 2])
        elif manner == "stalled":
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.stalled.release()
            self.released.wait(60)
        elif manner == "drip":
            for i in range(0, len(body), len(body) // 10):
                self.wfile.write(body[i : i + len(body) // 10])
                self.wfile.flush()
                self.released.wait(0.1)  # the total exceeds TIMEOUT, but no single pause does
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[Callable[[str], str]]:
    """Returns the URL of the archive for a manner of serving it."""
    Handler.released.clear()
    Handler.stalled = threading.Semaphore(0)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield lambda manner: f"http://127.0.0.1:{server.server_port}/{manner}/set.tar.gz"
        Handler.released.set()
        server.shutdown()


def unused_url() -> str:
    """A URL without a server."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/set.tar.gz"


def source(*urls: str) -> Source:
    files = {name: md5(content) for name, content in FILES.items()}
    return Source("The set", (Archive("set.tar.gz", md5(TAR), urls, files),))


def singles(*urls: str) -> Source:
    """Like MNIST: every file is in its own archive."""
    archives = [
        Archive(f"{name}.gz", md5(GZIPS[f"{name}.gz"]), urls, {name: md5(content)})
        for name, content in FILES.items()
    ]
    return Source("The set", tuple(archives))


def content(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("manner", ["well", "drip"])
def test_a_complete_download_is_used(
    tmp_path: Path, url: Callable, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.6)
    with pytest.raises(LabError, match=r"The set is not in .*: there is no such folder"):
        obtain(source(url(manner)), tmp_path / "new folder")  # perhaps its name is mistyped
    monkeypatch.setattr(download, "ROOT", tmp_path)
    (tmp_path / "new folder").mkdir()
    obtain(source(url(manner)), tmp_path / "new folder")
    obtain(source(url(manner)), tmp_path / "data")  # the default folder
    assert content(tmp_path / "data") == FILES
    assert content(tmp_path / "new folder") == FILES
    assert [path.name for path in (tmp_path / "new folder").iterdir()] == ["set"]


def test_gzip_of_a_single_file(tmp_path: Path, url: Callable) -> None:
    one, _ = singles(url("gzip")).archives
    obtain(Source("The set", (one,)), tmp_path)
    assert content(tmp_path) == {"set/one": FILES["set/one"]}


@pytest.mark.parametrize("manner", ["truncated", "corrupted", "html", "absent", "stalled"])
def test_the_next_mirror_is_used_after_a_failure(
    tmp_path: Path, url: Callable, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    obtain(source(url(manner), url("well")), tmp_path)
    assert content(tmp_path) == FILES


@pytest.mark.parametrize("manner", ["truncated", "corrupted", "html", "absent", "stalled", "none"])
def test_an_incomplete_download_leaves_no_files(
    tmp_path: Path, url: Callable, manner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TIMEOUT", 0.3)
    bad = unused_url() if manner == "none" else url(manner)
    with pytest.raises(LabError) as failure:
        obtain(source(bad), tmp_path)
    for part in ("The set", str(tmp_path), "--data-dir", "--synthetic", "127.0.0.1"):
        assert part in str(failure.value)
    assert "\n" not in str(failure.value)
    assert ("timed out" in str(failure.value)) == (manner == "stalled")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_changed(tmp_path: Path, url: Callable) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/one").write_bytes(FILES["set/one"])
    before = (tmp_path / "set/one").stat()
    obtain(source(url("well")), tmp_path)
    assert content(tmp_path) == FILES
    assert (tmp_path / "set/one").stat().st_ino == before.st_ino


def test_a_damaged_file_is_named_with_both_sums(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for name, whole in FILES.items():
        (tmp_path / name).write_bytes(whole)
    (tmp_path / "set/two").write_bytes(b"damaged")
    with pytest.raises(LabError) as failure:
        obtain(source(), tmp_path)
    for part in (str(tmp_path / "set/two"), md5(b"damaged"), md5(FILES["set/two"])):
        assert part in str(failure.value)


def test_a_read_only_folder_with_the_data_works(folder: Path, read_only: Callable) -> None:
    (folder / "set").mkdir()
    for name, whole in FILES.items():
        (folder / name).write_bytes(whole)
    read_only(folder)
    obtain(source(), folder)


def test_a_read_only_folder_without_the_data(folder: Path, read_only: Callable) -> None:
    read_only(folder)
    with pytest.raises(LabError, match=r"Permission denied.*--data-dir"):
        obtain(source(), folder)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal, io.StringIO])
def test_a_progress_bar_only_on_a_terminal(
    tmp_path: Path, url: Callable, stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = stream()
    monkeypatch.setattr(sys, "stderr", errors)
    obtain(source(url("well")), tmp_path)
    assert ("set.tar.gz from 127.0.0.1" in errors.getvalue()) == errors.isatty()
    assert ("100%" in errors.getvalue()) == errors.isatty()


def test_a_download_leaves_other_sockets_alone(tmp_path: Path, url: Callable) -> None:
    obtain(source(url("absent"), url("well")), tmp_path)
    assert socket.getdefaulttimeout() is None


def test_only_missing_archives_are_downloaded(tmp_path: Path, url: Callable) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/two").write_bytes(FILES["set/two"])
    obtain(singles(url("gzip")), tmp_path)
    assert content(tmp_path) == FILES


def test_an_archive_in_the_data_folder_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "set.tar.gz").write_bytes(TAR)
    assert source().folder(tmp_path)
    obtain(source(), tmp_path)
    assert content(tmp_path) == {**FILES, "set.tar.gz": TAR}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "set.tar.gz"]


@pytest.mark.parametrize("folder_of_archives", ["", "set"])
def test_archives_of_single_files_are_unpacked(tmp_path: Path, folder_of_archives: str) -> None:
    (tmp_path / "set").mkdir()
    for name, whole in GZIPS.items():
        assert not singles().folder(tmp_path)
        (tmp_path / folder_of_archives / Path(name).name).write_bytes(whole)
    assert singles().folder(tmp_path)
    obtain(singles(), tmp_path)
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES


def test_a_damaged_archive_is_named_with_both_sums(tmp_path: Path) -> None:
    (tmp_path / "set.tar.gz").write_bytes(TAR[:-1])
    with pytest.raises(LabError, match="could not be unpacked") as failure:
        obtain(source(), tmp_path)
    for part in (str(tmp_path / "set.tar.gz"), md5(TAR[:-1]), md5(TAR), "delete it"):
        assert part in str(failure.value)
    assert "\n" not in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar.gz"]


def test_a_read_only_folder_with_the_archive(folder: Path, read_only: Callable) -> None:
    (folder / "set.tar.gz").write_bytes(TAR)
    read_only(folder)
    with pytest.raises(LabError, match=r"could not be unpacked.*Permission denied") as failure:
        obtain(source(), folder)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("named", ["data", "data/set", "data/set/set", "", "data/set/.."])
@pytest.mark.parametrize("archived", [False, True])
def test_a_folder_one_level_too_deep_or_too_high(
    tmp_path: Path, named: str, archived: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/set/set").mkdir(parents=True)
    for name, whole in ({"set.tar.gz": TAR} if archived else FILES).items():
        (tmp_path / "data" / name).write_bytes(whole)
    assert source().folder(tmp_path / named)
    assert obtain(source(), tmp_path / named).resolve() == tmp_path / "data"
    monkeypatch.chdir(tmp_path / named)
    assert obtain(source(), Path()).resolve() == tmp_path / "data"
    assert {name: (tmp_path / "data" / name).read_bytes() for name in FILES} == FILES


@pytest.mark.parametrize("name", ["SIGINT", "SIGKILL"])
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_an_interrupted_download_is_never_used_as_data(
    tmp_path: Path, url: Callable, name: str
) -> None:
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        from pathlib import Path
        from common.data.download import Archive, Source, obtain

        files = { ({name: md5(whole) for name, whole in FILES.items()})!r}
        archive = Archive("set.tar.gz", {md5(TAR)!r}, ({url("stalled")!r},), files)
        obtain(Source("The set", (archive,)), Path({str(tmp_path)!r}))
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.DEVNULL,
        preexec_fn=heed_signals,
    )
    for _ in range(2):  # torchvision asks once for redirections, then for the file
        assert Handler.stalled.acquire(timeout=60)
    process.send_signal(getattr(signal, name))
    assert process.wait(30) != 0
    assert not (tmp_path / "set").exists()
    obtain(source(url("well")), tmp_path)  # the next attempt works
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == FILES
