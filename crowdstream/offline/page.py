"""The page of a show: sound, drawn dancers, lanes, curves and decisions in one file.

The page is put together from the files of the folder `page` beside this module and needs
nothing else: no request leaves it, and its own content policy would refuse one.
"""

from __future__ import annotations

import html
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crowdstream.dsp.energy import Anchors, energy_of
from crowdstream.errors import MediaError
from crowdstream.offline.embed import BLOCK_SAMPLES, json_of, mp3_of, packed, text_of
from crowdstream.offline.show import DECKS, Show, spans
from crowdstream.packets import STEMS

SCRIPTS: Final = ("data.js", "sound.js", "dancers.js", "score.js", "page.js")
"""Files of the page's script, in the order in which they are joined."""

# Longer sound would make a page that a phone cannot open (24 MB for 20 minutes).
MAX_SOUND_SECONDS: Final = 1200.0
OVERSAMPLING: Final = 4
# An hour at ten lines a second; a longer night is thinned to this.
MAX_PAGE_LINES: Final = 36_000
# The page draws joints to a 4000th of the picture's height.
JOINT_STEPS: Final = 4000
GAIN_STEPS: Final = 200
# Each dancer has the colour of the own energy; the page reads the curve from a table.
ENERGY_STEP: Final = 0.05
CURVES: Final = {
    "energy": 3, "energy_true": 3, "drive": 3, "confidence": 2, "people": 0, "groove": 1,
    "bpm_wanted": 2, "bpm": 2, "bar": 0, "beat": 2, "lufs": 1,
}  # fmt: skip
"""Columns of a show that the page draws, with the decimals it needs."""


@dataclass(frozen=True, slots=True)
class Sound:
    """One WAV file, ready for the page."""

    mp3: bytes
    seconds: float
    lufs: float | None = None
    """Integrated loudness by BS.1770; None for silence, less than half a second, unmeasured."""

    true_peak_db: float | None = None
    """Largest value between the samples too, in dB of full scale; None for silence, unmeasured."""


def write_page(
    show: Show,
    out: Path,
    *,
    mix: Path | None,
    plain: Path | None,
    title: str,
    command: str,
    seed: int | None,
) -> None:
    """Write the page of a show as one self-contained file.

    `mix` is the WAV file that was heard and `plain` the same music without the crowd; without
    `mix` the page runs silently by its own clock. Sound over MAX_SOUND_SECONDS is not put
    into the page, which then says so.

    Raises:
        MediaError: a sound cannot be read.
    """
    paths = {"crowd": mix, "plain": plain if mix else None}
    given = {name: path for name, path in paths.items() if path is not None}
    # Two at a time: libsndfile works outside the interpreter's lock.
    with ThreadPoolExecutor(max_workers=2) as pool:
        measured = [name == "crowd" for name in given]
        read = dict(zip(given, pool.map(encode, given.values(), measured), strict=True))
    sounds = {name: sound for name, sound in read.items() if sound is not None}
    if "crowd" not in sounds:
        sounds = {}
    facts = _facts(show, read.get("crowd"), command, seed, too_long=bool(mix) and not sounds)
    data = _data(show) | {"facts": facts, "sounds": {k: s.seconds for k, s in sounds.items()}}
    folder = files(__package__) / "page"
    parts = {
        name: (folder / name).read_text("utf-8") for name in ("page.html", "page.css", *SCRIPTS)
    }
    filled = Template(parts["page.html"]).substitute(
        title=html.escape(title),
        lead=html.escape(_lead(show, sounds)),
        style=parts["page.css"],
        script="\n".join(parts[name] for name in SCRIPTS),
        data=json_of(data),
        sounds="\n".join(
            f'<script type="text/plain" id="sound-{name}">{text_of(sound.mp3)}</script>'
            for name, sound in sounds.items()
        ),
    )
    out.write_text(filled, encoding="utf-8")


def encode(path: Path, measured: bool = True) -> Sound | None:  # noqa: FBT002  mapped over a pool
    """Read a WAV file as MP3, and measure it if asked; None when it is too long for a page.

    Raises:
        MediaError: the file cannot be read as sound.
    """
    import pyloudnorm
    import soundfile

    try:
        with soundfile.SoundFile(path) as wav:
            seconds = wav.frames / wav.samplerate
            if seconds > MAX_SOUND_SECONDS:
                return None
            rate, channels = wav.samplerate, min(wav.channels, 2)
            samples = wav.read(dtype="float32", always_2d=True)[:, :channels]
    except (OSError, soundfile.LibsndfileError) as error:
        raise MediaError(f"{path}: cannot be read as sound; a WAV file is expected") from error
    if not len(samples):
        raise MediaError(f"{path}: holds no sound")
    mp3 = mp3_of(samples, rate)
    if not measured:
        return Sound(mp3, seconds)
    lufs = None
    if seconds >= 0.5:
        with np.errstate(divide="ignore"):
            lufs = _finite(pyloudnorm.Meter(rate).integrated_loudness(samples))
    return Sound(mp3, seconds, lufs, _true_peak_db(samples))


def _true_peak_db(samples: NDArray[np.float32]) -> float | None:
    """Largest value of the sound at four times its rate, in dB of full scale."""
    import soxr

    upward = soxr.ResampleStream(1, OVERSAMPLING, samples.shape[1], dtype="float32")
    peak = 0.0
    for start in range(0, len(samples), BLOCK_SAMPLES):
        block = samples[start : start + BLOCK_SAMPLES]
        finer = upward.resample_chunk(block, last=start + BLOCK_SAMPLES >= len(samples))
        peak = max(peak, float(np.abs(finer).max(initial=0.0)))
    return 20 * math.log10(peak) if peak > 0 else None


def _lead(show: Show, sounds: dict[str, Sound]) -> str:
    """What this page is, in one line."""
    known = show.people[np.isfinite(show.people)]
    most = int(known.max()) if known.size else 0
    if show.joints:
        who = f"{most} drawn dancers moved" if most > 1 else "A drawn crowd moved"
    else:
        who = f"Up to {most} people moved" if most > 1 else "A crowd moved"
    end = "Press play and watch both." if sounds else "This recording holds numbers only, no sound."
    followed = ", and the music followed" * any(any(names) for names in show.tracks)
    return f"{who}; a camera measured how much{followed}. {end}"


def _facts(
    show: Show, sound: Sound | None, command: str, seed: int | None, *, too_long: bool
) -> list[tuple[str, str]]:
    """The numbers at the foot of the page, as (what, value)."""
    facts = [("made by", command)] if command else []
    if seed is not None:
        facts.append(("seed", str(seed)))
    version = show.meta.get("version")
    if isinstance(version, str):
        facts.append(("version", f"crowdstream {version}"))
    facts.append(("length", _minutes(show.seconds)))
    low, high = _range(show.bpm)
    if low is not None and high is not None:
        facts.append(("tempo played", f"{low:.1f} to {high:.1f} BPM"))
    if sound is not None:
        if sound.lufs is not None:
            facts.append(("loudness", f"{sound.lufs:.1f} LUFS"))
        if sound.true_peak_db is not None:
            facts.append(("true peak", f"{sound.true_peak_db:.1f} dBTP"))
    if too_long:
        limit = MAX_SOUND_SECONDS / 60
        facts.append(("sound", f"longer than {limit:.0f} minutes; it lies beside this page"))
    for key, name in (("lines_skipped", "lines skipped"), ("lines_left_out", "lines left out")):
        if key in show.meta:
            facts.append((name, f"{show.meta[key]} of the recording"))
    return facts


def _data(show: Show) -> dict[str, object]:
    """Everything the script draws, thinned to MAX_PAGE_LINES."""
    step = math.ceil(len(show.times) / MAX_PAGE_LINES)
    times = show.times[::step]
    data: dict[str, object] = {
        "seconds": round(show.seconds, 3),
        "aspect": show.meta["aspect"],
        "stems": STEMS,
        "lines": len(times),
        "t": _column(times, 3),
        "curves": {
            name: _column(getattr(show, name)[::step], decimals)
            for name, decimals in CURVES.items()
        },
        "gains": packed(show.gains[::step] * GAIN_STEPS, "u1"),
        "gain_steps": GAIN_STEPS,
        "tracks": [_runs(show, [names[lane] for names in show.tracks]) for lane in range(DECKS)],
        "sections": [
            _runs(show, [names[lane] for names in show.deck_sections]) for lane in range(DECKS)
        ],
        "scenes": _runs(show, show.scene),
        "states": _runs(show, show.state),
        "eyes": _runs(show, [" + ".join(eyes) for eyes in show.eyes]),
        "events": [
            {
                key: value
                for key in ("t", "event", "why", "stem")
                if isinstance(value := event.get(key), str | float)
            }
            for event in show.events
        ],
        "joints": None,
        "energy_step": ENERGY_STEP,
        "energy_of": [
            round(energy_of(v), 3)
            for v in np.arange(0.0, Anchors().full + ENERGY_STEP, ENERGY_STEP).tolist()
        ],
    }
    if show.joints and step == 1:
        data["joints"] = {
            "steps": JOINT_STEPS,
            "counts": packed(np.array([len(ids) for ids in show.ids]), "<u2"),
            "ids": packed(np.concatenate(show.ids), "<i4"),
            "xy": packed(np.concatenate(show.joints) * JOINT_STEPS, "<i2"),
        }
    return data


def _runs(show: Show, words: list[str]) -> list[tuple[float, float, str]]:
    """Runs of the same word as (begin, end, word) in seconds; none for the empty word."""
    ends = np.append(show.times, show.seconds)
    return [
        (round(float(ends[start]), 3), round(float(ends[end]), 3), word)
        for start, end, word in spans(words)
        if word
    ]


def _column(values: NDArray[np.float64], decimals: int) -> list[float | int | None]:
    """Rounded numbers, None where not known."""
    rounded = np.round(values, decimals)
    return [
        None if not math.isfinite(value) else int(value) if decimals == 0 else value
        for value in rounded.tolist()
    ]


def _range(values: NDArray[np.float64]) -> tuple[float | None, float | None]:
    known = values[np.isfinite(values)]
    return (float(known.min()), float(known.max())) if known.size else (None, None)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
