"""Mistakes in files: one sentence each, with the line and what is near."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from crowdstream.errors import ConfigError
from crowdstream.settings import line_of, mistakes_of, nearest, read_toml, shown

TEXT = """\
title = "a # in a text"      # 1

[log]                        # 3
level = "info"
stages.camera.fps = 5        # 5, dotted

[[stage]]                    # 7
use = "camera"

[[stage]]                    # 10
use = "osc_out"
targets = [                  # 12
    { host = "a", port = 1 },
]
[stage.inbox]                # 15
capacity = 3
[[stage.more]]               # 17
x = 1
[[stage.more]]               # 19
x = 2
"""


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    port: int = Field(1, ge=1, le=9)
    share: float = 0.5


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()
    path: str = Field(description="Where the file is.")
    hidden: str = Field("", exclude=True)


def mistakes(text: str, **kwargs: object) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        Outer(**tomllib.loads(text))
    return mistakes_of(caught.value, Outer, where="f.toml", text=text, **kwargs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (("title",), 1),
        (("log",), 3),
        (("log", "level"), 4),
        (("log", "nothing"), 3),
        (("log", "stages", "camera", "fps"), 5),
        (("stage", 0, "use"), 8),
        (("stage", 1, "use"), 11),
        (("stage", 1, "targets", 0, "port"), 12),
        (("stage", 0, "inbox", "capacity"), 7),
        (("stage", 1, "inbox", "capacity"), 16),
        (("stage", 1, "more", 0, "x"), 18),
        (("stage", 1, "more", 1, "x"), 20),
        (("stage", 2), None),
        (("nowhere",), None),
    ],
)
def test_the_line_of_a_value_is_found(keys: tuple[str | int, ...], line: int | None) -> None:
    """Or that of the table that it lies in; comments and lists of tables do not confuse it."""
    assert line_of(TEXT, keys) == line


@given(st.text(), st.lists(st.text(max_size=5) | st.integers(0, 3), max_size=3))
def test_any_text_has_lines_or_none(text: str, keys: list[str | int]) -> None:
    line = line_of(text, tuple(keys))
    assert line is None or 1 <= line <= len(text.splitlines())


def test_a_slip_is_told_with_what_was_meant() -> None:
    assert nearest("chanels", ["channels", "rate"]) == "; did you mean channels?"
    assert nearest("xyz", ["rate", "device"]) == "; there are: device, rate"
    assert nearest("xyz", []) == ""


def test_every_mistake_is_one_sentence_with_its_line() -> None:
    text = 'path = "x"\n[inner]\nprot = 3\nport = 10\nshare = nan\n[[many]]\nport = true\n'
    assert mistakes(text) == [
        "f.toml, line 4: inner.port: is 10; must be at most 9",
        "f.toml, line 5: inner.share: is nan; must be a finite number",
        "f.toml, line 3: inner.prot: no such setting; did you mean port?",
    ]


def test_what_must_be_given_says_what_it_is() -> None:
    assert mistakes("") == ["f.toml: path: is missing and must be given (Where the file is)"]


def test_hidden_fields_are_never_suggested_and_further_words_are() -> None:
    (sentence,) = mistakes('path = "x"\nhiden = 1\n')
    assert sentence == "f.toml, line 2: hiden: no such setting; there are: inner, many, path"
    (sentence,) = mistakes('path = "x"\nform = 1\n', also=("from", "use"))
    assert sentence.endswith("did you mean from?")


def test_in_a_list_of_tables_the_near_one_is_found_as_well() -> None:
    (sentence,) = mistakes('path = "x"\nmany = [{ prot = 1 }]\n')
    assert sentence == "f.toml, line 2: many.0.prot: no such setting; did you mean port?"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "no such configuration"),
        (b"\xff\xfe = 1", "is not text in UTF-8"),
        (b"a = ", "is not TOML"),
        (b"a = 1\na = 2", "is not TOML"),
        (b"#" * 1_000_001, "larger than 1 MB"),
        (b"a = " + b"[" * 5000, "nested deeper"),
        (b"a = " + b"[" * 100 + b"]" * 100, "line 1: a.0.0: is nested deeper"),
        (b".".join([b"a"] * 3000) + b" = 1", "nested deeper"),
        (b"a = " + b"1" * 5000, "a number of too many digits"),
        (b"a = '\0'", r"is not TOML: Found invalid character '\x00'"),
        (b'[a]\nb = ["\\u0000"]', r"line 2: a.b.0: holds the control character '\x00'"),
        (b'"\\u001b[31m" = 1', r": \x1b[31m: holds the control character '\x1b'"),
    ],
)
def test_a_file_that_is_none_is_told_in_one_sentence(
    content: bytes | None, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "c.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_toml(path, "configuration")
    assert len(caught.value.mistakes) == 1
    assert caught.value.mistakes[0].startswith(str(path))
    assert why in caught.value.mistakes[0]


def test_the_mark_of_other_editors_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_bytes(b"\xef\xbb\xbfa = 1\n")
    assert read_toml(tmp_path / "c.toml", "configuration")[0] == {"a": 1}


def test_a_device_is_no_file() -> None:
    with pytest.raises(ConfigError, match="/dev/null: is no file; name a recipe"):
        read_toml(Path("/dev/null"), "recipe")


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (str, "0", 'is 0; write it as text in quotes, like "0"'),
        (str, "[0]", "is [0]; write it as text in quotes"),
        (Path, "true", 'is true; write it as text in quotes, like "true"'),
        (tuple[int, int], "'1, 2'", 'is "1, 2"; write a list in [brackets]'),
        (list[int], "5", "is 5; write a list in [brackets]"),
        (Inner, "5", "is 5; write a table, like { port = 1, share = 0.5 }"),
        (dict[str, int], "[1, 'x']", 'is [1, "x"]; write a table, like { name = … }'),
        (bool, "'maybe'", 'is "maybe"; write true or false'),
        (int, "1.5", "is 1.5; write a whole number"),
        (int, "'many'", 'is "many"; write a whole number'),
        (float, "'many'", 'is "many"; write a number'),
        (Literal["ok", "loud"], "'lout'", 'is "lout"; one of: ok, loud; did you mean loud?'),
        (Literal[1, 2], "{ a = 1 }", "is { a = 1 }; one of: 1, 2"),
        (Annotated[float, Field(le=0.0)], "7", "is 7; must be at most 0"),
        (Annotated[float, Field(gt=0.5)], "0", "is 0; must be more than 0.5"),
        (Annotated[str, Field(min_length=2)], "'x'", 'is "x"; must have at least 2 characters'),
        (Annotated[list[int], Field(min_length=1)], "[]", "is []; must hold at least 1"),
    ],
)
def test_what_is_wrong_is_told_in_words_of_the_file(kind: Any, given: str, said: str) -> None:
    """The technician has never heard of tuples, dictionaries or models."""
    one = create_model("One", value=(kind, ...))
    outer = create_model("Outer", part=(one, ...))
    with pytest.raises(ValidationError) as caught:
        outer(**tomllib.loads(f"[part]\nvalue = {given}"))
    (sentence,) = mistakes_of(caught.value, outer, where="f")
    assert sentence == f"f: part.value: {said}"


def test_long_and_invisible_values_stay_one_readable_line() -> None:
    (sentence,) = mistakes(f"path = 'x'\n[inner]\nport = '{'x' * 5000}'\n")
    assert len(sentence) < 160
    assert "xxx…; write a whole number" in sentence
    assert shown("a\x1b[31m\n\u202e") == r'"a\x1b[31m\n\u202e"'


def test_a_list_that_is_short_for_another_mistake_is_told_once() -> None:
    model = create_model("Some", many=(Annotated[tuple[Inner, ...], Field(min_length=1)], ...))
    with pytest.raises(ValidationError) as caught:
        model(**tomllib.loads("many = [{ port = 99 }]"))
    assert mistakes_of(caught.value, model, where="f") == [
        "f: many.0.port: is 99; must be at most 9"
    ]


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, no file; name the recipe in it"):
        read_toml(tmp_path, "recipe")
