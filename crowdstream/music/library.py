"""The library: tracks on disk, one folder each, as four stems and a `track.toml`.

    library/
        low-tide/
            track.toml      what the music is: tempo, key, sections, loudness
            drums.flac  bass.flac  vocals.flac  other.flac
        as-it-came/
            track.toml
            mix.flac        a track that nobody has separated: it plays whole

The stems of a track are equally long and add up to it. Its beats lie on a straight line: beat
`b` is heard `first_beat_seconds + b * 60 / bpm` seconds into the files.

What was measured stands in `[measured]` as well; where a value above differs from it, a person
has changed it, and measuring again leaves it alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from crowdstream.errors import CrowdstreamError, MediaError
from crowdstream.music.track import (
    BEATS_PER_BAR,
    MEASURED,
    MIX,
    SECTION_NAMES,
    WHOLE_PLAYS_AS,
    Cue,
    Section,
    Source,
    Track,
    cues_as_text,
    sections_as_text,
)
from crowdstream.music.track_file import TRACK_FILE, read_track, write_track
from crowdstream.packets import STEMS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Who takes something from the library asks here, whatever file of it that stands in.
__all__ = [
    "BEATS_PER_BAR", "MEASURED", "MIX", "SECTION_NAMES", "TRACK_FILE", "WHOLE_PLAYS_AS", "Cue",
    "Section", "Source", "Track", "cues_as_text", "default_library", "load_stems", "own_library",
    "read_library", "read_track", "sections_as_text", "write_track",
]  # fmt: skip


def default_library(state: Path) -> Path:
    """Where tracks lie when no configuration says where: in the state folder, beside models."""
    return state / "library"


def own_library(state: Path) -> Path | None:
    """`default_library`, if there are tracks in it."""
    folder = default_library(state)
    return folder if any(folder.glob(f"[!.]*/{TRACK_FILE}")) else None


def read_library(folder: Path) -> tuple[tuple[Track, ...], tuple[str, ...]]:
    """All tracks under `folder`, sorted by id, and one sentence for each that cannot be used.

    Folders without a `track.toml` are not tracks and are passed over. A folder that is not there
    is an empty library.
    """
    tracks: dict[str, Track] = {}
    complaints: list[str] = []
    for path in sorted(folder.glob(f"[!.]*/{TRACK_FILE}")):  # hidden ones are being made
        try:
            track = read_track(path.parent)
        except CrowdstreamError as broken:
            complaints.extend(str(broken).splitlines())
            continue
        if track.id in tracks:
            complaints.append(
                f"{path}: id {track.id!r} is already that of {tracks[track.id].folder}"
            )
            continue
        tracks[track.id] = track
    return tuple(tracks[name] for name in sorted(tracks)), tuple(complaints)


def load_stems(track: Track, rate: int) -> NDArray[np.int16]:
    """The four stems at `rate` samples per second, shape (4, samples, 2), in the order of STEMS.

    Mono becomes stereo; a stem shorter than the others ends in silence. A whole track has all its
    sound in the place of WHOLE_PLAYS_AS, the others are silent. Raises MediaError when a file is
    missing, cannot be decoded, or is not at the track's rate.
    """
    import numpy as np
    import soundfile
    import soxr

    places = [WHOLE_PLAYS_AS] if track.whole else list(range(len(STEMS)))
    names = [MIX] if track.whole else STEMS
    paths = {p: track.folder / track.files[n] for p, n in zip(places, names, strict=True)}
    shapes = {place: _checked_shape(path, track.rate) for place, path in paths.items()}
    longest = max(frames for frames, _ in shapes.values())
    stems = np.zeros((len(STEMS), longest, 2), np.int16)

    def decode(stem: int) -> None:
        frames, channels = shapes[stem]
        room = stems[stem, :frames]
        try:
            if channels == 2:
                got = soundfile.read(paths[stem], frames, dtype="int16", out=room)[0]
            else:
                got = soundfile.read(paths[stem], frames, dtype="int16")[0]
                room[: len(got)] = got[:, np.newaxis]
        except soundfile.LibsndfileError as broken:
            raise MediaError(f"{paths[stem]}: cannot be decoded: {broken}") from broken
        if len(got) < frames:
            raise MediaError(
                f"{paths[stem]}: ends after {len(got)} of {frames} samples; copy the track again"
            )

    # The decoder lets go of the interpreter, so the stems share the processor's cores.
    with ThreadPoolExecutor(len(STEMS), "decode") as threads:
        list(threads.map(decode, places))
        if rate == track.rate:
            return stems
        sounding = list(threads.map(lambda p: soxr.resample(stems[p], track.rate, rate), places))
    at_rate = np.zeros((len(STEMS), *sounding[0].shape), np.int16)
    at_rate[places] = sounding
    return at_rate


def _checked_shape(path: Path, rate: int) -> tuple[int, int]:
    """(samples, channels) of a stem."""
    import soundfile

    try:
        info = soundfile.info(path)
    except soundfile.LibsndfileError as broken:
        raise MediaError(f"{path}: is not a sound file that can be read: {broken}") from broken
    if info.samplerate != rate:
        raise MediaError(f"{path}: is at {info.samplerate} Hz; its track.toml says {rate} Hz")
    if info.channels not in (1, 2):
        raise MediaError(f"{path}: has {info.channels} channels; a stem has one or two")
    return info.frames, info.channels
