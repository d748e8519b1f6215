"""`crowdstream library`: the music of this venue."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crowdstream.commands import (
    add_config,
    add_json,
    print_json,
    say,
    subcommand,
    the_config,
)
from crowdstream.commands.library_separate import add_options as add_separate_options
from crowdstream.commands.library_separate import separate
from crowdstream.config import Config, places_of
from crowdstream.errors import CrowdstreamError, UsageError
from crowdstream.music.library import default_library

if TYPE_CHECKING:
    from crowdstream.library.add import Outcome
    from crowdstream.library.again import Again
    from crowdstream.library.files import Candidate
    from crowdstream.library.keep import Keep
    from crowdstream.music.library import Track

ACTIONS: Final = {
    "add": ("take audio files, folders and stems into the library",
            "crowdstream library add ~/Music/night   (or one file, or a folder of stems)"),
    "list": ("what is in it", "crowdstream library list --json"),
    "show": ("all that is known of one track", "crowdstream library show low-tide"),
    "check": ("look at every track, and say what to mend", "crowdstream library check --deep"),
    "measure": ("measure tracks anew; what was changed by hand stays",
                "crowdstream library measure low-tide"),
    "separate": ("give stems to tracks that play whole; the daemon does it in the background",
                 "crowdstream library separate low-tide --quality high"),
    "remove": ("take a track out, with its files", "crowdstream library remove low-tide --yes"),
    "import-rekordbox": ("take grids, cues and tags from an exported rekordbox collection",
                         "crowdstream library import-rekordbox rekordbox.xml --root /media/usb"),
    "export": ("write a track as a folder or a .zip that another library takes",
               "crowdstream library export low-tide --out low-tide.zip"),
}  # fmt: skip


def add(subcommands: Any) -> None:
    """Declare the options."""
    parser = subcommand(
        subcommands, "library", what="the music: add, list, show, check, remove, import, export",
        example="crowdstream library add ~/Music/night",
    )  # fmt: skip
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, (what, example) in ACTIONS.items():
        action = subcommand(actions, name, what=what, example=example)
        action.add_argument(
            "--library", type=Path, metavar="DIR",
            help="the library (default: library of [speakers] in config.toml, else the user's own)",
        )  # fmt: skip
        add_config(action)
        add_json(action)
        if name == "add":
            action.add_argument(
                "path", type=Path, nargs="+", metavar="FILE|FOLDER",
                help="the exit code is 1 if any sound file among them is refused",
            )  # fmt: skip
            action.add_argument(
                "--short", action="store_true", help="also take what has fewer than 8 bars"
            )
        if name in ("add", "import-rekordbox", "measure"):
            action.add_argument(
                "--jobs", type=int, metavar="N",
                help="so many tracks at once (default: one for each core)",
            )  # fmt: skip
        if name in ("show", "remove", "export"):
            action.add_argument("id", metavar="ID", help="as library list says it")
        if name == "measure":
            action.add_argument("id", nargs="*", metavar="ID", help="(default: all)")
        if name == "separate":
            add_separate_options(action)
        if name == "check":
            action.add_argument(
                "--deep", action="store_true", help="decode everything, and compare its hash"
            )
        if name == "remove":
            action.add_argument("--yes", action="store_true", help="do not ask, for scripts")
        if name == "export":
            action.add_argument(
                "--out", type=Path, metavar="FOLDER|FILE.zip", help="(default: ID.zip here)"
            )
        if name == "import-rekordbox":
            action.add_argument("file", type=Path, metavar="FILE.xml")
            action.add_argument(
                "--root", type=Path, action="append", metavar="FOLDER",
                help="where its music lies here; may be given again (default: beside FILE.xml)",
            )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Do one of them."""
    config = the_config(arguments, quiet=True)
    folder, whence = _folder(arguments, config)
    if arguments.action not in ("list", "separate") or not arguments.json:
        say(f"library: {folder} ({whence})")
    jobs = getattr(arguments, "jobs", None)
    if jobs is not None and not 1 <= jobs <= 64:
        raise UsageError(f"--jobs: {jobs} is not 1 to 64")
    actions = {
        "add": _add, "list": _list, "show": _show, "check": _check, "remove": _remove,
        "export": _export, "measure": _measure, "import-rekordbox": _rekordbox,
        "separate": separate,
    }  # fmt: skip
    return actions[arguments.action](arguments, folder)


def _folder(arguments: argparse.Namespace, config: Config) -> tuple[Path, str]:
    """The library, and who says so."""
    if arguments.library is not None:
        return arguments.library.absolute(), "--library"
    said = config.stages.get("speakers", {}).get("library")
    if isinstance(said, str):
        base = config.path.parent if config.path is not None else Path()
        return (base / said).absolute(), str(config.path)
    return default_library(places_of(config).state).absolute(), "the user's own"


# ---- add -----------------------------------------------------------------------------------------


def _add(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.commands.library_lines import Lines
    from crowdstream.library.add import add_music, cores
    from crowdstream.library.files import find_music
    from crowdstream.library.keep import open_library

    begun = time.monotonic()
    outcomes: list[Outcome] = []
    with open_library(folder) as keep:
        candidates, refused, others = find_music(arguments.path, library=folder)
        jobs = min(arguments.jobs or cores(), max(1, len(candidates)))
        if candidates:
            say(f"{len(candidates)} to look at, {jobs} at once")
        with Lines([c.path.name for c in candidates], quiet=arguments.json) as lines:
            for refusal in refused:
                lines.refused(refusal.path, refusal.reason)
            try:
                for outcome in add_music(
                    keep, candidates, jobs=jobs, short=arguments.short, watch=lines.watch
                ):
                    outcomes.append(outcome)
                    lines.outcome(outcome)
            except KeyboardInterrupt:
                lines.close()
                say(
                    f"interrupted: {len(outcomes)} of {len(candidates)} are done;"
                    " the same command goes on there"
                )
                raise
    added = [o.track for o in outcomes if o.track is not None]
    there = sum(1 for o in outcomes if o.same_as)
    wrong = len(refused) + sum(1 for o in outcomes if o.refused)
    if arguments.json:
        print_json({
            "library": str(folder),
            "added": [facts_of(track) | {"notes": list(o.notes), "path": _path(o.candidate.path)}
                      for o in outcomes if (track := o.track) is not None],
            "there": [{"path": _path(o.candidate.path), "id": o.same_as}
                      for o in outcomes if o.same_as],
            "refused": [{"path": _path(r.path), "reason": r.reason} for r in refused]
            + [{"path": _path(o.candidate.path), "reason": o.refused}
               for o in outcomes if o.refused],
            "passed_over": others,
        })  # fmt: skip
    else:
        passed = f", {others} other files passed over" if others else ""
        print(
            f"{len(added)} added, {there} there already, {wrong} refused{passed};"
            f" {_long(time.monotonic() - begun)}"
        )
        if added:
            print("a daemon that plays this library plays them from its next start")
    return 1 if wrong else 0


# ---- measure, import-rekordbox -------------------------------------------------------------------


def _measure(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.library.keep import find_track, open_library
    from crowdstream.music.library import read_library

    begun = time.monotonic()
    with open_library(folder) as keep:
        if arguments.id:
            found = [find_track(folder, name) for name in arguments.id]
            for one in found:
                if one.track is None:
                    raise CrowdstreamError(f"{one.why}; mend it first")
            tracks = [one.track for one in found if one.track is not None]
        else:
            tracks = list(read_library(folder)[0])
        agains = _again(arguments, keep, tracks, None)
    changed = sum(1 for again in agains if again.changed)
    wrong = sum(1 for again in agains if again.refused)
    if arguments.json:
        print_json({"library": str(folder), "tracks": [_facts_of_again(a) for a in agains]})
    else:
        failed = f", {wrong} failed" if wrong else ""
        took = _long(time.monotonic() - begun)
        print(f"{changed} of {len(agains)} tracks are measured otherwise now{failed}; {took}")
    return 1 if wrong else 0


def _again(
    arguments: argparse.Namespace,
    keep: Keep,
    tracks: list[Track],
    hints: list[dict[str, Any]] | None,
) -> list[Again]:
    """Measure tracks that are there, and print a line for each."""
    from crowdstream.commands.library_lines import Lines
    from crowdstream.library.add import cores
    from crowdstream.library.again import measure_again

    agains: list[Again] = []
    names = [track.id for track in tracks]
    with Lines(names, quiet=arguments.json) as lines:
        for again in measure_again(
            keep, tracks, jobs=arguments.jobs or cores(), hints=hints, watch=lines.watch
        ):
            agains.append(again)
            lines.again(again)
    return agains


def _rekordbox(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.commands.library_lines import Lines
    from crowdstream.library.add import add_music, cores, hash_of_files
    from crowdstream.library.files import find_music
    from crowdstream.library.keep import open_library
    from crowdstream.library.rekordbox import locate, read_collection
    from crowdstream.music.library import read_track

    begun = time.monotonic()
    roots = arguments.root or [arguments.file.absolute().parent]
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"--root {root}: there is no such folder")
    say(f"music is looked for in {', '.join(str(root) for root in roots)}")
    collection = list(read_collection(arguments.file))
    lost: list[tuple[str, str]] = []
    there: list[Track] = []
    hints_there: list[dict[str, Any]] = []
    candidates: list[Candidate] = []
    hints: dict[Path, dict[str, Any]] = {}
    outcomes: list[Outcome] = []
    with open_library(folder) as keep:
        with Lines((), quiet=arguments.json) as lines:
            for prepared in collection:
                path = locate(prepared.location, roots)
                found, refused, _ = find_music([path]) if path is not None else ([], [], 0)
                if path is None or refused:
                    why = refused[0].reason if refused else "its file is not there"
                    lost.append((prepared.name, why))
                    lines.refused(Path(prepared.location), why)
                    continue
                candidate = found[0]._replace(notes=prepared.notes)
                known = keep.given_before(hash_of_files([path]))
                if known is not None:
                    there.append(read_track(folder / known))
                    hints_there.append(dict(prepared.hints))
                elif path not in hints:
                    candidates.append(candidate)
                    hints[path] = dict(prepared.hints)
        with Lines([c.path.name for c in candidates], quiet=arguments.json) as lines:
            jobs = arguments.jobs or cores()
            for outcome in add_music(keep, candidates, jobs=jobs, hints=hints, watch=lines.watch):
                outcomes.append(outcome)
                lines.outcome(outcome)
        agains = _again(arguments, keep, there, hints_there)
    added = [o.track for o in outcomes if o.track is not None]
    wrong = [(o.candidate.path.name, o.refused) for o in outcomes if o.refused]
    wrong += [(a.track.id, a.refused) for a in agains if a.refused]
    if arguments.json:
        print_json({
            "library": str(folder),
            "added": [facts_of(track) | {"notes": list(o.notes), "path": _path(o.candidate.path)}
                      for o in outcomes if (track := o.track) is not None],
            "there": [_facts_of_again(again) for again in agains],
            "refused": [{"name": name, "reason": why} for name, why in [*lost, *wrong]],
        })  # fmt: skip
    else:
        changed = sum(1 for again in agains if again.changed)
        print(
            f"{len(collection)} tracks in the collection: {len(added)} added, {changed} of"
            f" {len(agains)} that were there changed, {len(lost)} not found, {len(wrong)} refused;"
            f" {_long(time.monotonic() - begun)}"
        )
    return 1 if wrong or lost else 0


# ---- list, show, check ---------------------------------------------------------------------------


def _list(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.music.library import read_library

    tracks, complaints = read_library(folder)
    if arguments.json:
        print_json({
            "library": str(folder), "tracks": [facts_of(track) for track in tracks],
            "broken": list(complaints),
        })  # fmt: skip
        return 0
    wide = max([len(track.id) for track in tracks], default=0)
    if tracks:
        print(f"{'id':<{wide}}     bpm  key  length  bars  stems  grid  title")
    for track in tracks:
        print(
            f"{track.id:<{wide}}  {track.bpm:6.2f}  {track.key:<3}  {_long(track.seconds):>6}"
            f"  {track.bars:4}  {'whole' if track.whole else 'four ':5}  {track.confidence:4.2f}"
            f"  {track.title} · {track.artist}"
        )
    for complaint in complaints:
        say(f"cannot be played: {complaint}")
    count = f"{len(tracks)} tracks" if len(tracks) != 1 else "1 track"
    unsure = sum(1 for track in tracks if track.confidence < 0.5)
    print(
        f"{count}{f', {len(complaints)} broken' if complaints else ''}"
        f"{f', {unsure} with an unsure grid' if unsure else ''}"
        if tracks or complaints
        else "no tracks yet; the built-in music plays (crowdstream library add FOLDER)"
    )
    return 0


def _show(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.library.keep import find_track

    found = find_track(folder, arguments.id)
    track = found.track
    if track is None:
        raise CrowdstreamError(f"{found.why}; mend it there, or add the music again")
    if arguments.json:
        print_json({"library": str(folder)} | facts_of(track))
        return 0
    edited = {*track.edited}

    def by_hand(*keys: str) -> str:
        return "  (set by hand)" if edited & {*keys} else ""

    sections = "  ".join(f"{s.bar}:{s.name}" for s in track.sections)
    first = f"first downbeat at {track.first_beat_seconds:.3f} s"
    print(f"{track.title} · {track.artist}{by_hand('title', 'artist')}")
    print(f"  id         {track.id}")
    print(
        f"  tempo      {track.bpm:.3f} BPM, {first}, grid {track.confidence:.2f} sure"
        f"{by_hand('bpm', 'first_beat_seconds')}"
    )
    print(f"  key        {track.key}{by_hand('key')}")
    print(f"  length     {_long(track.seconds)}, {track.bars} bars{by_hand('bars')}")
    print(f"  sections   {sections}{by_hand('sections')}")
    print(f"  loudness   {track.loudness_lufs:.1f} LUFS{by_hand('loudness_lufs')}")
    what = "plays whole, for it has no stems" if track.whole else ", ".join(track.files)
    print(f"  sound      {what}; {track.rate} Hz")
    for cue in track.cues:
        print(f"  cue        {cue.seconds:8.3f} s  {cue.name}")
    if track.source is not None:
        print(f"  came from  {track.source.name}")
    print(f"  lies in    {track.folder}")
    return 0


def _check(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.library.check import check_library

    checked = list(check_library(folder, deep=arguments.deep))
    bad = [one for one in checked if one.mend]
    if arguments.json:
        print_json({
            "library": str(folder), "ok": not bad,
            "tracks": [
                {"id": c.track.id if c.track else c.folder.name, "mend": list(c.mend)}
                for c in checked
            ],
        })  # fmt: skip
        return 1 if bad else 0
    for one in bad:
        for sentence in one.mend:
            print(f"{one.track.id if one.track else one.folder.name}: {sentence}")
    good = len(checked) - len(bad)
    print(f"{good} of {len(checked)} tracks are right" if checked else "no tracks yet")
    return 1 if bad else 0


# ---- remove, export ------------------------------------------------------------------------------


def _remove(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.library.keep import find_track, open_library

    found = find_track(folder, arguments.id)
    if not arguments.yes:
        if not sys.stdin.isatty():
            raise UsageError("asks before it removes, and this is no terminal; add --yes")
        what = f"{found.track.title} · {found.track.artist}" if found.track else "a broken track"
        try:
            answer = input(f"remove {what} and its files in {found.folder}? [y/N] ")
        except EOFError:
            answer = ""
        if answer.strip().lower() not in ("y", "yes", "j", "ja"):
            say("nothing was removed")
            return 0
    with open_library(folder) as keep:
        keep.remove(found)
    if arguments.json:
        print_json({"library": str(folder), "removed": found.folder.name})
    else:
        print(f"removed {found.folder.name}")
    return 0


def _export(arguments: argparse.Namespace, folder: Path) -> int:
    from crowdstream.library.export import export_track
    from crowdstream.library.keep import find_track

    found = find_track(folder, arguments.id)
    if found.track is None:
        raise CrowdstreamError(f"{found.why}; a broken track is not exported")
    out = export_track(found.track, arguments.out or Path(f"{found.track.id}.zip"))
    if arguments.json:
        print_json({"library": str(folder), "id": found.track.id, "path": str(out)})
    else:
        print(f"{out}; on the other machine: crowdstream library add {out}")
    return 0


# ---- words ---------------------------------------------------------------------------------------


def facts_of(track: Track) -> dict[str, Any]:
    """A track for scripts."""
    return {
        "id": track.id, "title": track.title, "artist": track.artist, "bpm": track.bpm,
        "key": track.key, "bars": track.bars, "seconds": track.seconds,
        "first_beat_seconds": track.first_beat_seconds, "confidence": track.confidence,
        "loudness_lufs": track.loudness_lufs, "rate": track.rate,
        "stems": [] if track.whole else list(track.files),
        "sections": [{"name": s.name, "bar": s.bar, "bars": s.bars} for s in track.sections],
        "cues": [{"name": c.name, "seconds": c.seconds} for c in track.cues],
        "edited": list(track.edited), "folder": str(track.folder),
    }  # fmt: skip


def _facts_of_again(again: Again) -> dict[str, Any]:
    return facts_of(again.track) | {
        "changed": again.changed, "notes": list(again.notes), "kept": list(again.kept),
        "refused": again.refused or None,
    }  # fmt: skip


def _path(path: Path) -> str:
    from crowdstream.library.names import shown

    return shown(path)


def _long(seconds: float) -> str:
    """Minutes and seconds, as players show them."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
