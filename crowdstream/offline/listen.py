"""The listening page: short excerpts of what the player does, each with its picture and grid.

Each scene is a drawn energy curve that makes the conductor do one thing; the excerpt is cut
around the moment at which it did it. Three minutes of listening judge a player.
"""

from __future__ import annotations

import html
import json
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from crowdstream.config import Config
from crowdstream.errors import CrowdstreamError
from crowdstream.offline.chain import run_to_end
from crowdstream.offline.embed import json_of, mp3_of, packed, text_of
from crowdstream.offline.listen_scenes import SCENES, Scene
from crowdstream.offline.show import DECKS, Show, read_show, spans
from crowdstream.packets import STEMS
from crowdstream.plan import make_plan
from crowdstream.recipe import Recipe
from crowdstream.stage import Places

if TYPE_CHECKING:
    from numpy.typing import NDArray

PEAKS_PER_SECOND: Final = 100
"""Columns of the drawn waveform."""

SAYS_NEAR_SECONDS: Final = 0.05
"""An event at the very edge of an excerpt is still told of."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What one scene came to; `None` in place of one means that it did not happen."""

    scene: Scene
    begin: float
    """Seconds into the scene's own mix."""

    sound: NDArray[np.float32]
    """Shape (samples, 2)."""

    rate: int
    show: Show
    journal: dict[str, Any]
    moment: float
    """Seconds into the scene's own mix at which the thing happens."""

    why: str


async def write_listening_page(
    out: Path, *, config: Config, places: Places, log: Any, say: Say,
    library: Path | None = None, scenes: Sequence[Scene] = SCENES,
) -> tuple[int, list[str]]:  # fmt: skip
    """Render every scene and write the page; how many excerpts it has, and what did not happen.

    Raises:
        StageFailed: a stage failed.
        CrowdstreamError: the page cannot be written.
    """
    excerpts: list[Excerpt] = []
    missing: list[str] = []
    for scene in scenes:
        say(f"{scene.title}…")
        with tempfile.TemporaryDirectory(prefix="crowdstream-") as folder:
            found = await _play(scene, Path(folder), config, places, log, library)
        if found is None:
            missing.append(scene.title)
        else:
            excerpts.append(found)
    _write(out, _page(excerpts, missing))
    return len(excerpts), missing


def _write(out: Path, page: str) -> None:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise CrowdstreamError(f"{out}: cannot be written: {error.strerror or error}") from error


async def _play(
    scene: Scene, folder: Path, config: Config, places: Places, log: Any, library: Path | None
) -> Excerpt | None:
    import soundfile

    mix, lines = folder / "mix.wav", folder / "show.jsonl"
    stages: list[dict[str, Any]] = [
        {"use": "energy_curve", "points": scene.curve, "seconds": scene.seconds},
        {"use": "map_tempo"},
        {"use": "crossfade_stems", "from": ["energy_curve", "map_tempo"]},
        {
            "use": "wav_file", "path": mix, "seconds": scene.seconds, "journal": True,
            "rules": {"fade_in_seconds": 0.5, **scene.rules},
            **({"library": library} if library is not None else {}),
        },
        {"use": "report", "from": ["energy_curve", "map_tempo", "wav_file"], "path": lines},
    ]  # fmt: skip
    recipe = Recipe.model_validate({"title": scene.title, "offline": True, "stage": stages})
    await run_to_end(make_plan(recipe, config), places=places, log=log)
    show = read_show(lines)
    event = next((event for event in show.events if scene.is_it(event)), None)
    if event is None:
        return None
    moment = float(str(event["t"]))
    bar = 240.0 / float(np.nanmean(show.bpm))
    begin = max(0.0, moment - scene.bars_before * bar)
    end = min(scene.seconds, moment + scene.bars_after * bar)
    with soundfile.SoundFile(mix) as file:
        rate = file.samplerate
        file.seek(int(begin * rate))
        sound = file.read(int((end - begin) * rate), dtype="float32", always_2d=True)
    journal = json.loads(mix.with_suffix(".json").read_bytes())
    return Excerpt(scene, begin, sound, rate, show, journal, moment, str(event.get("why", "")))


def _page(excerpts: list[Excerpt], missing: list[str]) -> str:
    folder = files(__package__) / "page"
    parts = {
        name: (folder / name).read_text("utf-8")
        for name in ("listen.html", "page.css", "listen.css", "listen.js")
    }
    seconds = sum(len(excerpt.sound) / excerpt.rate for excerpt in excerpts)
    note = (
        f'<p class="note">Did not happen in this music: {html.escape(", ".join(missing))}.</p>'
        if missing
        else ""
    )
    return Template(parts["listen.html"]).substitute(
        style=parts["page.css"] + parts["listen.css"],
        script=parts["listen.js"],
        count=len(excerpts),
        minutes=f"{seconds / 60:.1f}",
        note=note,
        data=json_of({"stems": STEMS, "excerpts": [_drawn(excerpt) for excerpt in excerpts]}),
        sounds="\n".join(_sound_element(n, excerpt) for n, excerpt in enumerate(excerpts)),
    )


def _sound_element(number: int, excerpt: Excerpt) -> str:
    sound = text_of(mp3_of(excerpt.sound, excerpt.rate))
    return f'<script type="text/plain" id="sound-{number}">{sound}</script>'


def _drawn(excerpt: Excerpt) -> dict[str, object]:
    """What the page draws of an excerpt; every time is in seconds from its beginning."""
    show, begin = excerpt.show, excerpt.begin
    seconds = len(excerpt.sound) / excerpt.rate
    end = begin + seconds
    within = (show.times >= begin - 0.1) & (show.times <= end + 0.1)
    where = np.flatnonzero(within)
    first, last = int(where[0]), int(where[-1]) + 1
    return {
        "title": excerpt.scene.title,
        "listen": excerpt.scene.listen,
        "why": excerpt.why,
        "seconds": round(seconds, 3),
        "moment": round(excerpt.moment - begin, 3),
        "peaks": packed(_peaks(excerpt.sound, excerpt.rate) * 255.0, "u1"),
        "beats": _beats(excerpt.journal, begin, end),
        "t": [round(float(t) - begin, 3) for t in show.times[first:last]],
        "gains": packed(np.clip(show.gains[first:last], 0.0, 1.0) * 255.0, "u1"),
        "decks": DECKS,
        "tracks": [
            [
                [round(float(show.times[a + first]) - begin, 2),
                 round(float(show.times[min(b + first, last - 1)]) - begin, 2), word]
                for a, b, word in spans([names[lane] for names in show.tracks[first:last]])
                if word
            ]
            for lane in range(DECKS)
        ],
        "energy": [
            None if not math.isfinite(value) else round(float(value), 3)
            for value in show.drive[first:last]
        ],
        "events": [
            [round(float(str(event["t"])) - begin, 3), str(event["event"]),
             str(event.get("stem", "")), str(event.get("why", ""))]
            for event in show.events
            if begin - SAYS_NEAR_SECONDS <= float(str(event["t"])) <= end
        ],
    }  # fmt: skip


def _peaks(sound: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Largest value of each hundredth of a second, shape (columns,)."""
    step = rate // PEAKS_PER_SECOND
    columns = len(sound) // step
    cut = np.abs(sound[: columns * step]).reshape(columns, -1)
    return np.asarray(cut.max(axis=1), np.float64)


def _beats(journal: dict[str, Any], begin: float, end: float) -> list[list[float]]:
    """The beats of the musical timeline as [seconds from the beginning, beat]."""
    seen: dict[int, float] = {}
    for deck in journal["decks"]:
        for beat, sample in deck["beats"]:
            if begin <= sample / journal["rate"] <= end:
                seen.setdefault(round(beat - deck["offset"]), sample / journal["rate"] - begin)
    return [[round(at, 4), beat] for beat, at in sorted(seen.items())]
