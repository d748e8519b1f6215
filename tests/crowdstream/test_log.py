"""The diary: what a line holds, and what it must never hold."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crowdstream import log as log_module
from crowdstream.log import (
    Mask,
    choose_format,
    close_log,
    configure_log,
    flush_log,
    get_log,
    lines_lost,
)
from crowdstream.testing.clock import ManualClock


class Diary:
    """A log in memory, with a clock that stands still."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock(now=100.0)
        self.out = io.StringIO()
        configure_log(stream=self.out, clock=self.clock, **settings)

    def text(self) -> str:
        """Everything written so far."""
        assert flush_log()
        return self.out.getvalue()

    def lines(self) -> list[dict[str, Any]]:
        """The same, parsed; fails where a line is not one JSON object."""
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_log()


def test_a_line_is_a_fact_with_its_moment() -> None:
    """UTC for people, monotonic seconds for sums, and the facts as keys."""
    diary = Diary()
    get_log("camera").info("camera_opened", device="/dev/video2", width=1280)
    assert diary.lines() == [
        {
            "time": "2026-01-01T00:01:40.000Z",
            "t": 100.0,
            "level": "info",
            "logger": "camera",
            "event": "camera_opened",
            "device": "/dev/video2",
            "width": 1280,
        }
    ]


def test_a_level_below_the_configured_one_is_not_said() -> None:
    """`level = "warning"` hides info, of ours and of libraries."""
    diary = Diary(level="warning")
    get_log("x").info("thing_happened")
    logging.getLogger("library").info("chatter")
    get_log("x").warning("thing_healed")
    assert [line["event"] for line in diary.lines()] == ["thing_healed"]


def test_a_logger_asked_for_early_follows_the_configuration() -> None:
    """A module may call get_log at import."""
    early = get_log("early")
    diary = Diary()
    early.info("thing_happened")
    assert diary.lines()[0]["logger"] == "early"


def test_journal_lines_carry_a_priority() -> None:
    """journald reads the level from <n>; the rest is the JSON line."""
    diary = Diary(format="journal", level="debug")
    log = get_log("x")
    for level in ("debug", "info", "warning", "error", "critical"):
        getattr(log, level)(f"{level}_said")
    prefixes = [line[:3] for line in diary.text().splitlines()]
    assert prefixes == ["<7>", "<6>", "<4>", "<3>", "<2>"]
    assert json.loads(diary.text().splitlines()[0][3:])["event"] == "debug_said"


def test_console_shows_event_and_facts_on_one_line() -> None:
    """A name from outside cannot forge a second line, nor send codes to the terminal."""
    diary = Diary(format="console")
    get_log("x").info("track_chosen", title="A\nB\x1b[2J\x9b2J", gains={"drums": 1.0})
    (line,) = diary.text().splitlines()
    assert "track_chosen" in line and '{"drums": 1.0}' in line
    assert "\x1b" not in line and "\x9b" not in line


def test_a_repeated_warning_is_said_once_in_ten_seconds() -> None:
    """18 times within ten seconds is one line, and the next says how many were swallowed."""
    diary = Diary()
    log = get_log("osc_out")
    for number in range(18):
        log.warning("osc_target_failed", target="a", failures=number)
    log.warning("osc_target_failed", target="b")
    diary.clock._now = 110.0
    log.warning("osc_target_failed", target="a")
    assert [(line["target"], line.get("repeated")) for line in diary.lines()] == [
        ("a", None),
        ("b", None),
        ("a", 17),
    ]


def test_a_swallowed_warning_is_not_forgotten_at_the_end() -> None:
    """What was swallowed and never came again is said when the log closes."""
    diary = Diary()
    for number in range(5):
        get_log("x").warning("frame_torn", seq=number)
    close_log()
    last = [json.loads(line) for line in diary.out.getvalue().splitlines()][-1]
    assert (last["event"], last["seq"], last["repeated"]) == ("frame_torn", 4, 4)


def test_overdue_warnings_are_said_without_a_further_one() -> None:
    """Ten seconds later the writer says it by itself, after the next line of any kind."""
    diary = Diary()
    get_log("x").warning("frame_torn")
    get_log("x").warning("frame_torn")
    assert flush_log()
    diary.clock._now = 111.0
    get_log("x").info("thing_happened")
    assert flush_log()
    assert [line.get("repeated") for line in diary.lines()] == [None, None, 1]


def test_info_is_never_swallowed() -> None:
    """Only warnings and errors repeat themselves."""
    diary = Diary()
    for _ in range(3):
        get_log("x").info("track_chosen")
    assert len(diary.lines()) == 3


def test_libraries_go_through_the_same_chain() -> None:
    """`logging` and `warnings` become lines like ours, masked like ours."""
    diary = Diary(secrets=["tr0ub4dor"])
    logging.getLogger("uvicorn.access").warning("GET %s", "/?x=tr0ub4dor")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old tr0ub4dor", stacklevel=1)
    lines = diary.lines()
    assert [line["logger"] for line in lines] == ["uvicorn.access", "py.warnings"]
    assert "tr0ub4dor" not in diary.text()
    assert lines[0]["event"] == "GET /?x=***"


def test_a_library_with_a_wrong_format_string_harms_nobody() -> None:
    """The line is there, as it was meant."""
    diary = Diary()
    logging.getLogger("x").warning("%d things", "no number")
    assert diary.lines()[0]["event"] == "%d things"


def test_exceptions_are_told_without_secrets_and_without_locals() -> None:
    """The traceback is one masked text."""
    diary = Diary(secrets=["tr0ub4dor"])
    hidden = "tr0ub" + "4dor"
    try:
        try:
            raise OSError(f"cannot open rtsp://admin:geheim@cam/1 with {hidden}")
        except OSError as error:
            raise ExceptionGroup("two", [ValueError(f"token={hidden}")]) from error
    except ExceptionGroup:
        get_log("x").exception("stage_failed", error=OSError(hidden))
    (line,) = diary.lines()
    assert "rtsp://***@cam/1" in line["exception"] and "ExceptionGroup" in line["exception"]
    assert hidden not in diary.text() and "geheim" not in diary.text()


def test_a_failed_thread_is_told() -> None:
    """Python's own hook would print past the mask."""
    diary = Diary()

    def fail() -> None:
        raise OSError("http://u:geheim@host/")

    thread = threading.Thread(target=fail, name="eye")
    thread.start()
    thread.join()
    (line,) = diary.lines()
    assert (line["event"], line["thread"], line["level"]) == ("thread_failed", "eye", "error")
    assert "geheim" not in diary.text()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("rtsp://admin:geheim@10.0.0.7:554/s", "rtsp://***@10.0.0.7:554/s"),
        ("rtsp://admin:ge/he@im@10.0.0.7/s", "rtsp://***@10.0.0.7/s"),
        ("https://tokenonly@host/x", "https://***@host/x"),
        ("http://host:8080/plain", "http://host:8080/plain"),
        ("Authorization: Bearer abcdef123456", "Authorization: ***"),
        ("authorization: Basic dTpw", "authorization: ***"),
        ("sent bearer abcdef123456 today", "sent bearer *** today"),
        ("eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJ_x", "***"),
        ("GET /ws?token=abc&x=1", "GET /ws?token=***&x=1"),
        ("{'password': 'a b c', 'user': 'x'}", "{'password': ***, 'user': 'x'}"),
        ("Camera(password='x', port=1)", "Camera(password=***, port=1)"),
        ("the tokens of the crowd", "the tokens of the crowd"),
    ],
)
def test_secrets_are_known_by_their_shape(said: str, shown: str) -> None:
    """Logins in URLs, bearer tokens, JWTs and `name=value` in free text."""
    assert Mask().text(said) == shown


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "db_passwd",
        "API-Key",
        "stream_key",
        "access_token",
        "Authorization",
        "client_id",
    ],
)
def test_secrets_are_known_by_their_key(key: str) -> None:
    """At any depth, whatever the value is."""
    assert Mask().plain({"a": [{key: ["geheim", 5]}]}) == {"a": [{key: "***"}]}


@pytest.mark.parametrize("key", ["key", "keypoints", "monkey", "pass_count", "track_key"])
def test_harmless_keys_keep_their_values(key: str) -> None:
    """The key of a track and the key of a setting are not secrets."""
    assert Mask().plain({key: "8A"}) == {key: "8A"}


def test_a_value_that_cannot_be_shown_harms_nobody() -> None:
    """A broken __str__, a cycle, numbers that JSON does not know."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    cycle: list[Any] = []
    cycle.append(cycle)
    diary = Diary()
    get_log("x").info(
        "thing_happened", broken=Broken(), cycle=cycle, nan=float("nan"), big=2**80,
        small=np.float32(0.5), count=np.int64(3), array=np.zeros(100_000), raw=b"\xff\x00",
        text="x" * 1_000_000, lone="\ud800", t=5, time="now",
    )  # fmt: skip
    (line,) = diary.lines()
    assert (line["nan"], line["small"], line["count"]) == ("nan", 0.5, 3)
    assert "cannot be shown" in line["broken"]
    assert (line["t"], line["t_"], line["time_"]) == (100.0, 5, "now")
    assert len(diary.text()) < 40_000


def test_a_blocked_stream_blocks_nobody() -> None:
    """A full pipe: 5000 lines are said at once, most are lost, and the loss is said."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        configure_log(stream=stream)
        for number in range(5000):
            get_log("x").info("thing_happened", number=number, padding="." * 200)
        assert not flush_log(0.05)
        assert lines_lost() > 2000

        got = b""
        os.set_blocking(read_end, True)
        while b"log_lines_lost" not in got:
            got += os.read(read_end, 65536)
        lost = lines_lost()
        drain = threading.Thread(target=_drain, args=(read_end,))
        drain.start()
        close_log()
    drain.join()
    last = next(json.loads(line) for line in got.splitlines() if b"log_lines_lost" in line)
    assert last["lines"] == lost


def _drain(descriptor: int) -> None:
    while os.read(descriptor, 65536):
        pass
    os.close(descriptor)


def test_a_non_blocking_stream_gets_whole_lines() -> None:
    """Somebody else made the shared terminal non-blocking: nothing is torn."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    with os.fdopen(write_end, "w") as stream:
        configure_log(stream=stream)
        for number in range(900):
            get_log("x").info("thing_happened", number=number, padding="." * 200)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda: got.extend(_read_all(read_end)))
        reader.start()
        assert flush_log(5.0)
        close_log()
    reader.join()
    assert [json.loads(line)["number"] for line in b"".join(got).splitlines()] == list(range(900))


def _read_all(descriptor: int) -> Iterator[bytes]:
    while data := os.read(descriptor, 4096):
        yield data
    os.close(descriptor)


def test_a_closed_stream_is_counted_not_raised() -> None:
    """stderr may be gone: the show goes on."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    stream = os.fdopen(write_end, "w")
    configure_log(stream=stream)
    get_log("x").info("thing_happened")
    assert flush_log()
    assert lines_lost() == 1
    close_log()
    stream.close()


def test_closing_gives_everything_back() -> None:
    """After close_log `logging` and the hooks are as before, and a late word is dropped."""
    before = (logging.getLogger().handlers[:], sys.excepthook, threading.excepthook)
    diary = Diary()
    assert sys.excepthook is not before[1]
    close_log()
    assert (logging.getLogger().handlers[:], sys.excepthook, threading.excepthook) == before
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        get_log("x").info("too_late")
    assert stdout.getvalue() == diary.out.getvalue() == ""


def test_an_unknown_level_or_format_is_refused_in_one_sentence() -> None:
    """The sentence names what there is."""
    with pytest.raises(ValueError, match="log level is 'loud'; there are: debug, info"):
        configure_log("loud")
    with pytest.raises(ValueError, match="log format is 'xml'"):
        configure_log(format="xml")  # type: ignore[arg-type]


def test_the_format_follows_who_listens() -> None:
    """journal under systemd, JSON into a pipe or into memory."""
    read_end, write_end = os.pipe()
    with os.fdopen(write_end, "w") as stream:
        status = os.fstat(write_end)
        journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert choose_format(stream, journal) == "journal"
        assert choose_format(stream, {"JOURNAL_STREAM": "1:2"}) == "json"
    os.close(read_end)
    assert choose_format(io.StringIO(), {}) == "json"


SECRETS = st.text(min_size=6, max_size=30).filter(
    lambda text: not any(text in fixed for fixed in (_BENIGN, "thing_happened"))
)
_BENIGN = "time level logger event exception thing_happened 2026-01-01T00:01:40.000Z Traceback"


def _around(secret: str) -> st.SearchStrategy[Any]:
    """The secret somewhere inside: in text, keys, values, exceptions, objects' own texts."""

    class Thing:
        def __repr__(self) -> str:
            return f"Thing({secret!r})"

    leaves = st.sampled_from([
        secret, f"x {secret} y", secret.encode("utf-8", "surrogatepass"), ValueError(secret),
        Thing(), (secret,), frozenset([secret]), f"{[secret]}", json.dumps({"a": secret}),
    ])  # fmt: skip
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.dictionaries(st.sampled_from(["a", "b", secret]), inner, min_size=1, max_size=3)
            | inner.map(lambda value: {"deep": (value, 1)})
        ),
        max_leaves=5,
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data(), secret=SECRETS)
def test_a_secret_never_appears_wherever_it_hides(data: st.DataObject, secret: str) -> None:
    """In no form: as it is, as JSON writes it, as Python writes it."""
    value = data.draw(_around(secret))
    for form in ("json", "console"):
        out = io.StringIO()
        configure_log("debug", form, out, [secret], clock=ManualClock(100.0))
        get_log("x").info("thing_happened", value=value)
        logging.getLogger("y").warning("%s", value)
        try:
            raise OSError(value)
        except OSError:
            get_log("x").exception("thing_failed")
        close_log()
        said = out.getvalue()
        # Source lines of this file stand in the traceback; they are not what was logged.
        shown = [line for line in said.splitlines() if "test_log.py" not in line]
        for written in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
            if len(written.strip("\\")) >= 6 and written.strip():
                assert written not in "\n".join(shown)


def test_the_log_is_not_configured_by_import() -> None:
    """Importing has no effect on `logging`."""
    assert log_module._current is None
