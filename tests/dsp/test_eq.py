"""Facts about the bands, the filters and the echo of a deck."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from crowdstream.dsp.echo import BEATS, Echo
from crowdstream.dsp.eq import FLAT, HIGH, HIGHPASS, LOW, LOWPASS, MID, Tone

RATE = 44100
QUANTUM = 256

Knobs = dict[int, float]


def knobs(set_to: Knobs) -> NDArray[np.float64]:
    row = np.array(FLAT)
    for knob, value in set_to.items():
        row[knob] = value
    return row


def shaped(sound: NDArray[np.float32], moves: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Through a tone whose knobs stand at each move at the ends of quanta; the last one stays."""
    tone, out = Tone(RATE), sound.copy()
    before = moves[0]
    for place in range(len(out) // QUANTUM):
        after = moves[min(place, len(moves) - 1)]
        tone.shape(out[place * QUANTUM : (place + 1) * QUANTUM], before, after)
        before = after
    return out.astype(np.float64)


def response_db(set_to: Knobs, hz: list[float]) -> list[float]:
    """What is left of each frequency, from the answer to one sample."""
    impulse = np.zeros((64 * QUANTUM, 2), np.float32)
    impulse[0] = 0.5
    answer = np.abs(np.fft.rfft(shaped(impulse, [knobs(set_to)])[:, 0] / 0.5))
    return [float(20 * np.log10(answer[round(f * 64 * QUANTUM / RATE)] + 1e-9)) for f in hz]


def noise(quanta: int) -> NDArray[np.float32]:
    return (0.1 * np.random.default_rng(1).standard_normal((quanta * QUANTUM, 2))).astype(
        np.float32
    )


def test_an_equalizer_that_nobody_touches_is_not_there() -> None:
    """Bit for bit, phase and all."""
    sound = noise(40)
    assert shaped(sound, [knobs({})]).astype(np.float32).tobytes() == sound.tobytes()


@pytest.mark.parametrize(
    ("band", "killed", "kept"),
    [(LOW, [40.0, 60.0], [300.0, 1000.0, 8000.0]), (HIGH, [6000.0, 12000.0], [60.0, 1000.0])],
)
def test_a_killed_band_is_gone_and_the_others_are_whole(
    band: int, killed: list[float], kept: list[float]
) -> None:
    """30 dB an octave and more beyond where bands meet; within half a dB an octave before."""
    assert max(response_db({band: 0.0}, killed)) < -28.0
    assert response_db({band: 0.0}, kept) == pytest.approx([0.0] * len(kept), abs=0.6)


def test_where_bands_meet_half_is_left() -> None:
    """6 dB down: two decks that hand over a band are together as loud as one."""
    assert response_db({LOW: 0.0}, [150.0]) == pytest.approx([-6.0], abs=0.2)
    assert response_db({HIGH: 0.0}, [2500.0]) == pytest.approx([-6.0], abs=0.2)


def test_the_middle_can_be_killed_between_the_others() -> None:
    """It is 30 dB down, and bass and treble stay."""
    assert response_db({MID: 0.0}, [612.0])[0] < -30.0
    assert response_db({MID: 0.0}, [40.0, 10000.0]) == pytest.approx([0.0, 0.0], abs=0.6)


def test_all_killed_is_silence() -> None:
    """Not almost."""
    sound = shaped(noise(20), [knobs({LOW: 0.0, MID: 0.0, HIGH: 0.0})])
    assert np.abs(sound[4 * QUANTUM :]).max() < 1e-6


@settings(max_examples=30, deadline=None)
@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_no_band_and_no_filter_makes_anything_louder(low: float, mid: float, high: float) -> None:
    """At any frequency, wherever the knobs are."""
    hz = [30.0, 80.0, 150.0, 300.0, 600.0, 1200.0, 2500.0, 5000.0, 12000.0]
    assert max(response_db({LOW: low, MID: mid, HIGH: high}, hz)) < 0.1
    assert max(response_db({LOWPASS: low, HIGHPASS: high}, hz)) < 0.1


def test_a_kill_does_nearly_all_of_it_within_sixty_milliseconds() -> None:
    """Of a bass at 50 Hz, when the knob falls within one quantum."""
    time = np.arange(120 * QUANTUM) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 50 * time))[:, np.newaxis].repeat(2, 1).astype(np.float32)
    moves = [knobs({})] * 60 + [knobs({LOW: 0.0})]
    sound = shaped(tone, moves)[:, 0]
    after = 61 * QUANTUM + int(0.060 * RATE)
    assert np.abs(sound[after:]).max() < 0.05 * 0.5
    assert np.abs(sound[: 60 * QUANTUM]).max() > 0.49


def test_filters_close_as_they_say() -> None:
    """Open they are not there; closed a low pass leaves the bass, a high pass the hats."""
    assert response_db({LOWPASS: 0.0}, [50.0, 200.0, 800.0]) == pytest.approx(
        [0.0, -3.0, -48.0], abs=0.5
    )
    assert response_db({HIGHPASS: 1.0}, [500.0, 2000.0, 8000.0]) == pytest.approx(
        [-48.0, -3.0, 0.0], abs=0.5
    )
    sound = noise(10)
    assert shaped(sound, [knobs({LOWPASS: 1.0, HIGHPASS: 0.0})]).astype(
        np.float32
    ).tobytes() == sound.tobytes()  # fmt: skip


@pytest.mark.parametrize("knob", [LOW, MID, HIGH, LOWPASS, HIGHPASS])
def test_a_knob_that_is_turned_makes_no_click(knob: int) -> None:
    """No corner of a loud low tone is sharper than a thousandth, however the knob goes to and fro."""
    time = np.arange(200 * QUANTUM) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 80 * time))[:, np.newaxis].repeat(2, 1).astype(np.float32)
    to_and_fro = [0.5 + 0.5 * np.cos(q / 10.0) for q in range(200)]
    sound = shaped(tone, [knobs({knob: value}) for value in to_and_fro])[:, 0]
    assert np.abs(np.diff(sound[20 * QUANTUM :], 2)).max() < 1e-3


def echoed(
    send: list[float], *, per_beat: float = 20_000.0, quanta: int = 400
) -> NDArray[np.float32]:
    """A click in the first quantum, and what the echo adds; the send at the ends of quanta."""
    echo, out = Echo(RATE), np.zeros((quanta * QUANTUM, 2), np.float32)
    before = send[0]
    for place in range(quanta):
        sound = np.zeros((QUANTUM, 2), np.float32)
        if place == 0:
            sound[100:140] = 0.5
        after = send[min(place, len(send) - 1)]
        echo.repeat(sound, before, after, per_beat, out[place * QUANTUM : (place + 1) * QUANTUM])
        before = after
    return out


def test_an_echo_is_on_the_beat_and_falls() -> None:
    """Repeats three quarters of a beat apart, each about 5 dB and something for its thinness down."""
    out = np.abs(echoed([1.0, 0.0]))[:, 0]
    apart = int(BEATS * 20_000)
    peaks = [apart * k + int(out[apart * k : apart * k + 400].argmax()) for k in range(1, 5)]
    assert peaks == pytest.approx([apart * k + 120 for k in range(1, 5)], abs=25)
    levels = 20 * np.log10(out[peaks])
    assert np.diff(levels) == pytest.approx([-6.0] * 3, abs=1.5)


def test_an_echo_rings_on_when_nothing_goes_in_and_then_ends() -> None:
    """Its tail is heard after the send is closed; in the end there is silence, not a rest."""
    echo = Echo(RATE)
    out = np.zeros((QUANTUM, 2), np.float32)
    echo.repeat(np.full((QUANTUM, 2), 0.5, np.float32), 1.0, 1.0, 4000.0, out)
    silence, heard = np.zeros((QUANTUM, 2), np.float32), []
    while echo.rings:
        out[:] = 0.0
        echo.repeat(silence, 0.0, 0.0, 4000.0, out)
        heard.append(float(np.abs(out).max()))
    assert max(heard[:20]) > 0.05
    assert max(heard[-8:]) < 1e-4
    assert len(heard) * QUANTUM == pytest.approx(18 * 0.75 * 4000, rel=0.02)


def test_without_a_send_an_echo_adds_nothing() -> None:
    """Not even work."""
    assert not echoed([0.0]).any()
    assert not Echo(RATE).rings


def test_an_echo_gives_no_second_bass() -> None:
    """What is repeated of 60 Hz is 10 dB below what is repeated of 1 kHz."""
    levels = []
    for hz in (60.0, 1000.0):
        echo, total = Echo(RATE), 0.0
        time = np.arange(200 * QUANTUM) / RATE
        tone = (0.5 * np.sin(2 * np.pi * hz * time))[:, np.newaxis].repeat(2, 1).astype(np.float32)
        for place in range(200):
            out = np.zeros((QUANTUM, 2), np.float32)
            part = tone[place * QUANTUM : (place + 1) * QUANTUM]
            echo.repeat(np.ascontiguousarray(part), 1.0, 1.0, 40_000.0, out)
            if 125 < place < 200:
                total += float((out**2).sum())
        levels.append(10 * np.log10(total))
    assert levels[1] - levels[0] > 9.0
