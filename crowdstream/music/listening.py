"""What of the newest wish is carried out: all of it, or what a break, a hold, a lull leaves."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from crowdstream.music.rules import Rules
from crowdstream.packets import Gains, Mix

FULL_GROOVE: Final[Gains] = (1.0, 1.0, 1.0, 1.0)


class Listening:
    """The newest wish, and what is made of it."""

    def __init__(self, rules: Rules) -> None:
        """Nobody has wished for anything: the programme's middle is played."""
        self._rules = rules
        self._alone = Mix(
            seq=0, captured_at=0.0, at=0.0, drive=rules.programme_drive, confidence=0.0,
            bpm=rules.programme_bpm, gains=FULL_GROOVE,
        )  # fmt: skip
        self.newest = self._alone
        self.wish = self._alone
        """The newest wish, as it is carried out: in a break a fall is left out."""

        self.alone = False
        """No wish has come for too long."""

        self.skip_asked = False
        """A person asked for the next track, and has not got it yet."""

        self._skips = 0

    @property
    def programme_drive(self) -> float:
        """What the programme has without a crowd."""
        drive = self.newest.programme_drive
        return self._rules.programme_drive if drive is None else drive

    @property
    def programme_bpm(self) -> float:
        """The programme's tempo."""
        bpm = self.newest.programme_bpm
        return self._rules.programme_bpm if bpm is None else bpm

    @property
    def held(self) -> bool:
        """A person asked the music to stay as it is."""
        return self.newest.hold and not self.newest.panic

    @property
    def commanded(self) -> bool:
        """A person has the say, not the floor."""
        return self.newest.hold or self.newest.panic

    def remember(self, *, drive: float, bpm: float, gains: Gains, skips: int) -> None:
        """What was heard before this began, as if it were the newest wish."""
        self.newest = self.wish = replace(
            self._alone, drive=drive, bpm=bpm, gains=gains, skip=skips
        )  # fmt: skip
        self._skips = skips

    def hear(self, mix: Mix) -> None:
        """A wish has come into effect."""
        self.alone = False
        self.newest = mix
        if mix.skip > self._skips:
            self.skip_asked = True
        self._skips = mix.skip

    def hear_nothing(self) -> None:
        """No wish for too long: the programme, by itself."""
        if not self.alone:
            self.alone = True
            was = self.newest
            self.newest = replace(
                self._alone, skip=self._skips, programme_drive=was.programme_drive,
                programme_bpm=was.programme_bpm, drive=self.programme_drive,
                bpm=self.programme_bpm,
            )  # fmt: skip

    def take_in(self, *, protected: bool, cooled: bool) -> None:
        """Make of the newest wish the one that is carried out.

        Args:
            protected: a drop has been promised: what is less than before is left out.
            cooled: the floor has fallen for so long that the programme counts, if it is more.
        """
        new = self.newest
        if new.panic:
            self.wish = replace(new, gains=FULL_GROOVE)
        elif new.hold:
            self.wish = replace(self.wish, hold=True, skip=new.skip)
        else:
            wish = self._with_programme(new) if cooled else new
            self.wish = _no_less(self.wish, wish) if protected else wish

    def _with_programme(self, new: Mix) -> Mix:
        """A floor that has cooled for long gets the programme's intensity, at its tempo."""
        return replace(
            new,
            drive=max(self.programme_drive, new.drive),
            bpm=self.programme_bpm,
            gains=_more_of(new.programme_gains or FULL_GROOVE, new.gains),
        )


def _no_less(was: Mix, new: Mix) -> Mix:
    """The new wish, with nothing less than there was."""
    return replace(
        new,
        drive=max(was.drive, new.drive),
        bpm=max(was.bpm, new.bpm),
        gains=_more_of(was.gains, new.gains),
    )


def _more_of(one: Gains, other: Gains) -> Gains:
    """Of each stem the louder."""
    drums, bass, vocals, rest = (max(pair) for pair in zip(one, other, strict=True))
    return (drums, bass, vocals, rest)
