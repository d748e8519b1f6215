"""What the name of a file says: which stem it is, who made the track, and what to call it."""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SOUND_ENDINGS: Final = frozenset(
    (".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aif", ".aiff", ".aifc")
)
"""What is looked at in a folder; anything else in it is passed over."""

STEM_ENDINGS: Final = (".stem.mp4", ".stem.m4a")
"""Five streams in one file, as Native Instruments specified it."""

# Words of file names. The first line that has a word of the name decides, so "bass drum" is a
# drum, "vocal synth" is a voice and "bass guitar" a bass.
_WORDS: Final = (
    ("drums", "bassdrum bassdrums kick kicks kik bd"),
    ("vocals",
     ("vocal vocals vocs voc vox voice voices acapella acappella accapella singer singing choir "
     "rap adlib adlibs bv bvs backings speech gesang stimme chor")),
    ("bass", ("bass basses bassline basslines bassguitar bassgtr sub subbass 808 reese contrabass "
     "upright kontrabass")),
    ("drums",
     ("drum drums drumkit drumloop dr snare snares sd rim hat hats hh hihat hihats cymbal cymbals "
     "ride crash tom toms clap claps perc percs percussion percussions shaker shakers conga "
     "congas bongo bongos tambourine cowbell overhead overheads oh beat beats breakbeat break "
     "breaks groove schlagzeug becken")),
    ("other",
     ("other others rest synth synths keys keyboard keyboards key piano epiano rhodes wurli "
     "wurlitzer organ clav clavinet guitar guitars gtr gtrs leadguitar rhythmguitar lead leads "
     "pad pads pluck plucks arp arps chord chords stab stabs string strings violin cello horn "
     "horns brass trumpet trombone sax saxophone flute harp bell bells marimba fx sfx effect "
     "effects noise riser risers atmo atmos atmosphere ambience texture textures melody melodies "
     "music harmony harmonic accordion banjo mandolin sample samples loop loops gitarre klavier")),
)  # fmt: skip
_STEM_OF: Final = [(stem, frozenset(words.split())) for stem, words in _WORDS]

_WHOLE: Final = frozenset(
    [
        "mix",
        "mixdown",
        "mixed",
        "master",
        "mastered",
        "premaster",
        "full",
        "original",
        "fullmix",
        "stereo",
        "2mix",
        "mixture",
    ]
)
_WITHOUT: Final = frozenset(
    [
        "instrumental",
        "instrumentals",
        "inst",
        "minus",
        "karaoke",
        "backingtrack",
        "novocals",
        "playback",
    ]
)
# Words that say nothing about which stem it is, and do not keep it from being one.
_FILLERS: Final = frozenset(
    [
        "stem",
        "stems",
        "track",
        "tracks",
        "channel",
        "ch",
        "bus",
        "group",
        "bounce",
        "dry",
        "wet",
        "raw",
        "final",
        "left",
        "right",
        "l",
        "r",
        "mono",
        "main",
        "all",
        "the",
        "and",
        "a",
        "b",
        "c",
        "d",
        "solo",
        "electric",
        "acoustic",
        "double",
        "dbl",
        "high",
        "low",
        "hi",
        "lo",
        "mid",
        "up",
        "down",
        "in",
        "out",
        "room",
        "top",
        "bottom",
        "under",
        "close",
        "loop",
        "live",
        "midi",
        "audio",
        "guitar",
        "di",
        "amp",
        "mic",
        "v",
    ]
)

MIX: Final = "mix"
"""The whole track, among its stems."""

REST: Final = "rest"
"""Everything but the voice."""


def stem_named(name: str) -> str | None:
    """The stem that a name without its ending means: one of STEMS, MIX, REST; None for others.

    "01 Drums", "bassguitar" and "LeadVox_2" mean stems; a name that has a word of a stem in a
    sentence of other words, such as a song's title, means one as well: see `is_plainly_a_stem`.
    """
    words = _words(name)
    joined = "".join(words)
    if {*words, joined} & _WITHOUT or "novocals" in joined or "novocal" in joined:
        return REST
    pairs = {first + second for first, second in itertools.pairwise(words)}
    for stem, known in _STEM_OF:
        if ({*words} | pairs) & known:
            return stem
    if {*words} & _WHOLE:
        return MIX
    return None


def is_plainly_a_stem(name: str) -> bool:
    """Whether a name has only words of stems in it: "03 - Bass DI 2", not "Drums of Death"."""
    known = frozenset().union(*(words for _, words in _STEM_OF))
    words = _words(name)
    pairs = {
        word
        for first, second in itertools.pairwise(words)
        if first + second in known
        for word in (first, second)
    }
    rest = {*words} - known - _FILLERS - _WHOLE - _WITHOUT - pairs
    return stem_named(name) not in (None, MIX) and not rest


def without_what_all_share(names: Sequence[str]) -> list[str]:
    """File names without what all begin or end with: "Song (Drums)", "Song (Bass)" as the stems.

    Only whole words are taken away.
    """
    if len(names) < 2:
        return list(names)
    split = [re.findall(r"\w+|\W+", name.replace("_", " ")) for name in names]
    most = min(len(words) for words in split) - 1
    first = next(
        (i for i in range(most) if len({words[i].lower() for words in split}) > 1), max(0, most)
    )
    most -= first
    last = next(
        (i for i in range(most) if len({words[-1 - i].lower() for words in split}) > 1),
        max(0, most),
    )
    return ["".join(words[first : len(words) - last]) for words in split]


def artist_and_title(name: str) -> tuple[str, str]:
    """What a file or folder named "03 - Artist - Title (Stems)" tells; "" for what it does not.

    A number is one of a track on a disc where it has a zero or a sign: "07 Rings", "7. Rings". In
    "7 Rings" it is of the title.
    """
    name = re.sub(r"_+", " ", name)
    stems = r"[\s\-]*[\[(]?\b(stems?|multitracks?)\b[\])]?\s*$"
    name = re.sub(stems, "", name, flags=re.IGNORECASE).strip()
    plain = re.sub(r"^\s*(0\d{1,2}\s+|\d{1,3}\s*([.)]|-(?=\s))\s*)(?=\S)", "", name).strip()
    plain = re.sub(r"^[\s\-]+(?=\w)", "", plain) or name
    artist, dash, title = plain.partition(" - ")
    if dash and artist.strip() and title.strip():
        return artist.strip(), title.strip()
    return "", plain.strip(" -")


def id_of(artist: str, title: str, sound_sha256: str) -> str:
    """What to call a track in programs: a folder's name of small letters, digits and `-`."""
    text = f"{artist} {title}" if artist and artist != "unknown" else title
    flat = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    letters = flat.encode("ascii", "ignore").decode().lower().replace("'", "")
    name = "-".join(re.findall(r"[a-z0-9]+", letters))[:60].strip("-")
    # A title in another script leaves too little to be told apart by.
    enough = 2 * sum(map(str.isalnum, letters)) >= sum(map(str.isalnum, text)) and name
    return name if enough else f"track-{sound_sha256[:8]}"


def shown(path: Path | str) -> str:
    """A path for a terminal and for JSON: nothing in it can move the cursor or break the line."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def _words(name: str) -> list[str]:
    """Words in small letters, without numbers; "LeadVox2" is two words, "808" is one."""
    name = unicodedata.normalize("NFKD", name)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [w for w in re.findall(r"808|[a-z]+", name.lower()) if w]
