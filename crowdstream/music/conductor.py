"""The conductor: turns the newest wish into what happens at the next bar line.

It is asked once per bar, one beat ahead, and answers with orders for the decks and a tempo. It
knows tracks and bars, no sound and no samples. The rules it plays by:

    stems       come and go on 8-bar lines of the track, and stay at least 8 bars
    tempo       moves within the leash of everything heard, by so much per bar, and turns at most
                once in 16 bars
    transition  from a phrase line of the outgoing track to the incoming one's groove or drop: 8
                bars during which its drums take over; on the line the bass changes hands within
                a beat
    break       in a break, a build and the first 8 bars of a drop, less energy changes nothing
    never       silence: with nothing else to play, the track goes round on an 8-bar line
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, NamedTuple

from crowdstream.errors import ConfigError
from crowdstream.music.harmony import fits
from crowdstream.music.library import Track
from crowdstream.music.orders import Fade, Jump, Knob, Law, Order, Start, Stop, Sweep
from crowdstream.music.timeline import BEATS_PER_BAR
from crowdstream.packets import STEMS, Gains, Mix

# The orders are imported from here by name as well.
__all__ = [
    "PHRASE", "Conductor", "Fade", "Handover", "Jump", "Knob", "Law", "Order", "Plan", "Rules",
    "Said", "Start", "Stop", "Sweep", "Voice",
]  # fmt: skip

DRUMS, BASS, VOCALS, OTHER = range(4)

PHRASE: Final = 8
"""Bars of a phrase: the grid on which anything may come or go."""

OPEN: Final = frozenset({"intro", "groove", "drop", "outro"})
"""Sections that may be left: a break or a build has promised something."""

LIFT_REST_BARS: Final = 32
"""A floor is lifted to a drop at most once in so many bars: a peak that never ends is none."""

_WEARY_BPM: Final = 5.0
"""What was heard just before must fit better by so much to be heard again."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How the music may be moved."""

    slope_up: float = 0.25
    """Most that the tempo may rise from bar line to bar line, in BPM."""

    slope_down: float = 0.125
    leash: float = 0.04
    """How far a track may be from its own tempo, as a share of it."""

    turn_bars: int = 16
    """The tempo changes its direction at most once in so many bars."""

    min_stay_bars: int = PHRASE
    """A stem that came or went stays so long."""

    bars_per_track: int = 48
    """A track is heard for at least so long before the next one has taken over."""

    overlap_bars: int = 8
    """From the first to the last moment that two tracks are heard: 8 or 16."""

    drop_from: float = 0.6
    """Where the drive is heading above this, the next track comes in with its drop."""

    strong_change: float = 0.3
    """So much more or less drive for 16 bars brings the next track early."""

    hold_seconds: float = 10.0
    """Without a wish for so long the music plays on by itself."""

    programme_bpm: float = 112.0
    programme_drive: float = 0.5
    floor_db: float = -6.0
    """Drums and bass are never quieter than this."""

    slew_db_per_beat: float = 1.5
    fade_in_seconds: float = 3.0
    loudness_lufs: float = -14.0
    ceiling_db: float = -1.0
    stretch: Literal["rubberband", "hybrid", "varispeed"] = "rubberband"
    """How a track meets the tempo: in its key; all but the drums in its key; as a record."""

    def __post_init__(self) -> None:
        """Raises ConfigError, one sentence for each value that cannot be."""
        checks = (
            (0 < self.slope_up <= 1 and 0 < self.slope_down <= 1,
             "slope_up and slope_down must lie above 0 and be at most 1 BPM a bar"),
            (0 < self.leash <= 0.08, "leash must lie above 0 and be at most 0.08"),
            (self.overlap_bars in (8, 16), "overlap_bars must be 8 or 16"),
            (self.bars_per_track >= 16, "bars_per_track must be at least 16"),
            (self.min_stay_bars >= 0 and self.turn_bars >= 0, "bars cannot be negative"),
            (-60 <= self.floor_db <= 0, "floor_db must be -60 to 0"),
            (-20 <= self.ceiling_db <= 0, "ceiling_db must be -20 to 0"),
            (self.slew_db_per_beat > 0, "slew_db_per_beat must be above 0"),
            (self.fade_in_seconds >= 0 and self.hold_seconds > 0, "seconds cannot be negative"),
            (self.stretch in ("rubberband", "hybrid", "varispeed"),
             "stretch must be rubberband, hybrid or varispeed"),
        )  # fmt: skip
        if mistakes := [f"rules of the music: {text}" for right, text in checks if not right]:
            raise ConfigError(*mistakes)


class Said(NamedTuple):
    """A decision and its cause, true from a bar line on."""

    bar: int
    event: str
    why: str
    facts: dict[str, object]


@dataclass(slots=True)
class Plan:
    """What happens at one bar line."""

    orders: list[Order] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    bpm: float = 0.0
    """Tempo to be reached at the bar line after."""

    at_once: bool = False
    """The tempo steps at the bar line."""


@dataclass(slots=True)
class Voice:
    """A track that is heard."""

    deck: int
    track: Track
    offset: int
    """Bar of the track minus bar of the timeline."""

    since: int
    """Bar of the timeline at which it came in."""

    on: list[bool]
    changed: list[int]
    """Bar of the timeline at which each stem last came or went."""

    def bar(self, bar: int) -> int:
        """Bar of the track at a bar of the timeline."""
        return bar + self.offset


@dataclass(slots=True)
class Handover:
    """A transition under way."""

    incoming: Voice
    begin: int
    swap: int
    """Bar of the timeline at which the bass changes hands."""

    end: int
    to_drop: bool


class Conductor:
    """Decides at bar lines. Deterministic: the same wishes at the same bars, the same music.

    `state`, `coming` and `bars_to_drop` may be asked by another thread than the one that plans.
    """

    def __init__(self, tracks: Sequence[Track], rules: Rules, *, seed: int = 0) -> None:
        """Nothing plays yet; `next` is the track to begin with.

        Raises ConfigError when there is nothing to play.
        """
        if not tracks:
            raise ConfigError("the library has no track that can be played; add one")
        self._tracks = tuple(sorted(tracks, key=lambda track: (track.bpm, track.id)))
        self._rules = rules
        self._random = random.Random(seed)
        self._alone = Mix(
            seq=0, captured_at=0.0, at=0.0, drive=rules.programme_drive, confidence=0.0,
            bpm=rules.programme_bpm, gains=(1.0, 1.0, 1.0, 1.0),
        )  # fmt: skip
        self._floor = 10.0 ** (rules.floor_db / 20.0)
        self.wish = self._alone
        """The newest wish, as it is carried out: in a break a fall is left out."""

        self.alone = False
        self.next: Track | None = min(
            self._tracks, key=lambda track: abs(track.bpm - rules.programme_bpm)
        )
        """What plays next; None while that is open."""

        self.leave_bar: int | None = None
        """Bar of the timeline at which the next track will begin to be heard."""

        self.voice: Voice | None = None
        self.handover: Handover | None = None
        self._bar = 0
        self._next_why = ""
        self._newest = self._alone
        self._wanted = self._alone
        self._heard: list[str] = []
        self._drives: deque[float] = deque(maxlen=2 * PHRASE)
        self._drive_at_start = rules.programme_drive
        self._direction = 0
        self._turned_at = -(10**9)
        self._skips = 0
        self._skip_asked = False
        self._held_since: int | None = None
        self._lifted_at = -(10**9)
        self._opens_again_at = -1
        self._broken: set[str] = set()
        self._leave_lines = {
            track.id: _leave_lines(track, rules.overlap_bars) for track in self._tracks
        }

    def give_up(self, track_id: str) -> bool:
        """This track cannot be loaded: choose another. False when none is left."""
        self._broken.add(track_id)
        return any(track.id not in self._broken for track in self._tracks)

    @property
    def first_bpm(self) -> float:
        """The tempo to begin with."""
        return self._within(self._rules.programme_bpm, [t for t in [self.next] if t])

    # ---- wishes ----------------------------------------------------------------------------

    def hear(self, mix: Mix) -> None:
        """A wish has come into effect."""
        self.alone = False
        self._newest = mix
        if mix.skip > self._skips:
            self._skip_asked = True
        self._skips = mix.skip
        self._take_in()

    def hear_nothing(self) -> None:
        """No wish for too long: the programme's middle, by itself."""
        if not self.alone:
            self.alone = True
            self._newest = replace(self._alone, skip=self._skips)
            self._take_in()

    @property
    def state(self) -> str:
        """As `Playing.state` has it."""
        if self._newest.panic:
            return "panic"
        if self._newest.hold:
            return "hold"
        if self.alone:
            return "alone"
        return "hold: break" if self._protected(self._bar) else "ok"

    def _take_in(self) -> None:
        """What of the newest wish is carried out now."""
        new = self._newest
        if new.panic:
            self.wish = replace(new, gains=(1.0, 1.0, 1.0, 1.0))
        elif new.hold:
            self.wish = replace(self.wish, hold=True, skip=new.skip)
        elif self._protected(self._bar):
            was = self.wish
            gains = [max(old, wished) for old, wished in zip(was.gains, new.gains, strict=True)]
            self.wish = replace(
                new, drive=max(was.drive, new.drive), bpm=max(was.bpm, new.bpm),
                gains=(gains[0], gains[1], gains[2], gains[3]),
            )  # fmt: skip
        else:
            self.wish = new

    def _protected(self, bar: int) -> bool:
        """In a break, a build, or the first bars of a drop."""
        voice = self._leading(bar)
        if voice is None:
            return False
        section = voice.track.section_at(voice.bar(bar))
        return section.name in ("break", "build") or (
            section.name == "drop" and voice.bar(bar) - section.bar < PHRASE
        )

    def _leading(self, bar: int) -> Voice | None:
        """Whose sections count: the incoming track's from the swap on."""
        handover = self.handover
        if handover is not None and bar >= handover.swap:
            return handover.incoming
        return self.voice

    def levels(self) -> Gains:
        """Level of each stem while it is heard: the wish's, 0 where it says nothing about it."""
        gains = self.wish.gains
        return (max(gains[0], self._floor), max(gains[1], self._floor), gains[2], gains[3])

    # ---- once per bar ----------------------------------------------------------------------

    def plan(self, bar: int, *, bpm: float, ready: bool) -> Plan:
        """What happens at the line of `bar`, asked a beat ahead; call for each bar in order.

        Args:
            bar: of the timeline.
            bpm: tempo that will be reached at this line.
            ready: whether the stems of `next` are there.
        """
        plan = Plan()
        self._bar = bar
        self._take_in()
        self._drives.append(self._newest.drive)
        if self.voice is None:
            self._begin(bar, bpm, ready, plan)
        elif bar == self._opens_again_at and self._may_open_again(bar):
            if not self._lift(bar, plan):
                self._open_again(bar, plan)
        elif self.handover is not None:
            # The deck that is left is free a bar later: nothing else begins at this line.
            self._continue(bar, plan)
        elif bar > self.voice.since:
            self._look_ahead(bar, bpm)
            # A floor that comes up now gets its drop now; the next track can wait.
            if not self._lift(bar, plan) and not self._leave(bar, bpm, ready, plan):
                self._rearrange(self.voice, bar, plan)
        self._say_what_happens(bar, plan)
        if not plan.at_once:
            self._steer(bar, bpm, plan)
        return plan

    def _begin(self, bar: int, bpm: float, ready: bool, plan: Plan) -> None:
        """The very first track."""
        track = self.next
        if track is not None and track.id in self._broken:
            left = [track for track in self._tracks if track.id not in self._broken]
            bpm = self._rules.programme_bpm
            self.next = min(left, key=lambda track: abs(track.bpm - bpm)) if left else None
            return
        if track is None or not ready:
            return
        # An empty floor hears an inviting track, not the way into one: it begins in the groove,
        # whose first phrase is heard twice, as long as the intro and it would have been.
        entry = min(self._entry(track, to_drop=False) + PHRASE, track.bars - PHRASE)
        voice = self._voice(0, track, bar, entry)
        self._opens_again_at = bar + PHRASE
        plan.orders.append(Start(0, track, voice.offset))
        for stem in self._wished_stems():
            voice.on[stem] = True
            plan.orders.append(Fade(0, stem, 1.0, _beat(bar) - 0.5, _beat(bar)))
        plan.bpm = self._within(bpm, [track])
        plan.at_once = plan.bpm != bpm  # nothing is heard yet: nobody notices
        self._now_playing(voice)
        plan.said.append(
            Said(bar, "start", f"the tempo of the programme is {self._rules.programme_bpm:g} BPM",
                 {"to": track.id, "title": track.title})
        )  # fmt: skip

    def _may_open_again(self, bar: int) -> bool:
        """Nobody wants anything else at this line."""
        asked = self._skip_asked or self._newest.hold or self._newest.panic
        return not asked and self.leave_bar != bar

    def _open_again(self, bar: int, plan: Plan) -> None:
        """The first track's first phrase, once more."""
        voice = self.voice
        assert voice is not None
        self._rearrange(voice, bar, plan)
        again = self._replace(voice, voice.track, bar, voice.bar(bar) - PHRASE, 0.05, plan)
        again.since = voice.since
        self.voice = again

    def _now_playing(self, voice: Voice) -> None:
        self.voice, self.handover = voice, None
        self.next, self.leave_bar = None, None
        self._skip_asked = False
        self._heard.append(voice.track.id)
        del self._heard[:-64]
        self._drive_at_start = self.wish.drive

    def _voice(self, deck: int, track: Track, bar: int, track_bar: int) -> Voice:
        return Voice(deck, track, track_bar - bar, bar, [False] * 4, [bar] * 4)

    def _wished_stems(self) -> list[int]:
        """Drums and bass always; the others where the wish has them."""
        gains = self.wish.gains
        return [stem for stem in range(4) if stem in (DRUMS, BASS) or gains[stem] > 0.0]

    # ---- stems within a track --------------------------------------------------------------

    def _rearrange(
        self, voice: Voice, bar: int, plan: Plan, *, may_come: Sequence[int] = range(4)
    ) -> None:
        """Let stems come and go, on an 8-bar line of the track."""
        if self._newest.hold and not self._newest.panic:
            return
        if voice.bar(bar) % PHRASE and not self._newest.panic:
            return
        wished = self._wished_stems()
        for stem in range(4):
            on = stem in wished
            stayed = bar - voice.changed[stem]
            if on == voice.on[stem] or (
                stayed < self._rules.min_stay_bars and not self._newest.panic
            ):
                continue
            if on and stem not in may_come:
                continue
            voice.on[stem], voice.changed[stem] = on, bar
            line = _beat(bar)
            # What comes is there on the one; what goes rings into it.
            start, end = (line - 0.5, line) if on else (line - 0.25, line + 0.5)
            plan.orders.append(Fade(voice.deck, stem, float(on), start, end))
            self._say_stem(plan, bar, stem, on)

    def _lift(self, bar: int, plan: Plan) -> bool:
        """The floor has come up by itself: on the next 8-bar line it gets this track's drop."""
        voice = self.voice
        assert voice is not None
        if voice.bar(bar) % PHRASE or self._newest.hold or self._newest.panic:
            return False
        if bar - voice.since < PHRASE:
            return False  # it has only just come in
        drop = next((s for s in voice.track.sections if s.name == "drop"), None)
        here = voice.track.section_at(voice.bar(bar)).name
        rested = bar - self._lifted_at >= LIFT_REST_BARS
        if drop is None or here not in ("groove", "outro") or not rested:
            return False
        then = self._drives[max(0, len(self._drives) - 1 - PHRASE)]
        rise = self._newest.drive - then
        # Two thirds of a strong change within one phrase is a floor that comes up by itself.
        if rise < self._rules.strong_change * 2 / 3 or self._skip_asked:
            return False
        if self._heading() < self._rules.drop_from - 0.1:
            return False
        self._lifted_at = bar
        again = self._replace(voice, voice.track, bar, drop.bar, 0.05, plan, anew=True)
        again.since = voice.since
        self.voice, self.leave_bar = again, None
        why = f"drive {then:.2f} to {self._newest.drive:.2f}; 8-bar line"
        plan.said.append(Said(bar, "drop", why, {"track": voice.track.id, "to_bar": drop.bar}))
        return True

    def _say_stem(self, plan: Plan, bar: int, stem: int, on: bool) -> None:
        cause = "panic" if self._newest.panic else f"drive {self.wish.drive:.2f}"
        where = "" if self._newest.panic else "; 8-bar line"
        plan.said.append(
            Said(bar, "stem_in" if on else "stem_out", f"{cause}{where}", {"stem": STEMS[stem]})
        )

    # ---- from track to track ---------------------------------------------------------------

    def _look_ahead(self, bar: int, bpm: float) -> None:
        """Choose the next track and the line to leave on, as long as neither is settled."""
        voice = self.voice
        assert voice is not None
        # Until the first phrase of a night is heard a second time, it is already known to be.
        offset = voice.offset - (PHRASE if bar < self._opens_again_at else 0)
        track_bar = bar + offset
        lines = self._leave_lines[voice.track.id]
        heard_enough = voice.since + offset + self._rules.bars_per_track - PHRASE
        if self._drive_has_changed(bar):
            heard_enough = track_bar
        if self._skip_asked:
            heard_enough = track_bar
            lines = list(range(0, voice.track.bars - PHRASE + 1, PHRASE))
        later = [line for line in lines if line >= track_bar]
        line = next((line for line in later if line >= heard_enough), later[-1] if later else None)
        if self._newest.hold or self._newest.panic or line is None:
            self.leave_bar = None
            return
        self.leave_bar = line - offset
        settled = (
            self.next is not None
            and self.next.id not in self._broken
            and (self.leave_bar - bar < PHRASE or track_bar % PHRASE)
        )
        if self._skip_asked and self.next is not None:
            settled = self._meeting(self.next, bpm) is not None
        if not settled:
            self.next, self._next_why = self._choose(voice.track, bpm, self.leave_bar - bar)

    def _drive_has_changed(self, bar: int) -> bool:
        """For 16 bars much more, or much less, than when the track came in."""
        voice = self.voice
        assert voice is not None
        if bar - voice.since < 2 * PHRASE or len(self._drives) < 2 * PHRASE:
            return False
        changes = [drive - self._drive_at_start for drive in self._drives]
        strong = self._rules.strong_change
        return min(changes) > strong or max(changes) < -strong

    def _choose(self, now: Track, bpm: float, bars: int) -> tuple[Track | None, str]:
        """The track that fits best, and why; None when this is the only one."""
        # What comes next is for the floor as it is, also while a break lets nothing fall.
        wanted = now.bpm if self._newest.panic else self._newest.bpm
        others = [t for t in self._tracks if t.id != now.id and t.id not in self._broken]
        if not others:
            return None, ""
        reach = bars * (self._rules.slope_down if wanted < bpm else self._rules.slope_up)
        reachable = [track for track in others if self._shared([now, track]) is not None]
        if self._skip_asked:
            reachable = [track for track in others if self._meeting(track, bpm) is not None]
        relaxed = []
        if not reachable:
            relaxed.append("no track meets this tempo")
            reachable = others
        in_key = [track for track in reachable if fits(now.key, track.key)]
        if not in_key:
            relaxed.append("no key fits")
            in_key = reachable

        def cost(track: Track) -> float:
            away = abs(self._within(wanted, [track]) - wanted)
            meet = self._shared([now, track])
            if meet is not None:
                far = max(meet[0] - bpm, bpm - meet[1], 0.0)
                away += max(0.0, far - reach)
            return away + self._weariness(track) + 0.01 * self._random.random()

        best = min(in_key, key=cost)
        if self._weariness(best) >= 6.0:
            relaxed.append("heard lately")
        why = f"{best.bpm:g} BPM for a wish of {wanted:.1f}, {now.key} to {best.key}"
        return best, "; ".join([why, *relaxed])

    def _weariness(self, track: Track) -> float:
        """How many BPM further away a track may be that was not heard lately."""
        ages = [age for age, name in enumerate(reversed(self._heard[:-1]), 1) if name == track.id]
        return sum(_WEARY_BPM / age for age in ages if age <= PHRASE)

    def _leave(self, bar: int, bpm: float, ready: bool, plan: Plan) -> bool:
        """Begin a transition at this line if it is time; otherwise make sure the music goes on."""
        voice = self.voice
        assert voice is not None
        track_bar = voice.bar(bar)
        last_line = track_bar + 2 * PHRASE > voice.track.bars
        if track_bar % PHRASE:
            return False
        if self.leave_bar == bar and self.next is not None and ready:
            if self._meeting(self.next, bpm) is not None:
                self._hand_over(bar, plan)
                return True
            # Cutting, and a step of the tempo with it, is for when there is no other way.
            if self._shared([voice.track, self.next]) is None or self._skip_asked:
                self._cut(bar, plan)
                return True
        if last_line:
            self._go_round(bar, ready, plan)
            return True
        return False

    def _hand_over(self, bar: int, plan: Plan) -> None:
        """Begin a stem swap: eight bars to the incoming track's groove or drop."""
        voice, track = self.voice, self.next
        assert voice is not None
        assert track is not None
        to_drop = min(self._heading(), self._newest.drive) >= self._rules.drop_from
        entry = self._entry(track, to_drop=to_drop)
        to_drop = track.section_at(entry + PHRASE).name == "drop"
        incoming = self._voice(1 - voice.deck, track, bar, entry)
        # Sixteen bars only where the outgoing track still has them.
        bars = self._rules.overlap_bars if voice.bar(bar) + 16 <= voice.track.bars else PHRASE
        self.handover = Handover(incoming, bar, bar + PHRASE, bar + bars, to_drop)
        # This line is one on which stems may come and go, and the next is eight bars away. The
        # voice stays the outgoing track's until the swap; its pads only go, for they hand over.
        self._rearrange(voice, bar, plan, may_come=(VOCALS,))
        half = _beat(bar + PHRASE // 2)
        plan.orders += [
            Start(incoming.deck, track, incoming.offset),
            Fade(incoming.deck, DRUMS, 1.0, _beat(bar), half),
            Fade(voice.deck, DRUMS, 0.0, _beat(bar), half),
        ]
        incoming.on[DRUMS], voice.on[DRUMS] = True, False
        plan.said.append(
            Said(bar, "transition", f"{self._cause(bar)}; {self._next_why}", {
                "from": voice.track.id, "to": track.id, "title": track.title, "style": "stem swap",
                "start_beat": _beat(bar), "beats": bars * BEATS_PER_BAR, "bars": bars,
                "into": "drop" if to_drop else "groove",
            })
        )  # fmt: skip
        self.leave_bar = None

    def _continue(self, bar: int, plan: Plan) -> None:
        """The later steps of a stem swap."""
        handover, voice = self.handover, self.voice
        assert handover is not None
        assert voice is not None
        incoming = handover.incoming
        line = _beat(bar)
        fade_from = handover.begin + (handover.end - handover.begin) // 2
        if bar == fade_from:
            end = _beat(handover.end)
            if voice.on[OTHER]:
                plan.orders.append(Fade(voice.deck, OTHER, 0.0, line, end))
                voice.on[OTHER] = False
            if OTHER in self._wished_stems():
                plan.orders.append(Fade(incoming.deck, OTHER, 1.0, line, end))
                incoming.on[OTHER], incoming.changed[OTHER] = True, bar
        if bar == handover.swap:
            # Never two basses and never two voices: the one is out before the other comes.
            plan.orders += [
                Fade(voice.deck, stem, 0.0, line - 0.5, line - 0.1)
                for stem in (BASS, VOCALS)
                if voice.on[stem]
            ]
            for stem in self._wished_stems():
                if not incoming.on[stem]:
                    plan.orders.append(Fade(incoming.deck, stem, 1.0, line - 0.1, line))
                    incoming.on[stem] = True
                incoming.changed[stem] = bar
            if handover.to_drop:
                plan.said.append(
                    Said(bar, "drop", "the drive was heading up; the next track came in by it",
                         {"track": incoming.track.id})
                )  # fmt: skip
        if bar == handover.end:
            plan.orders.append(Stop(voice.deck, line + 1.0))
            self._now_playing(incoming)

    def _cut(self, bar: int, plan: Plan) -> None:
        """From one track to the next on the one, and the tempo with it."""
        voice, track = self.voice, self.next
        assert voice is not None
        assert track is not None
        to_drop = min(self._heading(), self._newest.drive) >= self._rules.drop_from
        entry = self._entry(track, to_drop=to_drop) + PHRASE
        why = f"{self._cause(bar)}; {self._next_why}"
        incoming = self._replace(voice, track, bar, min(entry, track.bars - PHRASE), 0.5, plan)
        plan.bpm, plan.at_once = self._within(self.wish.bpm, [track]), True
        self._now_playing(incoming)
        plan.said.append(
            Said(bar, "transition", why, {
                "from": voice.track.id, "to": track.id, "title": track.title, "style": "cut",
                "start_beat": _beat(bar) - 0.5, "beats": 0.5, "bars": 0,
            })
        )  # fmt: skip

    def _go_round(self, bar: int, ready: bool, plan: Plan) -> None:
        """Back to the same track's groove or drop, so that the music never ends."""
        voice = self.voice
        assert voice is not None
        to_drop = self.wish.drive >= self._rules.drop_from
        target = min(self._entry(voice.track, to_drop=to_drop) + PHRASE, voice.bar(bar))
        again = self._replace(voice, voice.track, bar, target, 0.05, plan)
        again.since = bar
        self.voice, self.leave_bar = again, None
        why = "the tempo of the next track is not met yet" if ready else "no other track is there"
        if self._newest.hold or self._newest.panic:
            why = "a person asked to hold" if self._newest.hold else "panic"
        plan.said.append(
            Said(bar, "loop", why, {"track": voice.track.id, "to_bar": target})
        )  # fmt: skip

    def _replace(
        self, voice: Voice, track: Track, bar: int, track_bar: int, beats: float, plan: Plan,
        *, anew: bool = False,
    ) -> Voice:  # fmt: skip
        """Cross over to another place of some track, within a part of a beat before the line.

        In the same track the stems stay as they are, unless they are chosen `anew`.
        """
        incoming = self._voice(1 - voice.deck, track, bar, track_bar)
        line = _beat(bar)
        plan.orders.append(Start(incoming.deck, track, incoming.offset))
        for stem in range(4):
            if voice.on[stem]:
                plan.orders.append(Fade(voice.deck, stem, 0.0, line - beats, line))
        same = track.id == voice.track.id and not anew
        stems = [s for s in range(4) if voice.on[s]] if same else self._wished_stems()
        for stem in stems:
            incoming.on[stem] = True
            plan.orders.append(Fade(incoming.deck, stem, 1.0, line - min(beats, 0.05), line))
        if same:
            incoming.changed = list(voice.changed)
        plan.orders.append(Stop(voice.deck, line + 0.5))
        return incoming

    def _cause(self, bar: int) -> str:
        if self._skip_asked:
            return "a person asked for the next track"
        if self._drive_has_changed(bar):
            return f"drive {self._drive_at_start:.2f} to {self.wish.drive:.2f}"
        return "phrase end"

    def _entry(self, track: Track, *, to_drop: bool) -> int:
        """The bar to come in at: eight before the drop or the groove."""
        names = ("drop", "groove") if to_drop else ("groove", "drop")
        for name in names:
            for section in track.sections:
                if section.name == name and section.bar >= PHRASE:
                    return section.bar - PHRASE
        return 0

    def _heading(self) -> float:
        """Where the drive will be: as far on as it has come in eight bars, by half."""
        drives = self._drives
        then = drives[max(0, len(drives) - 1 - PHRASE)]
        now = self._newest.drive
        return min(max(now + 0.5 * (now - then), 0.0), 1.0)

    def coming(self, bar: int) -> tuple[Track | None, int | None]:
        """The next track, and bars until it begins to be heard, once either is settled."""
        handover, track, leave_bar = self.handover, self.next, self.leave_bar
        if handover is not None:
            return handover.incoming.track, 0
        if track is None or leave_bar is None:
            return track, None
        return track, max(leave_bar - bar, 0)

    def bars_to_drop(self, bar: int) -> int | None:
        """Bars until the next drop that will be played."""
        handover, voice, leave_bar = self.handover, self.voice, self.leave_bar
        if handover is not None:
            return handover.swap - bar if handover.to_drop and bar < handover.swap else None
        if voice is None:
            return None
        drops = [s.bar - voice.offset for s in voice.track.sections if s.name == "drop"]
        drop = next((drop for drop in drops if drop > bar), None)
        if drop is None or (leave_bar is not None and leave_bar <= drop):
            return None
        return drop - bar

    def _say_what_happens(self, bar: int, plan: Plan) -> None:
        """Drops of a track in the course of its own, and the beginning of a hold."""
        left = self.bars_to_drop(bar - 1)
        if left == 1 and not any(said.event == "drop" for said in plan.said):
            plan.said.append(Said(bar, "drop", "the build ends here", {}))
        if self.bars_to_drop(bar) == PHRASE:
            plan.said.append(Said(bar, "drop_ahead", "eight bars to go", {"bars": PHRASE}))
        falls = self._newest.drive < self.wish.drive - 0.1 or self._newest.hold
        if falls and self.state.startswith("hold"):
            if self._held_since is None:
                self._held_since = bar
                why = "a person asked" if self._newest.hold else (
                    f"drive {self.wish.drive:.2f} to {self._newest.drive:.2f} before the drop"
                )  # fmt: skip
                plan.said.append(Said(bar, "hold", why, {}))
        else:
            self._held_since = None

    # ---- tempo -----------------------------------------------------------------------------

    def _audible(self) -> list[Track]:
        tracks = [self.voice.track] if self.voice is not None else []
        if self.handover is not None:
            tracks.append(self.handover.incoming.track)
        return tracks

    def _shared(self, tracks: Sequence[Track]) -> tuple[float, float] | None:
        """The tempos at which all of these can be heard; None when there is none."""
        low = max(track.bpm * (1.0 - self._rules.leash) for track in tracks)
        high = min(track.bpm * (1.0 + self._rules.leash) for track in tracks)
        return (low, high) if low <= high else None

    def _within(self, bpm: float, tracks: Sequence[Track]) -> float:
        shared = self._shared(tracks) if tracks else None
        return bpm if shared is None else min(max(bpm, shared[0]), shared[1])

    def _meeting(self, track: Track, bpm: float) -> tuple[float, float] | None:
        """The tempos shared with `track`, if `bpm` is one of them."""
        assert self.voice is not None
        shared = self._shared([self.voice.track, track])
        # A tempo that was steered to the edge is on it but for rounding.
        if shared is None or not shared[0] - 1e-6 <= bpm <= shared[1] + 1e-6:
            return None
        return shared

    def _wanted_bpm(self, now: Track) -> float:
        return now.bpm if self._newest.panic else self.wish.bpm

    def _steer(self, bar: int, bpm: float, plan: Plan) -> None:
        """The tempo at the line after this one."""
        plan.bpm = bpm
        audible = self._audible()
        if not audible or (self._newest.hold and not self._newest.panic):
            return
        rules = self._rules
        target = self._within(self._wanted_bpm(audible[-1]), audible)
        must = False
        if self.next is not None and self.leave_bar is not None and self.handover is None:
            shared = self._shared([audible[0], self.next])
            if shared is not None:
                met = min(max(target, shared[0]), shared[1])
                slope = rules.slope_up if met > bpm else rules.slope_down
                wait = max(0, self._turned_at + rules.turn_bars - bar)
                # Two bars to spare, and the time until the tempo may turn again.
                if self.leave_bar - bar <= abs(met - bpm) / slope + 2 + wait:
                    target, must = met, True
        step = min(max(target - bpm, -rules.slope_down), rules.slope_up)
        # A turn is rare: not for less than can be heard.
        smallest = 1e-9 if must else 0.3
        direction = int(step > 0) - int(step < 0)
        if direction not in (0, self._direction):
            if bar - self._turned_at < rules.turn_bars or abs(target - bpm) < smallest:
                return
            if self._direction:
                why = "to meet the next track" if must else f"drive {self.wish.drive:.2f}"
                facts: dict[str, object] = {
                    "towards": round(float(target), 2),
                    "bpm": round(float(bpm), 2),
                }
                plan.said.append(Said(bar, "tempo", why, facts))
                self._turned_at = bar
            self._direction = direction
        plan.bpm = bpm + step


def _beat(bar: int) -> float:
    return float(bar * BEATS_PER_BAR)


def _leave_lines(track: Track, tail_bars: int) -> list[int]:
    """Phrase lines from which on eight bars lie in sections that may be left."""
    every = list(range(0, max(track.bars - tail_bars + 1, 1), PHRASE))
    good = [
        line
        for line in every
        if all(track.section_at(line + bar).name in OPEN for bar in range(PHRASE))
        and track.section_at(line).name != "intro"
    ]
    return good or every
