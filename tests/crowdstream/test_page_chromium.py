"""The page of a show in a real browser: headless Chromium, opened from a file.

Chromium is driven by its DevTools protocol over two pipes, so that no port and no further
package is needed. The sound that the page plays is recorded inside the page and found again
in the WAV file it was made from: what is compared with the cursor is what is heard, not what
the player says.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from crowdstream.offline.page import write_page
from crowdstream.offline.show import read_show
from crowdstream.testing.shows import RATE, write_a_show, write_a_sound

Floats = NDArray[np.floating[Any]]

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

SECONDS = 40.0
PLACES = (7.3, 21.9, 32.6)
TOLERANCE_SECONDS = 0.050
ANSWER_SECONDS = 30.0
# A piece of the recorded sound is taken for the WAV's at this correlation; so many must be.
ALIKE = 0.8
FEWEST_PIECES = 6

# Taps the sound of both players; beside it runs a ramp that says the time of the audio context,
# so that the recorder's own delay can be taken out: a piece was drawn from the players `late`
# seconds before what the page told and drew when the piece came.
RECORDER = """
(async () => {
  const context = new AudioContext({sampleRate: %d});
  // The newer AudioWorklet wants a module of its own, which a page from a file may not load.
  const tap = context.createScriptProcessor(2048, 2, 1), both = context.createChannelMerger(2);
  for (const element of Object.values(crowdstream.sounds)) {
    const mono = context.createGain();
    mono.channelCount = 1;
    mono.channelCountMode = "explicit";
    context.createMediaElementSource(element).connect(mono).connect(both, 0, 0);
  }
  const ramp = context.createConstantSource();
  ramp.offset.setValueAtTime(0, 0);
  ramp.offset.linearRampToValueAtTime(1000, 1000);
  ramp.connect(both, 0, 1);
  ramp.start();
  both.connect(tap).connect(context.destination);
  window.taken = [];
  tap.onaudioprocess = ({inputBuffer}) => {
    const said = inputBuffer.getChannelData(1);
    if (window.taken.length < 400) window.taken.push({
      sound: Array.from(inputBuffer.getChannelData(0), (v) => Math.round(v * 1e4)),
      whole: Math.abs(said[2047] - said[0] - 2047 / context.sampleRate) < 1e-4,
      late: context.currentTime - said[2047], told: crowdstream.time(),
      cursor: crowdstream.cursor(), dancers: crowdstream.dancersTime(),
      lanes: crowdstream.lanes().t,
    });
  };
  await context.resume();
})()
"""


class Browser:
    """One headless Chromium with one page; keeps every request and every complaint."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium") or shutil.which("chromium-browser")
        if program is None:
            pytest.skip("needs a browser: apt-get install chromium")
        there, self._send = (_high(fd) for fd in os.pipe())
        self._receive, back = (_high(fd) for fd in os.pipe())
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--autoplay-policy=no-user-gesture-required", "--mute-audio", "--remote-debugging-pipe",
            "--window-size=1280,900", f"--user-data-dir={profile}", "about:blank",
        ]  # fmt: skip
        quiet = os.open(os.devnull, os.O_RDWR)
        self._pid = os.posix_spawn(
            program, [program, *flags], os.environ, setsid=True,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, quiet, 0), (os.POSIX_SPAWN_DUP2, quiet, 1),
                (os.POSIX_SPAWN_DUP2, quiet, 2), (os.POSIX_SPAWN_DUP2, there, 3),
                (os.POSIX_SPAWN_DUP2, back, 4),
            ],
        )  # fmt: skip
        for fd in (quiet, there, back):
            os.close(fd)
        self._buffer = b""
        self._count = 0
        self.requests: list[str] = []
        self.complaints: list[str] = []
        targets = self.call("Target.getTargets", session=None)["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", session=None, targetId=target, flatten=True)
        self._session: str = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, *, session: str | None = "", **parameters: object) -> Any:
        """Ask for something and wait for the answer."""
        self._count += 1
        asked: dict[str, object] = {"id": self._count, "method": method, "params": parameters}
        if session is not None:
            asked["sessionId"] = self._session
        os.write(self._send, json.dumps(asked).encode() + b"\0")
        while True:
            message = self._next()
            if message.get("id") == self._count:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def value(self, expression: str) -> Any:
        """Value of a script expression in the page; promises are awaited."""
        result = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Look at each picture the page draws until the expression holds."""
        held = self.value(
            "new Promise((done) => {"
            f"const until = performance.now() + 1000 * {ANSWER_SECONDS - 5};"
            f"(function look() {{ if ({expression}) done(true);"
            " else if (performance.now() > until) done(false);"
            " else requestAnimationFrame(look); })(); })"
        )
        assert held, f"never came true in the page: {expression}"

    def open(self, path: Path, *, width: int = 1280, height: int = 900) -> None:
        """Open a file and wait until the page has made itself."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        self.call("Page.navigate", url=path.as_uri())
        self.wait_until("window.crowdstream && document.readyState === 'complete'")

    def picture(self, path: Path) -> None:
        """Save what is seen as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End Chromium and all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._send)
        os.close(self._receive)

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + ANSWER_SECONDS
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._receive], [], [], max(0.0, until - time.monotonic()))
            assert ready, "Chromium gave no answer"
            piece = os.read(self._receive, 1 << 20)
            assert piece, "Chromium ended"
            self._buffer += piece
        raw, self._buffer = self._buffer.split(b"\0", 1)
        message: dict[str, Any] = json.loads(raw)
        return message

    def _note(self, message: dict[str, Any]) -> None:
        said, method = message.get("params", {}), message.get("method")
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in (
            "error",
            "warning",
            "assert",
        ):
            self.complaints.append(json.dumps(said["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(said["exceptionDetails"]))
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(json.dumps(said["entry"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A minute's show with both sounds, and its page."""
    folder = tmp_path_factory.mktemp("page")
    write_a_show(folder / "show.jsonl", seconds=SECONDS)
    write_a_sound(folder / "mix.wav", seconds=SECONDS)
    write_a_sound(folder / "plain.wav", seconds=SECONDS, seed=2, pitch=220.0)
    write_page(
        read_show(folder / "show.jsonl"), folder / "report.html",
        mix=folder / "mix.wav", plain=folder / "plain.wav",
        title="A night in three minutes", command="crowdstream demo --seed 1", seed=1,
    )  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    """A Chromium for all tests of this file."""
    browser = Browser(folder / "profile")
    yield browser
    browser.close()


def test_page_asks_for_nothing_and_complains_about_nothing(browser: Browser, folder: Path) -> None:
    """Opening, playing, seeking and switching send no request and write no error."""
    browser.open(folder / "report.html")
    browser.value("crowdstream.play()")
    browser.wait_until("crowdstream.time() > 0.5")
    browser.value("crowdstream.seek(30)")
    browser.value("crowdstream.switchTo('plain')")
    browser.wait_until("crowdstream.time() > 30.5")
    browser.value("crowdstream.pause()")
    foreign = [url for url in browser.requests if not url.startswith(("blob:", "data:", "about:"))]
    assert foreign == [(folder / "report.html").as_uri()]
    assert browser.complaints == []


def test_cursor_lanes_and_dancers_are_where_the_sound_is(browser: Browser, folder: Path) -> None:
    """At three places what is drawn is within 50 ms of the sound that is heard.

    A machine that hiccups can only make it look worse: the best of three looks counts.
    """
    mix = soundfile.read(folder / "mix.wav", dtype="float32")[0][:, 0]
    browser.open(folder / "report.html")
    browser.value(RECORDER % RATE)
    browser.value("crowdstream.play()")
    off = {}
    for place in PLACES:
        looks: list[dict[str, float]] = []
        while len(looks) < 3 and (not looks or min(map(_worst, looks)) > TOLERANCE_SECONDS):
            looks.append(_distances(browser, mix, place))
        off[place] = min(looks, key=_worst)
    assert {place: look for place, look in off.items() if _worst(look) > TOLERANCE_SECONDS} == {}


def _worst(look: dict[str, float]) -> float:
    return max(abs(seconds) for seconds in look.values())


def test_switch_changes_the_sound_and_keeps_the_place(browser: Browser, folder: Path) -> None:
    """The switch lets the other music be heard, at the same moment of the show."""
    plain = soundfile.read(folder / "plain.wav", dtype="float32")[0][:, 0]
    mix = soundfile.read(folder / "mix.wav", dtype="float32")[0][:, 0]
    browser.open(folder / "report.html")
    browser.value(RECORDER % RATE)
    browser.value("crowdstream.seek(20)")
    browser.value("crowdstream.play()")
    browser.wait_until("crowdstream.time() > 21")
    browser.value("document.querySelector('[data-mode=plain]').click()")
    assert browser.value("crowdstream.mode()") == "plain"
    assert abs(_distances(browser, plain, None)["cursor"]) <= TOLERANCE_SECONDS
    browser.value("document.querySelector('[data-mode=crowd]').click()")
    assert browser.value("crowdstream.mode()") == "crowd"
    assert abs(_distances(browser, mix, None)["cursor"]) <= TOLERANCE_SECONDS


def test_a_click_on_the_lines_moves_the_sound(browser: Browser, folder: Path) -> None:
    """The cursor can be taken to a place, and the sound goes with it."""
    browser.open(folder / "report.html", height=1900)
    box = browser.value("(({left, top, width}) => ({left, top, width}))"
                        "(document.getElementById('cursor').getBoundingClientRect())")  # fmt: skip
    where = {"x": box["left"] + box["width"] / 2, "y": box["top"] + 150}
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **where)
    browser.wait_until(
        "Math.abs(crowdstream.cursor() - crowdstream.time()) < 0.01 && crowdstream.time() > 1"
    )
    # Half of the canvas is a little left of half of the show: the names of the lanes stand left.
    assert 0.4 * SECONDS < browser.value("crowdstream.time()") < 0.5 * SECONDS


def test_keyboard_plays_and_moves(browser: Browser, folder: Path) -> None:
    """Space plays and pauses; the arrows move by five seconds."""
    browser.open(folder / "report.html")
    _press(browser, "ArrowRight")
    browser.wait_until("Math.abs(crowdstream.time() - 5) < 0.05")
    _press(browser, " ")
    browser.wait_until("crowdstream.playing() && crowdstream.time() > 5.3")
    _press(browser, " ")
    browser.wait_until("!crowdstream.playing()")
    _press(browser, "End")
    browser.wait_until(f"crowdstream.time() > {SECONDS - 0.2}")


def test_a_decision_takes_you_to_its_moment(browser: Browser, folder: Path) -> None:
    """A click on the drop goes to the drop, and the lanes show what plays there."""
    browser.open(folder / "report.html")
    browser.value("[...document.querySelectorAll('#decisions button')]"
                  ".find((button) => button.textContent.includes('drop')).click()")  # fmt: skip
    browser.wait_until(f"Math.abs(crowdstream.cursor() - {0.59 * SECONDS}) < 0.05")
    decks = browser.value("crowdstream.lanes().decks")
    assert [deck["track"] for deck in decks] == ["", "Glass Floor"]
    assert decks[1]["gains"]["drums"] > 0.9


def test_page_fits_a_phone(browser: Browser, folder: Path) -> None:
    """Nothing sticks out on a screen of 390 points, and the curves are drawn."""
    browser.open(folder / "report.html", width=390, height=844)
    assert browser.value("document.documentElement.scrollWidth") <= 390
    assert browser.value("document.getElementById('lines').clientHeight") > 300


def test_page_without_sound_runs_by_its_own_clock(browser: Browser, folder: Path) -> None:
    """A recorded night without sound can be played too, and has no switch."""
    write_page(
        read_show(folder / "show.jsonl"), folder / "silent.html",
        mix=None, plain=None, title="A night", command="crowdstream report show.jsonl", seed=None,
    )  # fmt: skip
    browser.complaints.clear()
    browser.open(folder / "silent.html")
    browser.value("crowdstream.seek(30)")
    browser.value("crowdstream.play()")
    browser.wait_until("crowdstream.time() > 30.2 && crowdstream.cursor() > 30.2")
    assert browser.value("document.getElementById('switch').hidden")
    assert browser.complaints == []


def test_page_without_music_leaves_out_its_rows(browser: Browser, folder: Path) -> None:
    """Of a clip that was analysed the movement has the room; the cursor moves over it all the same."""
    height = "document.getElementById('lines').height"
    browser.complaints.clear()
    browser.open(folder / "report.html")
    with_music = browser.value(height)
    seen = [json.dumps({"t": k / 10, "energy": 0.5, "drive": 0.5, "people": 3}) for k in range(100)]
    (folder / "seen.jsonl").write_text("\n".join(seen) + "\n")
    write_page(
        read_show(folder / "seen.jsonl"), folder / "seen.html",
        mix=None, plain=None, title="A clip", command="crowdstream analyze", seed=None,
    )  # fmt: skip
    browser.open(folder / "seen.html")
    browser.value("crowdstream.seek(5)")
    assert browser.value(height) < 0.75 * with_music
    assert browser.complaints == []


def _distances(browser: Browser, wav: Floats, place: float | None) -> dict[str, float]:
    """Drawn minus heard, in seconds, after going to `place` (None: where it is): medians of
    the pieces of about a second. A piece is found in the WAV by correlation."""
    if place is not None:
        browser.value(f"crowdstream.seek({place})")
    start = browser.value("crowdstream.time()")
    browser.wait_until(f"crowdstream.time() > {start + 0.6}")
    browser.value("window.taken.length = 0")
    browser.wait_until("window.taken.length >= 30")
    found: dict[str, list[float]] = {name: [] for name in ("cursor", "dancers", "lanes", "told")}
    for taken in browser.value("window.taken.slice(0, 30)"):
        piece = np.array(taken["sound"], np.float32) / 1e4
        from_sample = max(0, int((taken["told"] - 0.7) * RATE))
        around = wav[from_sample : from_sample + int(1.2 * RATE)]
        alike = _likeness(around, piece)
        # A busy machine tears pieces apart; those say nothing about where the sound was.
        if taken["whole"] and alike.max() > ALIKE:
            heard = (from_sample + int(alike.argmax()) + len(piece)) / RATE
            for name, distances in found.items():
                distances.append(taken[name] - heard - taken["late"])
    assert len(found["told"]) >= FEWEST_PIECES, "what is heard is not the sound of the file"
    return {name: float(np.median(distances)) for name, distances in found.items()}


def _likeness(around: Floats, piece: Floats) -> Floats:
    """Correlation, -1 to 1, of the piece with every place around."""
    match: Floats = np.fft.irfft(
        np.fft.rfft(around) * np.conj(np.fft.rfft(piece, len(around))), len(around)
    )
    power = np.cumsum(np.concatenate([[0.0], around.astype(np.float64) ** 2]))
    there = power[len(piece) :] - power[: -len(piece)]
    whole = len(around) - len(piece) + 1
    alike: Floats = match[:whole] / (np.sqrt(there * float(piece @ piece)) + 1e-9)
    return alike


def _press(browser: Browser, key: str) -> None:
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key=key)


def _high(fd: int) -> int:
    """The same pipe under a number that does not collide with the child's 3 and 4."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return high
