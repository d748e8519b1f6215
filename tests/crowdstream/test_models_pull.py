"""`models pull`: from a real server on this machine, which does what servers do."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from crowdstream.cli import main
from crowdstream.errors import ConfigError, CrowdstreamError, DeviceError, MediaError
from crowdstream.models import pull
from crowdstream.models.pull import check_address, pull_model

GOOD = bytes(range(256)) * 1024
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Gives each request the next of its answers; the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[Answer] = [whole(GOOD)]
        self.asked = 0
        self.over = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer = outer.answers[min(outer.asked, len(outer.answers) - 1)]
                outer.asked += 1
                answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._http.server_port}/weights.pt"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.over.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


def whole(content: bytes, told: int | None = None) -> Answer:
    """All of it; `told` says another length than it has."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content) if told is None else told))
        request.end_headers()
        request.wfile.write(content)

    return answer


def without_length(content: bytes) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        request.wfile.write(content)

    return answer


def fails(code: int) -> Answer:
    return lambda request: request.send_error(code)


def sends_to(address: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", address)
        request.end_headers()

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.close()


@pytest.fixture
def folder(tmp_path: Path, server: Server) -> Path:
    made = tmp_path / "models"
    made.mkdir()
    manifest(made, server.address)
    return made


def manifest(folder: Path, address: str, file: str = "weights.pt") -> None:
    (folder / "manifest.toml").write_text(
        f'[[weights]]\nname = "weights"\nfile = "{file}"\naddress = "{address}"\n'
        f'size = {len(GOOD)}\nsha256 = "{hashlib.sha256(GOOD).hexdigest()}"\nlicence = "MIT"\n'
    )


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def nothing(seconds: float) -> None:
    """Instead of waiting."""


def test_what_is_pulled_is_whole_and_readable(server: Server, folder: Path) -> None:
    heard: list[tuple[int, int]] = []
    pulled = pull_model("weights", folder, progress=lambda done, size: heard.append((done, size)))
    assert pulled.fetched and pulled.path.read_bytes() == GOOD
    assert pulled.path.stat().st_mode & 0o777 == 0o644
    assert heard[-1] == (len(GOOD), len(GOOD))
    assert heard == sorted(heard)
    assert left_in(folder) == ["manifest.toml", "weights.pt"]


def test_what_is_there_and_right_is_not_asked_for(server: Server, folder: Path) -> None:
    (folder / "weights.pt").write_bytes(GOOD)
    assert not pull_model("weights", folder).fetched
    assert server.asked == 0


def test_what_is_there_and_wrong_is_replaced(server: Server, folder: Path) -> None:
    (folder / "weights.pt").write_bytes(GOOD[::-1])
    assert pull_model("weights", folder).path.read_bytes() == GOOD


def test_a_server_that_fails_twice_is_asked_a_third_time(server: Server, folder: Path) -> None:
    server.answers = [fails(503), fails(500), whole(GOOD)]
    waited: list[float] = []
    assert pull_model("weights", folder, sleep=waited.append).path.read_bytes() == GOOD
    assert server.asked == 3
    assert 0.5 <= waited[0] <= 1.0 <= waited[1] <= 2.0  # twice as long, and by chance


def test_a_server_that_keeps_failing_is_not_there(server: Server, folder: Path) -> None:
    server.answers = [fails(503)]
    with pytest.raises(DeviceError, match="503") as caught:
        pull_model("weights", folder, sleep=nothing)
    assert caught.value.exit_code == 69
    assert server.asked == pull.TRIES
    assert left_in(folder) == ["manifest.toml"]


def test_nobody_listens(server: Server, folder: Path) -> None:
    manifest(folder, "http://127.0.0.1:1/weights.pt")
    with pytest.raises(DeviceError, match="refused"):
        pull_model("weights", folder, sleep=nothing)
    assert left_in(folder) == ["manifest.toml"]


def test_what_is_not_found_is_asked_for_once(server: Server, folder: Path) -> None:
    server.answers = [fails(404)]
    with pytest.raises(CrowdstreamError, match="404") as caught:
        pull_model("weights", folder, sleep=nothing)
    assert (caught.value.exit_code, server.asked) == (1, 1)


def test_a_wrong_hash_keeps_nothing_and_what_was_there(server: Server, folder: Path) -> None:
    (folder / "weights.pt").write_bytes(b"before")
    server.answers = [whole(GOOD[::-1])]
    with pytest.raises(MediaError, match="hashes to .*nothing was kept") as caught:
        pull_model("weights", folder, sleep=nothing)
    assert (caught.value.exit_code, server.asked) == (1, 1)
    assert (folder / "weights.pt").read_bytes() == b"before"
    assert left_in(folder) == ["manifest.toml", "weights.pt"]


@pytest.mark.parametrize(
    "half",
    [whole(GOOD[: len(GOOD) // 2], told=len(GOOD)), without_length(GOOD[: len(GOOD) // 2])],
    ids=["length told", "no length"],
)
def test_a_line_cut_half_way_is_begun_anew(server: Server, folder: Path, half: Answer) -> None:
    server.answers = [half, whole(GOOD)]
    why: list[str] = []
    pulled = pull_model(
        "weights", folder, sleep=nothing, retrying=lambda reason, seconds: why.append(reason)
    )
    assert pulled.path.read_bytes() == GOOD
    assert len(why) == 1 and "cut" in why[0]


def test_a_server_that_stalls_is_left(server: Server, folder: Path) -> None:
    def stalls(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(GOOD)))
        request.end_headers()
        request.wfile.write(GOOD[:1000])
        request.wfile.flush()
        server.over.wait()

    server.answers = [stalls]
    with pytest.raises(DeviceError, match="did not answer in time"):
        pull_model("weights", folder, sleep=nothing, read_seconds=0.05)
    assert left_in(folder) == ["manifest.toml"]


@pytest.mark.parametrize("answer", [whole, without_length])
def test_never_more_bytes_than_told(
    server: Server, folder: Path, answer: Callable[[bytes], Answer]
) -> None:
    server.answers = [answer(GOOD + b"!")]
    with pytest.raises(MediaError, match="bytes"):
        pull_model("weights", folder, sleep=nothing)
    assert server.asked == 1
    assert left_in(folder) == ["manifest.toml"]


def test_ctrl_c_leaves_nothing(server: Server, folder: Path) -> None:
    def interrupt(done: int, size: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull_model("weights", folder, progress=interrupt)
    assert left_in(folder) == ["manifest.toml"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(server: Server, folder: Path) -> None:
    folder.chmod(0o555)
    with pytest.raises(ConfigError, match="cannot write there"):
        pull_model("weights", folder)
    folder.chmod(0o755)
    assert server.asked == 0


def test_a_disk_that_is_full(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ConfigError, match=r"models: cannot write there \(No space"):
        pull_model("weights", folder)
    assert left_in(folder) == ["manifest.toml"]


def test_a_place_that_is_taken_by_a_folder(server: Server, folder: Path) -> None:
    (folder / "weights.pt").mkdir()
    with pytest.raises(ConfigError, match="cannot write there"):
        pull_model("weights", folder)
    assert left_in(folder) == ["manifest.toml", "weights.pt"]


@pytest.mark.parametrize("address", ["http://example.org/w.pt", "ftp://127.0.0.1/w", "file:///w"])
def test_nobody_is_followed_away_from_https(server: Server, folder: Path, address: str) -> None:
    server.answers = [sends_to(address)]
    with pytest.raises(CrowdstreamError):
        pull_model("weights", folder, sleep=nothing)
    assert server.asked == 1
    assert left_in(folder) == ["manifest.toml"]


def test_a_redirect_is_followed(server: Server, folder: Path) -> None:
    server.answers = [sends_to(server.address), whole(GOOD)]
    assert pull_model("weights", folder).path.read_bytes() == GOOD


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://example.org/w.pt", "https"),
        ("ftp://example.org/w.pt", "https"),
        ("file:///etc/passwd", "https"),
        ("https://", "https"),
        ("https://me:secret@example.org/w.pt", "login"),
        ("http://127.0.0.1.example.org/w.pt", "https"),
    ],
)
def test_addresses_that_will_not_do(address: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why) as caught:
        check_address(address)
    assert "secret" not in str(caught.value)


def test_names_that_will_not_do(server: Server, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"not among the known weights .*weights"):
        pull_model("others", folder)
    manifest(folder, server.address, file="../weights.pt")
    with pytest.raises(ConfigError, match="plain file name"):
        pull_model("weights", folder)
    assert server.asked == 0


def test_weights_that_belong_together_are_pulled_together(
    server: Server, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what comes next is said."""
    text = ""
    for stem in ("drums", "bass"):
        manifest(folder, server.address, f"{stem}.th")
        entry = (folder / "manifest.toml").read_text()
        text += entry.replace('name = "weights"', f'name = "set-ft-{stem}"\npart_of = "set-ft"')
    (folder / "manifest.toml").write_text(text)
    (tmp_path / "config.toml").write_text('models_folder = "models"\n')
    assert main(["models", "pull", "set-ft", "--config", str(tmp_path / "config.toml")]) == 0
    assert left_in(folder) == ["bass.th", "drums.th", "manifest.toml"]
    assert capsys.readouterr().out.count("crowdstream separate AUDIO --quality best") == 1
