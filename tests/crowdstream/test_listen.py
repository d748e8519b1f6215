"""Facts about the listening page."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from crowdstream.cli import main
from crowdstream.config import Config
from crowdstream.offline.listen import write_listening_page
from crowdstream.offline.listen_scenes import SCENES, Scene
from crowdstream.testing import a_context
from crowdstream.testing.music import SHORT_FORM, a_track, write_clicks

QUICK: dict[str, Any] = {"stretch": "varispeed", "bars_per_track": 16}
A_SWAP = Scene(
    "A swap", "Who plays the drums.", "transition", ((0.0, 0.55),), 60.0, {"style": "stem swap"},
    {**QUICK, "style": "stem swap"}, 2.0, 4.0,
)  # fmt: skip
NEVER = Scene("Never", "Nothing.", "no such event", ((0.0, 0.5),), 5.0, {}, QUICK)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, int, list[str]]:
    """One scene that happens, and one that does not."""
    folder = tmp_path_factory.mktemp("listen")
    write_clicks(
        folder / "library",
        [a_track("left", bpm=116.0, form=SHORT_FORM), a_track("right", bpm=119.0, form=SHORT_FORM)],
    )
    context = a_context(folder=folder)
    count, missing = asyncio.run(
        write_listening_page(
            folder / "page" / "listen.html", config=Config(), places=context.places,
            log=context.log, say=lambda _: None, library=folder / "library",
            scenes=(A_SWAP, NEVER),
        )
    )  # fmt: skip
    return (folder / "page" / "listen.html").read_text("utf-8"), count, missing


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    made: dict[str, Any] = json.loads(found[1])
    return made


def test_what_happened_is_heard_and_what_did_not_is_said(page: tuple[str, int, list[str]]) -> None:
    """By the scene's title; and the page asks for nothing."""
    text, count, missing = page
    assert (count, missing) == (1, ["Never"])
    assert "Did not happen in this music: Never." in text
    assert not re.search(r"(?:src|href)=\"(?!data:)", text)
    told = data_of(text)["excerpts"][0]
    assert (told["title"], bool(told["why"])) == ("A swap", True)


def test_the_grid_lies_under_the_clicks_of_the_sound(page: tuple[str, int, list[str]]) -> None:
    """Each beat within the hundredth of a second that a column of the wave is."""
    text, _, _ = page
    told = data_of(text)["excerpts"][0]
    encoded = re.search(r'id="sound-0">([^<]*)<', text)
    assert encoded is not None
    sound, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded[1])))
    assert len(sound) / rate == pytest.approx(told["seconds"], abs=0.06)
    edge = np.abs(np.diff(sound[:, 0], 2))
    heard = []
    for at, _ in told["beats"][2:-2]:
        around = edge[int((at - 0.05) * rate) : int((at + 0.05) * rate)]
        heard.append(abs(int(np.argmax(around)) / rate - 0.05))
    assert len(heard) > 15
    assert np.median(heard) < 0.01


def test_the_thing_happens_where_the_mark_is(page: tuple[str, int, list[str]]) -> None:
    """On a bar line, two bars after the beginning."""
    told = data_of(page[0])["excerpts"][0]
    bars = {round(at, 3) for at, beat in told["beats"] if beat % 4 == 0}
    # A show tells of its events to the hundredth of a second.
    assert min(abs(told["moment"] - bar) for bar in bars) < 0.006
    assert told["moment"] == pytest.approx(2 * 240.0 / 117.0, abs=0.3)


def test_all_scenes_are_judged_in_about_three_minutes() -> None:
    """At 110 BPM, a common tempo of the built-in music."""
    bars = sum(scene.bars_before + scene.bars_after for scene in SCENES)
    assert bars * 240.0 / 110.0 <= 200.0


def test_every_style_has_a_scene() -> None:
    """And every scene a title of its own."""
    from crowdstream.music.rules import STYLES

    shown = {scene.facts.get("style") for scene in SCENES}
    assert set(STYLES) - {"drums only"} <= shown
    assert len({scene.title for scene in SCENES}) == len(SCENES)


@pytest.mark.parametrize(
    ("more", "said"),
    [(("--out", "x.txt"), "ends in .html"), (("--library", "nowhere"), "is not a folder")],
)
def test_wrong_options_are_one_sentence(
    capsys: pytest.CaptureFixture[str], more: tuple[str, ...], said: str
) -> None:
    """With exit code 2."""
    assert main(["listen", *more]) == 2
    err = capsys.readouterr().err
    assert said in err and len(err.splitlines()) == 1


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """By its name."""
    from crowdstream.errors import CrowdstreamError

    context = a_context(folder=tmp_path)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CrowdstreamError, match=r"listen\.html: cannot be written"):
        asyncio.run(
            write_listening_page(
                tmp_path / "file" / "listen.html", config=Config(), places=context.places,
                log=context.log, say=lambda _: None, scenes=(),
            )
        )  # fmt: skip
