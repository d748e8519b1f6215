"""The values that travel between stages: frozen, and each with the moment it tells of.

    Frame ─┬─ Motion ─┬─ Energy ─┬─ Tempo ─┬─ Mix ── Playing
           └─ People ─┘          └─────────┘

`captured_at` is the one clock of a packet's life: the moment when light met the sensor, in
seconds of CLOCK_MONOTONIC (live) or of the medium (offline). Everything derived from a frame
carries the frame's `captured_at`, so that any stage can say how old its knowledge is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, Self

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

STEMS: Final = ("drums", "bass", "vocals", "other")
"""The four parts of every track, in the order of every array of gains."""

Gains = tuple[float, float, float, float]
"""One factor per stem, in the order of STEMS."""

GREY_HEIGHT: Final = 180
"""Rows of the small grey picture that `measure_motion` looks at."""

Eye = Literal["motion", "pose"]


class Lease(Protocol):
    """A hold on a slot of shared memory: counted in the event loop, never across threads."""

    def retain(self) -> None:
        """Add a holder."""

    def release(self) -> None:
        """Take one holder away; the slot is free after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packet:
    """What every packet has."""

    seq: int
    """Counts up by one per packet of its source; gaps are packets that were dropped."""

    captured_at: float
    """Seconds on the clock of the source, when light met the sensor."""

    epoch: int = 0
    """Changes when the source jumps (a loop, a seek, a reconnect, a new picture size). No speed
    is ever computed between packets of different epochs."""

    def retain(self) -> None:
        """Add a holder of whatever memory the packet borrows. Most borrow none."""

    def release(self) -> None:
        """Let go of the borrowed memory. Most packets borrow none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a drawn crowd knows about itself: the ground truth of tests and rehearsals."""

    joints: NDArray[np.float32]
    """Shape (people, 17, 3): x and y in picture heights, then 1 where seen and 0.3 where hidden."""

    ids: NDArray[np.int64]
    """Shape (people,): one number per drawn person, never used twice."""

    speed: float
    """v of `crowdstream.dsp.energy`, from the joints themselves, in body lengths per second."""

    energy: float
    """The same published curve of v that `measure_energy` uses, 0 to 1."""

    bpm: float
    """Tempo at which the crowd moves."""

    beat_phase: float
    """0 to 1 within the crowd's beat."""

    synchrony: float
    """How much the drawn people move in phase, 0 to 1."""

    scene: str = ""
    """Name of the chapter of the drawn story, or empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame(Packet):
    """One picture."""

    picture: NDArray[np.uint8]
    """Shape (height, width, 3), BGR, read only. May lie in a slot of shared memory: use it only
    while the packet is held."""

    grey: NDArray[np.uint8]
    """Shape (GREY_HEIGHT, about GREY_HEIGHT * width / height): the whole picture, small and grey.
    Owned by the packet."""

    source_size: tuple[int, int]
    """Width and height of the picture as the camera or file gave it, before any reduction."""

    lease: Lease | None = None
    """The hold on the slot that `picture` lies in; None when the packet owns its picture."""

    truth: Truth | None = None
    """Only from a drawn crowd."""

    def retain(self) -> None:
        """Hold the slot once more."""
        if self.lease is not None:
            self.lease.retain()

    def release(self) -> None:
        """Let go of the slot."""
        if self.lease is not None:
            self.lease.release()


Light = Literal["steady", "dark", "flashing", "moving", "changing", "hazy"]
"""What the light in the picture does, as far as a grey picture tells: `flashing` is a strobe,
`changing` one jump (an exposure, a switch, a flash, the first of a strobe), `moving` beams, lamps
and torches, `hazy` smoke or glare that has taken the contrast away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion(Packet):
    """How much moves, from optical flow alone: no identity, no model."""

    speed: float
    """Estimate of v, in body lengths per second; 0 when nothing moves. Always finite."""

    moving_share: float
    """Share of the picture that moves, 0 to 1."""

    confidence: float
    """0 to 1: how far `speed` can be taken for people dancing."""

    light: Light = "steady"

    person_height: float = 0.45
    """The height of a person, as a share of the picture's, that `speed` was scaled by: whoever
    knows the true one can scale it again."""

    camera: tuple[float, float] = (0.0, 0.0)
    """How fast the camera's own movement shifts the middle of the picture, in picture heights per
    second: x to the right, y down."""

    brightness: float | None = None
    """Mean grey level of the picture, 0 to 1."""

    zones: tuple[float, ...] = ()
    """`speed` in each zone of config.toml that is not ignored, in their order."""

    flow: NDArray[np.float32] | None = None
    """Where it moves, coarsely, for whoever draws it: shape (rows, cols, 2), x to the right and y
    downwards in picture heights per second, over the picture in equal blocks; 0 where nothing
    moves, no rows when nothing could be compared. None unless it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class People(Packet):
    """Everyone in view, as joints."""

    keypoints: NDArray[np.float32]
    """Shape (people, 17, 3), COCO order: x and y in picture heights (y 0..1, x 0..width/height),
    then confidence 0..1. One unit for both axes: body lengths must not depend on the aspect."""

    ids: NDArray[np.int64]
    """Shape (people,): the same number for the same person from frame to frame, never reused."""

    scores: NDArray[np.float32]
    """Shape (people,): how sure the model is that this is a person, 0..1."""

    aspect: float
    """Width over height of the picture."""


@dataclass(frozen=True, slots=True)
class ZoneEnergy:
    """One named part of the picture."""

    name: str
    level: float | None
    """0 to 1, smoothed as the whole is; None while no eye is fresh."""

    people: int | None
    """How many stand in it; None when no pose eye says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy(Packet):
    """How much the crowd moves. Every number is finite; what is not known is None."""

    level: float
    """0 to 1, smoothed: the pure measurement."""

    raw: float
    """0 to 1, before smoothing."""

    speed: float
    """v behind `raw`, in body lengths per second."""

    confidence: float
    """0 to 1: how far `level` can be trusted now."""

    drive: float
    """0 to 1: what the music listens to (`level`, pulled towards the programme where few take
    part or confidence is low)."""

    people: int | None = None
    """How many are in view; None when no pose eye says so."""

    arms: float | None = None
    legs: float | None = None
    head: float | None = None
    bounce: float | None = None
    """Mean speeds against one's own torso (bounce: of the torso), body lengths per second."""

    groove_bpm: float | None = None
    groove_confidence: float = 0.0
    synchrony: float | None = None

    eyes: tuple[Eye, ...] = ()
    """Which eyes the level rests on now; empty when none is fresh."""

    fresh_from: Eye | None = None
    """Which eye's packet caused this one; None when a tick did. Its age is the latency."""

    state: str = "ok"
    """`ok`, `stale` (no eye is fresh), or what the light does, where it is not steady."""

    attention: float | None = None
    """0 to 1: how far everybody holds a hand up and is still, as a crowd does that films or
    listens. It holds the release of `level` and `drive` for up to sixteen bars. None when no
    pose eye says so."""

    contraction: float | None = None
    """0 limbs stretched out as far as they reach, 1 drawn in to the body; mean of the people."""

    smoothness: float | None = None
    """Spectral arc length of the limbs' speed: about -1.5 where they flow, -5 where they jerk;
    mean of the people whose limbs move. None while nobody's do."""

    density: float | None = None
    """People per square body length of the picture where they stand, from the distances to the
    nearest neighbours; 0 for one alone."""

    flow: tuple[float, float] | None = None
    """Common drift of the torsos, in body lengths per second: x to the right, y down."""

    zones: tuple[ZoneEnergy, ...] = ()
    """Each zone of config.toml that is not ignored, in their order."""

    beat_phase: float | None = None
    """0 to 1 in the beat of `groove_bpm`; 0 is where bodies are lowest. None where the crowd has
    no common beat, or only motion tells the tempo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tempo(Packet):
    """The tempo that the crowd asks for: a target, not what plays."""

    bpm: float
    """Within the configured range, always finite."""

    idle: bool = False
    """The floor is empty or unknown; this is the idle tempo."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix(Packet):
    """What the floor should hear from `at` on: one absolute, replaceable wish.

    It holds no beats and no samples: the conductor decides when.
    """

    at: float
    """`captured_at` + control lead, on the same clock; takes effect at the first quantum then."""

    drive: float
    """0 to 1."""

    confidence: float
    """0 to 1."""

    bpm: float
    """Tempo asked for, in BPM, before leash and slope."""

    gains: Gains
    """Wished gain of each stem, as a factor: 0 means "should not be heard now"."""

    people: int | None = None
    hold: bool = False
    """A person asked the music to stay as it is."""

    skip: int = 0
    """Counts up when a person asks for the next track."""

    panic: bool = False
    """A safe full mix: all stems at 0 dB, the track's own tempo, the crowd ignored."""

    programme_drive: float | None = None
    """What the programme has now without a crowd, 0 to 1; None where there is no programme."""

    programme_bpm: float | None = None
    programme_gains: Gains | None = None
    """What the programme would have the floor hear; a floor that cools gets no less for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowEvent:
    """One musical decision and its cause, or a fault, for the report."""

    t: float
    """Seconds on the clock of the packets."""

    event: str
    """One word or two: `transition`, `drop`, `stem_in`, `stem_out`, `hold`, …"""

    why: str
    """The cause, in a few words."""

    facts: dict[str, object] = field(default_factory=dict)
    """Anything else that goes into the line, JSON values only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckState:
    """What one deck plays."""

    track: str
    """Title."""

    track_id: str
    beat: float
    """Position in the track, in beats from its first downbeat."""

    section: str
    gains: Gains
    """What is heard of each stem now: stem gain times deck gain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Playing(Packet):
    """What is heard, ten times a second. `captured_at` is when it is heard."""

    sample: int
    """Position in the mix, in samples from its beginning."""

    beat: float
    """Beat of the musical timeline; a bar is four, bar 0 begins at beat 0."""

    bar: int
    bpm: float
    """Tempo of what is heard now."""

    bpm_wanted: float
    """Target of the newest wish that has taken effect."""

    drive: float
    """Drive of the newest wish that has taken effect."""

    phrase: int
    """Counts the phrases (8 bars) of the louder deck's track, from 0."""

    section: str
    """Section of the louder deck's track."""

    track: str
    """Title of the louder deck's track."""

    next: str | None
    """Title of what comes next, once that is decided."""

    bars_to_next: int | None
    """Bars until the next track begins to be heard."""

    bars_to_drop: int | None
    """Bars until the next drop of the louder deck's track, if it will be played."""

    decks: tuple[DeckState, ...]
    gains: Gains
    """Gains of the louder deck."""

    lufs: float | None
    """Short-term loudness (3 s) by BS.1770, None before 3 s have been heard."""

    peak: float
    """Largest sample since the last Playing, as a factor of full scale."""

    state: str = "ok"
    """`ok`, `hold: break` (a fall in energy changes nothing now), `hold`, `alone` (no wish for
    too long: playing on by itself), `panic`, `armed` (ready, and silent until the show begins),
    `silent` (no device: keeping time)."""

    callback_age: float | None = None
    """Seconds since the sound card last asked; None when there is no sound card."""

    underruns: int = 0
    events: tuple[ShowEvent, ...] = ()
    """Decisions since the last Playing."""

    limiter_db: float = 0.0
    """The most that the limiter took away since the last Playing; 0 or less."""

    stretch: str = ""
    """How tracks are brought to the tempo: `rubberband` (in their key), `hybrid` (all but the
    drums) or `varispeed` (like a record)."""

    def bar_phase(self) -> float:
        """0 to 1 within the bar."""
        return (self.beat / 4.0) % 1.0


PREVIEW_PEOPLE: Final = 200
"""People in a Preview, at most: its size is bounded."""

PREVIEW_STEPS: Final = 1000
"""Steps of a Preview's joints to a picture height: half a pixel of a small picture."""

UNSEEN: Final = -32768
"""What stands in a Preview for x and y of a joint that is not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(Packet):
    """What the eyes see, for a page that draws it: numbers only, and few of them.

    At most five a second, and at most 24 kB: no picture is in it and none can be made of it but
    stick figures. `captured_at` is that of the newest thing in it.
    """

    joints: NDArray[np.int16]
    """Shape (people, 17, 2), at most PREVIEW_PEOPLE: x and y in PREVIEW_STEPS to a picture
    height; UNSEEN where a joint is not seen."""

    ids: NDArray[np.int64]
    """Shape (people,), as in People."""

    aspect: float
    """Width over height of the picture."""

    flow: NDArray[np.int8]
    """Shape (rows, cols, 2), as in Motion, in fiftieths of a picture height per second; no rows
    where none is known."""

    age_seconds: float
    """How old the joints are: they are shown for half a second after the eye fell silent."""

    level: float | None = None
    """Energy as it was sent, None while there is none; and so on."""

    drive: float | None = None
    confidence: float | None = None
    people: int | None = None
    groove_bpm: float | None = None
    bpm: float | None = None
    """The tempo that is asked for."""

    eyes: tuple[Eye, ...] = ()
    state: str = "stale"
    zones: tuple[tuple[str, float | None], ...] = ()
    """Name and energy of each zone of config.toml."""


@dataclass(frozen=True, slots=True)
class Tick:
    """The clock of the chain passing by, for a stage that declares `tick_seconds`."""

    now: float

    @classmethod
    def at(cls, now: float) -> Self:
        """A tick at `now` seconds of chain time."""
        return cls(now)
