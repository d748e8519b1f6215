"""The daemon's diary: one chain for every line, one thread that writes, no secrets.

    log = get_log("camera")
    log.info("camera_opened", device="/dev/video2", width=1280)

Whatever is said, by us or through `logging` by a library, becomes one line:

    masked  ->  counted (a repeated warning is said once in ten seconds)  ->  rendered  ->  queued

The caller only puts the line into a bounded queue. One daemon thread writes, so a terminal that
is held with Ctrl-S, a full pipe or a slow disk never stops the event loop; what does not fit is
counted, and the count is said when writing works again.

Events are past-tense facts, noun then verb, with values as keys.
"""

from __future__ import annotations

import atexit
import datetime
import itertools
import json
import logging
import math
import numbers
import os
import queue
import re
import select
import sys
import threading
import traceback
import urllib.parse
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, cast

import structlog

from crowdstream.clock import Clock, SystemClock

if TYPE_CHECKING:
    from types import TracebackType

    from structlog.typing import FilteringBoundLogger

LogFormat = Literal["json", "console", "journal"]

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

QUIET_SECONDS: Final = 10.0
"""A warning that comes again within this long is counted, not said."""

MASKED: Final = "***"

# Of journald: <3> error, <4> warning, <6> info, <7> debug; critical is <2>.
_PRIORITY: Final = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}

# Keys that tell two warnings of one name apart; everything else in them may change freely.
_IDENTITY: Final = (
    "stage", "name", "state", "child", "device", "worker", "path", "target", "host", "port",
    "address",
)  # fmt: skip

# Where a logger's name waits inside structlog, which keeps the word "logger" for itself.
_NAME: Final = "_name"
_RESERVED: Final = frozenset({"time", "t", "level", "logger", "event"})
_MAX_TEXT: Final = 8_000
_MAX_ITEMS: Final = 50
_MAX_DEPTH: Final = 6

# The bare word "key" is not among them: it is a place in config.toml, or that of a track (8A).
_SECRET_KEY: Final = re.compile(
    r"pass_?word|passwd|passphrase|pwd|secret|token|authori[sz]ation|cookie|credential|client_?id"
    r"|(api|private|access|stream|signing|encryption|auth|ssh)[_-]?key",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    # A login in any URL. Passwords with "/" or "@" that nobody escaped are seen in the wild, so
    # this takes up to the last "@": rather too much than too little.
    (re.compile(r"://(?:[^\s/?#@\"'<>:]*:[^\s\"'<>]*|[^\s/?#\"'<>]*)@"), rf"://{MASKED}@"),
    (re.compile(r"\beyJ[\w-]{4,}\.[\w-]+\.?[\w-]*"), MASKED),
    (re.compile(r"\b(bearer)\s+[\w.~+/=-]{4,}", re.IGNORECASE), rf"\1 {MASKED}"),
    (
        re.compile(
            r"""((?:pass_?word|passwd|passphrase|pwd|secret|token|api[_-]?key|authorization)\b["']?\s*[=:]\s*)"""
            r"""(?:(?:basic|bearer|digest|token)\s+)?("[^"]*"|'[^']*'|[^\s"',;&)}\]]+)""",
            re.IGNORECASE,
        ),
        rf"\1{MASKED}",
    ),
)
_C1: Final = {code: f"\\x{code:02x}" for code in range(0x7F, 0xA0)}
_C0: Final = {code: repr(chr(code))[1:-1] for code in range(0x20)}
_C0_OF_BLOCKS: Final = {code: text for code, text in _C0.items() if code not in (0x09, 0x0A)}

Facts = MutableMapping[str, Any]
ExcInfo = tuple[type[BaseException], BaseException, "TracebackType | None"]


def configure_log(
    level: str = "info",
    format: LogFormat = "json",
    stream: TextIO | None = None,
    secrets: Collection[str] = (),
    *,
    clock: Clock | None = None,
) -> None:
    """Set up the one log of this process; called again, it replaces the former one.

    Lines go to `stream` (stderr by default): `json` objects, the same behind a `<4>` of
    journald's (`journal`), or for people (`console`). `secrets` are values that must never be
    seen; those shorter than four characters are masked only where they are the whole value.
    Also takes over `logging`, `warnings`, and what threads and the interpreter would print when
    they fail.

    Raises:
        ValueError: no such level or format.
    """
    if level not in LEVELS:
        raise ValueError(f"log level is {level!r}; there are: {', '.join(LEVELS)}")
    if format not in ("json", "console", "journal"):
        raise ValueError(f"log format is {format!r}; there are: json, console, journal")
    close_log()
    stream = sys.stderr if stream is None else stream
    global _current
    _current = _Log(level, format, stream, secrets, SystemClock() if clock is None else clock)
    _current.install()


def get_log(name: str) -> FilteringBoundLogger:
    """A logger for one part of the program; may be asked for before `configure_log`."""
    return cast("FilteringBoundLogger", structlog.get_logger(**{_NAME: name}))


def choose_format(stream: TextIO, environ: Mapping[str, str]) -> LogFormat:
    """What `auto` means: console on a terminal, journal under systemd, JSON elsewhere."""
    try:
        if stream.isatty():
            return "console"
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a real file, or closed
        return "json"
    journal = f"{status.st_dev}:{status.st_ino}"
    return "journal" if environ.get("JOURNAL_STREAM") == journal else "json"


def flush_log(timeout_seconds: float = 1.0) -> bool:
    """Wait until everything said so far is written; False if that took too long."""
    return _current is None or _current.writer.flush(timeout_seconds)


def close_log(timeout_seconds: float = 1.0) -> None:
    """Write what waits, say what was swallowed, and give `logging` back; safe to call twice."""
    global _current
    if _current is not None:
        _current.close(timeout_seconds)
        _current = None


def lines_lost() -> int:
    """How many lines were thrown away because nobody took them, or writing failed."""
    return 0 if _current is None else _current.writer.lost


class Mask:
    """Makes plain values of anything, without the secrets: by key name, by value, by shape."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        """`secrets` are exact values; they are also found quoted for JSON, Python and URLs."""
        self._whole = frozenset(secrets) - {""}
        forms: set[str] = set()
        for secret in self._whole:
            if len(secret) < 4:
                continue
            forms |= {secret, repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1]}
            forms |= {json.dumps(secret, ensure_ascii=False)[1:-1]}
            as_bytes = secret.encode("utf-8", "surrogatepass")
            forms |= {repr(as_bytes)[2:-1]}
            forms |= {urllib.parse.quote(as_bytes), urllib.parse.quote(as_bytes, safe="")}
            forms |= {urllib.parse.quote_plus(as_bytes)}
        longest_first = sorted(forms, key=lambda form: (-len(form), form))
        self._values = re.compile("|".join(map(re.escape, longest_first))) if forms else None
        self._longest = max(map(len, forms), default=0) + 200

    def text(self, text: str) -> str:
        """The text without secrets, without terminal codes of one byte, and not too long."""
        if text in self._whole:
            return MASKED
        too_long = len(text) > 4 * _MAX_TEXT
        if too_long:  # bounds the work below
            text = text[: 4 * _MAX_TEXT]
        if self._values is not None:
            text = self._values.sub(MASKED, text)
        for pattern, replacement in _SECRET_TEXT:
            text = pattern.sub(replacement, text)
        if too_long:  # the cut may have left half a secret, which no pattern knows
            text = text[: -self._longest] + " …"
        if len(text) > _MAX_TEXT:
            half = _MAX_TEXT // 2
            text = f"{text[:half]} … {text[-half:]}"
        return text.translate(_C1)

    def plain(self, value: Any, depth: int = 0) -> Any:
        """JSON values only; never raises, whatever `value` does when it is looked at."""
        try:
            if value is None or isinstance(value, bool):
                return value
            if isinstance(value, str):
                return self.text(str(value))
            if isinstance(value, numbers.Real):
                return self._number(value)
            if isinstance(value, bytes | bytearray | memoryview):
                return self.text(bytes(value[: 4 * _MAX_TEXT]).decode("utf-8", "backslashreplace"))
            if depth >= _MAX_DEPTH:
                return "…"
            if isinstance(value, Mapping):
                pairs = list(value.items())[:_MAX_ITEMS]
                return {self.text(str(k)): self.fact(str(k), v, depth + 1) for k, v in pairs}
            if isinstance(value, list | tuple | AbstractSet):
                return [self.plain(item, depth + 1) for item in list(value)[:_MAX_ITEMS]]
            if isinstance(value, BaseException):
                return self.text(f"{type(value).__name__}: {value}")
            return self.text(str(value))
        except Exception as error:  # a broken __str__ must not take down who logs it
            return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"

    def fact(self, key: str, value: Any, depth: int = 0) -> Any:
        """The value of a key; masked whole where the key says that it is a secret."""
        if value is not None and not isinstance(value, bool) and _SECRET_KEY.search(key):
            return MASKED
        return self.plain(value, depth)

    def _number(self, value: numbers.Real) -> int | float | str:
        shown: int | float | str
        if isinstance(value, numbers.Integral):
            # Longer integers than JSON readers keep exactly are text.
            shown = int(value) if abs(int(value)) < 2**53 else str(int(value))
        else:
            real = float(value)
            shown = float(f"{real:.9g}") if math.isfinite(real) else str(real)
        text = str(shown)
        return shown if self.text(text) == text else MASKED


class Repeats:
    """Counts warnings that come again before `QUIET_SECONDS` are over. Bounded in memory."""

    def __init__(self) -> None:
        """Nothing was said yet."""
        self._said: OrderedDict[tuple[object, ...], list[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, key: tuple[object, ...], facts: Facts, now: float) -> int | None:
        """None when the line is to be swallowed; else how many were, since it was last said."""
        with self._lock:
            entry = self._said.get(key)
            if entry is not None and now - entry[0] < QUIET_SECONDS:
                entry[1] += 1
                entry[2] = facts
                return None
            # At most this many kinds are remembered; the one said longest ago goes.
            while len(self._said) >= 256:
                self._said.popitem(last=False)
            self._said[key] = [now, 0, facts]
            self._said.move_to_end(key)
            return 0 if entry is None else int(entry[1])

    def overdue(self, now: float) -> list[Facts]:
        """The last of each kind that was swallowed and never said again, with its count."""
        with self._lock:
            waiting = [e for e in self._said.values() if e[1] and now - e[0] >= QUIET_SECONDS]
            lines: list[Facts] = [{**entry[2], "repeated": entry[1]} for entry in waiting]
            for entry in waiting:
                entry[0], entry[1] = now, 0
            return lines


class Writer:
    """One thread that writes lines; whoever hands one over never waits."""

    def __init__(
        self,
        stream: TextIO,
        *,
        capacity: int = 1000,
        on_lost: Callable[[int], str] | None = None,
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        """`on_lost(n)` makes the line that says so; `on_idle` is called at least once a second."""
        self.lost = 0
        self._losses = itertools.count(1)  # counts whole from any thread, without a lock
        self._stream = stream
        self._capacity = capacity
        self._on_lost = on_lost
        self._on_idle = on_idle
        self._told = 0
        # SimpleQueue can be put into from a signal handler or a finaliser without a deadlock;
        # it knows no bound, so `put` looks at its size: a few threads may overshoot by a few.
        self._lines: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        try:
            self._descriptor: int | None = stream.fileno()
        except (OSError, ValueError):  # a StringIO, or a test that captures
            self._descriptor = None
        self._thread = threading.Thread(target=self._work, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Queue one line, or count it as lost when the queue is full."""
        if self._lines.qsize() >= self._capacity:
            self.lost = next(self._losses)
        else:
            self._lines.put(line)

    def flush(self, timeout_seconds: float) -> bool:
        """Wait until what was put before is written."""
        done = threading.Event()
        self._lines.put(done)
        return done.wait(timeout_seconds)

    def close(self, timeout_seconds: float) -> None:
        """Write what waits and end; a stream that takes nothing is left behind."""
        self._lines.put(None)
        self._thread.join(timeout_seconds)

    def _work(self) -> None:
        while True:
            try:
                item = self._lines.get(timeout=1.0)
            except queue.Empty:
                self._idle()
                continue
            if item is None:
                self._say_lost()
                return
            if isinstance(item, threading.Event):
                self._say_lost()
                item.set()
                continue
            self._write(item)
            self._say_lost()
            self._idle()

    def _idle(self) -> None:
        if self._on_idle is not None:
            self._on_idle()

    def _say_lost(self) -> None:
        lost = self.lost
        if lost > self._told and self._on_lost is not None:
            line = self._on_lost(lost - self._told)
            self._told = lost
            self._write(line)

    def _write(self, line: str) -> None:
        try:
            if self._descriptor is None:
                self._stream.write(line + "\n")
                self._stream.flush()
                return
            # Past the text layer: its lock and its encoding could hold or refuse the line.
            rest = memoryview((line + "\n").encode("utf-8", "backslashreplace"))
            while rest:
                try:
                    rest = rest[os.write(self._descriptor, rest) :]
                except BlockingIOError:  # somebody made the shared terminal non-blocking
                    select.select([], [self._descriptor], [])
        except (OSError, ValueError):  # no reader, no space, closed
            self.lost = next(self._losses)
            self._told += 1  # saying so would fail alike


class _Log:
    """What `configure_log` sets up and `close_log` takes down."""

    def __init__(
        self, level: str, form: LogFormat, stream: TextIO, secrets: Collection[str], clock: Clock
    ) -> None:
        self._level = LEVELS[level]
        self._form = form
        self._clock = clock
        self._mask = Mask(secrets)
        self._repeats = Repeats()
        self._console = structlog.dev.ConsoleRenderer(
            colors=form == "console" and stream.isatty(),
            exception_formatter=structlog.dev.plain_traceback,
            event_key="event",
            timestamp_key="time",
        )
        self.writer = Writer(stream, on_lost=self._line_of_lost, on_idle=self._say_overdue)
        self._undo: list[Callable[[], None]] = []

    def install(self) -> None:
        """Become the log of the process."""
        structlog.configure(
            processors=[self._process],
            wrapper_class=structlog.make_filtering_bound_logger(self._level),
            logger_factory=lambda *_: _Lines(self.writer.put),
            cache_logger_on_first_use=False,
        )
        root = logging.getLogger()
        before = (root.handlers[:], root.level)
        root.handlers[:] = [_Foreign(self)]
        # Libraries talk a lot at info, and numba at debug prints its whole compiler.
        root.setLevel(logging.INFO if self._level <= logging.DEBUG else logging.WARNING)
        logging.captureWarnings(True)
        hooks = (sys.excepthook, threading.excepthook, sys.unraisablehook)

        def restore() -> None:
            root.handlers[:], level = before[0], before[1]
            root.setLevel(level)
            logging.captureWarnings(False)
            sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
            # The defaults would print to stdout, where --json goes.
            structlog.configure(processors=[_drop])

        sys.excepthook = self._on_uncaught
        threading.excepthook = self._on_thread_failed
        sys.unraisablehook = self._on_unraisable
        atexit.register(close_log)
        self._undo = [restore, lambda: atexit.unregister(close_log)]

    def close(self, timeout_seconds: float) -> None:
        """Stop being the log of the process."""
        for undo in self._undo:
            undo()
        for facts in self._repeats.overdue(math.inf):
            self.writer.put(self._line(facts))
        self.writer.close(timeout_seconds)

    def tell(self, level: str, facts: Facts) -> None:
        """Say something that did not come through structlog."""
        if LEVELS[level] >= self._level:
            line = self._said(level, facts)
            if line is not None:
                self.writer.put(line)

    def _process(self, _logger: object, method: str, facts: Facts) -> str:
        level = {"exception": "error", "warn": "warning", "fatal": "critical"}.get(method, method)
        line = self._said(level if level in LEVELS else "info", facts)
        if line is None:
            raise structlog.DropEvent
        return line

    def _said(self, level: str, facts: Facts) -> str | None:
        """The finished line; None when it is a repeated warning."""
        masked = self._masked(level, facts)
        if LEVELS[level] < LEVELS["warning"]:
            return self._line(masked)
        key = (masked["logger"], masked["event"], *(str(masked.get(k)) for k in _IDENTITY))
        repeated = self._repeats.count(key, masked, masked["t"])
        if repeated is None:
            return None
        return self._line({**masked, "repeated": repeated} if repeated else masked)

    def _masked(self, level: str, facts: Facts) -> dict[str, Any]:
        now = self._clock.local_time().astimezone(datetime.UTC)
        masked: dict[str, Any] = {
            "time": now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "t": round(self._clock.now(), 3),
            "level": level,
            "logger": self._mask.text(str(facts.get(_NAME, "crowdstream"))),
            "event": str(self._mask.plain(facts.get("event", ""))),
        }
        exception = _exception_of(facts.get("exc_info"))
        for key, value in facts.items():
            if key in (_NAME, "event", "exc_info"):
                continue
            name = self._mask.text(str(key))
            masked[f"{name}_" if name in _RESERVED else name] = self._mask.fact(str(key), value)
        if exception is not None:
            masked["exception"] = self._mask.text(_traceback_of(exception))
        return masked

    def _line(self, masked: Facts) -> str:
        level = masked["level"]
        if self._form == "console":
            shown = {k: _one_line(k, v) for k, v in masked.items() if k != "t"}
            return str(self._console(None, level, shown))
        line = json.dumps(masked, ensure_ascii=False, allow_nan=False)
        return f"<{_PRIORITY[level]}>{line}" if self._form == "journal" else line

    def _line_of_lost(self, lost: int) -> str:
        facts = {_NAME: "crowdstream.log", "event": "log_lines_lost", "lines": lost}
        return self._line(self._masked("warning", facts))

    def _say_overdue(self) -> None:
        for facts in self._repeats.overdue(self._clock.now()):
            self.writer.put(self._line(facts))

    def _on_uncaught(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return  # a person pressed Ctrl-C: nothing failed
        facts = {_NAME: "crowdstream", "event": "program_failed"}
        self.tell("critical", {**facts, "exc_info": (kind, error, trace)})

    def _on_thread_failed(self, args: threading.ExceptHookArgs, /) -> None:
        if args.exc_value is None or args.exc_type is SystemExit:
            return
        name = args.thread.name if args.thread is not None else "unknown"
        facts = {_NAME: "crowdstream", "event": "thread_failed", "thread": name}
        self.tell("error", {**facts, "exc_info": args.exc_value})

    def _on_unraisable(self, args: Any, /) -> None:
        facts = {_NAME: "crowdstream", "event": "cleanup_failed", "where": args.object}
        self.tell("error", {**facts, "exc_info": args.exc_value})


class _Lines:
    """What structlog takes for a logger: every level only hands the finished line on."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self.msg = put
        self.debug = self.info = self.warning = self.warn = put
        self.error = self.exception = self.critical = self.fatal = self.failure = self.log = put


def _drop(_logger: object, _method: str, _facts: Facts) -> str:
    raise structlog.DropEvent


class _Foreign(logging.Handler):
    """What libraries say through `logging` and `warnings`, put through the same chain."""

    def __init__(self, log: _Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event = record.getMessage()
        except Exception:  # a library's wrong format string is not our fall
            event = str(record.msg)
        name = logging.getLevelName(record.levelno).lower()
        level = name if name in LEVELS else "info"
        facts: Facts = {_NAME: record.name, "event": event.strip()}
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        self._log.tell(level, facts)


def _exception_of(exc_info: Any) -> BaseException | None:
    """The exception behind whatever was given as `exc_info`."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return next((part for part in exc_info if isinstance(part, BaseException)), None)
    return sys.exc_info()[1] if exc_info else None


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error)).rstrip()
    except Exception as second:  # an exception whose own __str__ fails
        return f"{type(error).__name__} (its text cannot be shown: {type(second).__name__})"


def _one_line(key: str, value: Any) -> Any:
    """For people: a device name with a line break in it must not look like a line of ours."""
    if isinstance(value, str):
        return value.translate(_C0_OF_BLOCKS if key == "exception" else _C0)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


_current: _Log | None = None
