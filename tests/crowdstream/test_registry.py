"""Stages are found by name, and only the one that is wanted is loaded."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, TypeVar

import pytest

from crowdstream import registry
from crowdstream.errors import ConfigError
from crowdstream.packets import Energy, Frame, Motion, Packet, Tempo
from crowdstream.registry import StageTypes, load_stage, name_clashes, stage_names, types_of
from crowdstream.stage import AnyStage, Sink, Source, Stage, Transform

T = TypeVar("T", bound=Packet)


class Named:
    """What a distribution is asked for."""

    def __init__(self, name: str) -> None:
        self.name = name


def point(name: str, value: str, owner: str) -> EntryPoint:
    found = EntryPoint(name, value, registry.GROUP)
    object.__setattr__(found, "dist", Named(owner))
    return found


def install(monkeypatch: pytest.MonkeyPatch, *points: EntryPoint) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: points)


def write_module(folder: Path, name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, name, raising=False)


def test_our_own_stages_come_by_the_same_door() -> None:
    assert {"camera", "measure_energy", "speakers", "report"} <= set(stage_names())
    assert load_stage("map_tempo").__name__ == "MapTempo"


def test_two_packages_with_one_name_are_told_with_both_owners(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(
        monkeypatch, point("count", "one:Count", "party-one"), point("count", "two:Count", "abc")
    )
    with pytest.raises(ConfigError, match="a stage called count: abc and party-one"):
        stage_names()


def test_the_same_entry_seen_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, point("x", "a:X", "one"), point("x", "a:X", "one"))
    assert list(stage_names()) == ["x"]


def test_a_broken_plugin_harms_only_who_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, point("broken", "no_such_module_at_all:X", "party"))
    assert list(stage_names()) == ["broken"]
    with pytest.raises(ConfigError, match="broken: cannot be imported: No module") as caught:
        load_stage("broken")
    assert isinstance(caught.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ValueError('at import')", "ValueError: at import"),
        ("def broken(", "SyntaxError"),
        ("X = 1", "is not a stage"),
        ("class X: pass", "is not a stage"),
        ("Y = 1", "has no attribute 'X'"),
    ],
)
def test_whatever_a_strangers_module_does_is_one_sentence(
    text: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_module(tmp_path, "strangers_stage", text, monkeypatch)
    with pytest.raises(ConfigError) as caught:
        load_stage("strangers_stage:X")
    assert str(caught.value).startswith("strangers_stage:X: ")
    assert why in str(caught.value)


@pytest.mark.parametrize("use", [":X", "json:", ":", "no.such:Thing"])
def test_an_import_path_that_is_none_is_one_sentence(use: str) -> None:
    with pytest.raises(ConfigError, match="cannot be imported"):
        load_stage(use)


def test_an_unknown_name_is_told_with_what_is_near() -> None:
    with pytest.raises(ConfigError, match=r"no stage is called map_temp; did you mean map_tempo\?"):
        load_stage("map_temp")


class Eye(Source[Frame]):
    async def run(self, outbox: Any) -> None: ...


class Fuse(Transform[Frame | Motion, Energy]):
    def process(self, packet: Frame | Motion, /) -> Energy | None: ...


class Fuser(Fuse):
    """Says nothing itself: its parent does."""


class Paper(Sink[Packet]):
    async def run(self, inbox: Any) -> None: ...


class Box(Stage[Energy, Tempo]):
    async def run(self, inbox: Any, outbox: Any) -> None: ...


class Any_(Stage[Any, T]):
    async def run(self, inbox: Any, outbox: Any) -> None: ...


class Bare(AnyStage):
    pass


@pytest.mark.parametrize(
    ("stage", "takes", "sends"),
    [
        (Eye, (), (Frame,)),
        (Fuse, (Frame, Motion), (Energy,)),
        (Fuser, (Frame, Motion), (Energy,)),
        (Paper, (Packet,), ()),
        (Box, (Energy,), (Tempo,)),
        (Any_, (Packet,), (Packet,)),
    ],
)
def test_the_class_line_says_what_is_taken_and_sent(
    stage: type[AnyStage], takes: tuple[type[Packet], ...], sends: tuple[type[Packet], ...]
) -> None:
    assert types_of(stage) == StageTypes(takes, sends)


def test_a_stage_that_says_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="Bare: does not say which packets"):
        types_of(Bare)


def test_another_owner_of_our_names_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip overwrites a package `stages` without a word; this is how it is seen."""
    monkeypatch.setattr(registry, "packages_distributions", lambda: {"stages": ["crowdstream"]})
    assert name_clashes() == []
    monkeypatch.setattr(
        registry, "packages_distributions", lambda: {"stages": ["theatre", "crowdstream"]}
    )
    (clash,) = name_clashes()
    assert "a folder called stages: crowdstream and theatre" in clash
