"""What systemd hears."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from crowdstream import systemd


class Listener:
    """A notify socket of our own."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(address)

    def heard(self) -> str:
        """The oldest datagram that waits."""
        return self._socket.recv(65536).decode()

    def close(self) -> None:
        """Nobody listens any more."""
        self._socket.close()


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """NOTIFY_SOCKET leads to it."""
    path = str(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    listener = Listener(path)
    yield listener
    listener.close()


def test_each_function_says_its_word(listener: Listener) -> None:
    """One datagram each, in systemd's words."""
    assert systemd.ready() and systemd.ready("plays")
    assert systemd.watchdog()
    assert systemd.status("energy 0.42 bpm 124")
    assert systemd.reloading(1234567)
    assert systemd.stopping()
    assert [listener.heard() for _ in range(6)] == [
        "READY=1",
        "READY=1\nSTATUS=plays",
        "WATCHDOG=1",
        "STATUS=energy 0.42 bpm 124",
        "RELOADING=1\nMONOTONIC_USEC=1234567",
        "STOPPING=1",
    ]


def test_a_status_stays_one_line(listener: Listener) -> None:
    """A title with a line break cannot say another word to systemd, nor a long one fill it."""
    systemd.status("Hit\nSTOPPING=1\r\n\ud800" + "x" * 10_000)
    heard = listener.heard()
    assert heard.startswith("STATUS=Hit STOPPING=1 ?x") and "\n" not in heard
    assert len(heard) < 600


def test_abstract_sockets_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading @ is Linux's abstract name."""
    name = f"crowdstream-test-{os.getpid()}"
    listener = Listener("\0" + name)
    monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
    assert systemd.ready()
    assert listener.heard() == "READY=1"
    listener.close()


@pytest.mark.parametrize(
    "address",
    [None, "", "relative", "vsock:2:1", "/no/such/socket", "/" + "x" * 300, "/a\x00b", "@"],
)
def test_without_a_listener_nothing_happens(
    address: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not under systemd, or with an address that cannot be one: False, and no exception."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setattr(os, "environ", {**os.environ, "NOTIFY_SOCKET": address})
    assert not systemd.ready()
    assert not systemd.watchdog()


def test_a_full_socket_does_not_block(listener: Listener) -> None:
    """Nobody reads: after some datagrams the answer is False, at once."""
    assert not all(systemd.watchdog() for _ in range(100_000))
    assert listener.heard() == "WATCHDOG=1"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        ("10000000", "own", 10.0),
        ("10000000", None, 10.0),
        ("10000000", "1", None),
        ("0", "own", None),
        ("soon", "own", None),
        (None, "own", None),
    ],
)
def test_the_watchdog_is_for_us_only(
    usec: str | None, pid: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WATCHDOG_USEC counts when WATCHDOG_PID is ours or absent."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert systemd.watchdog_seconds() == seconds
