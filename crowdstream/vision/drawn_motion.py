"""How drawn people move: a few numbers that sway with the beat, and the joints that follow.

A figure is posed by a handful of numbers (`Posture`): where the pelvis is, how the torso leans,
the angles of shoulders and elbows, where the feet stand. The joints follow from them with bones
of fixed length, so limbs never stretch. All lengths are in body heights, x to the right and y up
from the ground under the person; all people face the camera, so their left is on the right.

Every function takes arrays whose last axis is the people and computes each moment by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HIP_HEIGHT: Final = 0.52
TORSO: Final = 0.29
SHOULDER_HALF: Final = 0.107
HIP_HALF: Final = 0.068
NECK_TO_HEAD: Final = 0.118
UPPER_ARM: Final = 0.165
FOREARM: Final = 0.150
THIGH: Final = 0.250
SHIN: Final = 0.232
ANKLE_HEIGHT: Final = 0.042
# Shares of the body's height, as people are built.

_LEG: Final = 0.998 * (THIGH + SHIN)
# A leg is never quite straight: a knee has to know which way to bend.

_KNEE_OUT: Final = 0.42
# Share of a knee's bend that is seen from the front; the rest points at the camera.

MOST_VIGOUR: Final = 4.0
"""Largest `vigour`: 0 stands, 1 dances, 2 throws the body about, 3 does so in double time, and
what comes after that is only larger."""

_BREATHS_PER_SECOND: Final = 0.27
_SHIFTS_PER_SECOND: Final = 0.11

_STRIDE: Final = 0.105
# Half the distance between the feet of someone who walks.


class Posture(NamedTuple):
    """What poses a figure. Each field has the shape (..., people)."""

    pelvis_x: Floats
    pelvis_y: Floats
    """Above (or below) where the hips are when standing."""

    jump: Floats
    """Height of the whole figure above the ground."""

    lean: Floats
    """Of the torso, radians to the right of the picture."""

    hips: Floats
    shoulders: Floats
    """Tilt of the line of hips and of shoulders, radians."""

    turn: Floats
    """Of the face and the chest towards the right of the picture, radians."""

    head: Floats
    """Tilt of the head against the torso, radians."""

    nod: Floats
    """How far the head is sunk."""

    left_arm: Floats
    left_elbow: Floats
    right_arm: Floats
    right_elbow: Floats
    """An arm hangs at 0, points outwards at pi/2 and up at pi; an elbow adds to its arm."""

    left_foot_x: Floats
    left_foot_y: Floats
    right_foot_x: Floats
    right_foot_y: Floats
    """Where the ankles are against the middle between them and their height when standing."""


class Style(NamedTuple):
    """One way to dance: what the numbers of a posture do at vigour 1."""

    bounce: float
    jump: float
    sway: float
    lean: float
    step: float
    """How far the feet go from side to side."""

    lift: float
    """How high the knees are drawn up in turn."""

    spread: float
    """How far the feet jump apart."""

    arm: tuple[float, float]
    """Mean angle and swing of the left arm, radians."""

    elbow: tuple[float, float]
    other_arm: tuple[float, float]
    other_elbow: tuple[float, float]
    cycles: float
    """Swings of the arms per beat."""

    against: float
    """Phase of the right arm against the left, in swings."""

    whip: float
    """How far the elbow lags behind the arm, in swings."""


STYLES: Final = (
    # Two-step: from side to side, arms low.
    Style(0.036, 0.00, 0.055, 0.08, 0.100, 0.03, 0.00,
          (0.60, 0.55), (0.75, 0.75), (0.60, 0.55), (0.75, 0.75), 0.5, 0.5, 0.20),
    # Hands up.
    Style(0.042, 0.01, 0.050, 0.10, 0.060, 0.05, 0.00,
          (2.30, 0.45), (0.30, 0.60), (2.30, 0.45), (0.30, 0.60), 0.5, 0.5, 0.15),
    # One fist pumps.
    Style(0.042, 0.01, 0.025, 0.05, 0.040, 0.07, 0.00,
          (2.00, 0.62), (0.60, 0.75), (0.45, 0.25), (1.10, 0.50), 1.0, 0.5, 0.35),
    # Jumping, arms up and down.
    Style(0.042, 0.04, 0.012, 0.03, 0.000, 0.03, 0.04,
          (1.75, 0.65), (0.50, 0.50), (1.75, 0.65), (0.50, 0.50), 1.0, 0.0, 0.20),
    # Elbows bent, hips swinging.
    Style(0.038, 0.00, 0.060, 0.11, 0.035, 0.05, 0.00,
          (0.70, 0.42), (1.50, 0.72), (0.70, 0.42), (1.50, 0.72), 0.5, 0.5, 0.25),
    # Waves through wide arms.
    Style(0.034, 0.00, 0.050, 0.09, 0.055, 0.04, 0.00,
          (1.40, 0.50), (0.15, 0.85), (1.40, 0.50), (0.15, 0.85), 0.5, 0.5, 0.25),
    # Running on the spot.
    Style(0.040, 0.01, 0.020, 0.03, 0.015, 0.13, 0.00,
          (0.45, 0.38), (1.20, 0.90), (0.45, 0.38), (1.20, 0.90), 0.5, 0.5, 0.10),
)  # fmt: skip
"""How people dance while they have breath: vigour 0 to 1."""

_LEAPS: Final = Style(
    0.060, 0.060, 0.020, 0.10, 0.02, 0.10, 0.085,
    (1.50, 1.15), (0.50, 0.90), (1.50, 1.15), (0.50, 0.90), 1.0, 0.0, 0.20,
)  # fmt: skip
_SPRINT: Final = Style(
    0.060, 0.055, 0.030, 0.11, 0.02, 0.24, 0.020,
    (1.10, 1.10), (0.95, 1.10), (1.10, 1.10), (0.95, 1.10), 1.0, 0.5, 0.15,
)  # fmt: skip
_FRENZY: Final = Style(
    0.065, 0.050, 0.060, 0.18, 0.09, 0.18, 0.040,
    (1.75, 1.05), (0.50, 1.00), (1.75, 1.05), (0.50, 1.00), 1.0, 0.5, 0.25,
)  # fmt: skip

WILD: Final = (_SPRINT, _FRENZY, _LEAPS, _LEAPS, _SPRINT, _FRENZY, _SPRINT)
"""What each of STYLES turns into at vigour 2, when the whole body is thrown about."""

_FIELDS: Final = 18
# Numbers of a Style, pairs counted as two.


@dataclass(frozen=True, slots=True)
class Manners:
    """How each of a number of people moves: everything that stays with a person."""

    style: Floats
    """Shape (_FIELDS, people): a Style each, with a person's own variation."""

    wild: Floats
    """Shape (_FIELDS, people): what it turns into."""

    breath: Floats
    """Shape (people,): phase of breathing, radians."""

    stance: Floats
    """Shape (people,): distance from the middle to each ankle."""

    turn: Floats
    """Shape (people,): which way they look, radians."""

    mirrored: NDArray[np.bool_]
    """Shape (people,): left and right arm are swapped."""

    @classmethod
    def of(cls, people: int, rng: np.random.Generator) -> Manners:
        """Manners of so many people; neighbours in the list dance differently."""
        order = np.concatenate(
            [rng.permutation(len(STYLES)) for _ in range(people // len(STYLES) + 1)]
        )[:people]
        variation = rng.uniform(0.85, 1.15, (_FIELDS, people))
        # Rates and phases are what makes a style a style: they stay.
        variation[_FIELDS - 3 :] = 1.0
        return cls(
            style=np.array([np.hstack(style) for style in STYLES]).T[:, order] * variation,
            wild=np.array([np.hstack(style) for style in WILD]).T[:, order] * variation,
            breath=rng.uniform(0.0, 2.0 * np.pi, people),
            stance=rng.uniform(0.075, 0.105, people),
            turn=rng.uniform(-0.35, 0.35, people),
            mirrored=rng.random(people) < 0.5,
        )

    def take(self, who: NDArray[np.intp]) -> Manners:
        """Those of some of the people."""
        return Manners(
            self.style[:, who], self.wild[:, who], self.breath[who], self.stance[who],
            self.turn[who], self.mirrored[who],
        )  # fmt: skip


def stand(manners: Manners, seconds: Floats) -> Posture:
    """Someone who stands still: breathes, and shifts the weight now and then."""
    breath = np.sin(2.0 * np.pi * _BREATHS_PER_SECOND * seconds + manners.breath)
    shift = np.sin(2.0 * np.pi * _SHIFTS_PER_SECOND * seconds + 2.3 * manners.breath)
    none = np.zeros_like(breath)
    return Posture(
        pelvis_x=0.006 * shift, pelvis_y=0.0006 * breath - 0.002, jump=none,
        lean=0.006 * shift, hips=-0.01 * shift, shoulders=0.008 * shift,
        turn=none + manners.turn, head=0.01 * shift, nod=0.0008 * breath,
        left_arm=0.13 + 0.006 * breath, left_elbow=0.10 + 0.004 * breath,
        right_arm=0.13 + 0.006 * breath, right_elbow=0.10 + 0.004 * breath,
        left_foot_x=none + manners.stance, left_foot_y=none,
        right_foot_x=none - manners.stance, right_foot_y=none,
    )  # fmt: skip


def dance(manners: Manners, seconds: Floats, beats: Floats, vigour: Floats) -> Posture:
    """Someone who dances. `beats` is each person's own count, whole on their beat."""
    # Movements first grow, then change into wilder ones, then go to double time.
    raised = smooth(vigour / 0.7)
    abandon = smooth(vigour - 1.0)
    haste = smooth(vigour - 2.0)
    size = np.clip(vigour, 0.0, 1.0) + 0.25 * np.clip(vigour - 3.0, 0.0, 1.0)
    # Between the paces two rates share one limb and would move it less.
    half_way = np.minimum(haste, 0.5)
    size = size + 0.35 * half_way * (1.0 - half_way)
    style = [calm + abandon * (wild - calm)
             for calm, wild in zip(manners.style, manners.wild, strict=True)]  # fmt: skip
    (bounce, jump, sway, lean, step, lift, spread, arm, arm_swing, elbow, elbow_swing,
     arm2, arm2_swing, elbow2, elbow2_swing, _, against, whip) = style  # fmt: skip
    still = stand(manners, seconds)

    # Where two rates meet, their sines are mixed: a rate that itself changed would race.
    halves = (manners.style[-3] < 1.0) * (1.0 - abandon)
    # Half and half two sines make up less than one: the root keeps their power.
    held, fast = np.cos(0.5 * np.pi * haste), np.sin(0.5 * np.pi * haste)
    slow, even = halves * held, (1.0 - halves) * held
    angle = 2.0 * np.pi * beats

    def swing(turns: Floats | float) -> Floats:
        """Once in two beats, once a beat or twice, `turns` later."""
        phase = 2.0 * np.pi * turns
        return np.asarray(
            slow * np.sin(0.5 * angle - phase)
            + even * np.sin(angle - phase)
            + fast * np.sin(2.0 * angle - phase)
        )

    beat = held * np.cos(angle) + fast * np.cos(2.0 * angle)
    side = np.sin(0.5 * angle)
    left_arm = still.left_arm + raised * (arm - still.left_arm) + size * arm_swing * swing(0.0)
    left_elbow = still.left_elbow + raised * (elbow - 0.1) + size * elbow_swing * swing(whip)
    right_arm = still.right_arm + raised * (arm2 - still.right_arm)
    right_arm = right_arm + size * arm2_swing * swing(against)
    right_elbow = still.right_elbow + raised * (elbow2 - 0.1)
    right_elbow = right_elbow + size * elbow2_swing * swing(against + whip)

    # In the air between two beats, feet apart at the top of it.
    air = np.maximum(0.0, -beat)
    flow = held * np.sin(angle - 0.8) + fast * np.sin(2.0 * angle - 0.8)
    apart = spread * size * (1.0 + flow)
    knees = (1.0 - abandon) * np.sin(0.5 * angle + 0.6)
    knees = held * (knees + abandon * np.sin(angle)) + fast * np.sin(2.0 * angle)
    shake = (1.0 - abandon) * np.sin(0.5 * angle + 0.8) + abandon * flow
    drawn_up = lift * size
    left_side, left_hop = _sidestep(0.5 * angle + 0.35)
    right_side, right_hop = _sidestep(0.5 * angle - 0.35)
    stepped = step * size
    return Posture(
        pelvis_x=still.pelvis_x + sway * size * side,
        pelvis_y=still.pelvis_y - 0.5 * bounce * size * (1.0 + beat) - 0.012 * raised,
        jump=jump * size * smooth(vigour) * air,
        lean=still.lean + lean * size * np.sin(0.5 * angle - 0.5),
        hips=still.hips - 1.6 * sway * size * side,
        shoulders=still.shoulders + 1.2 * lean * size * np.sin(0.5 * angle + 0.4),
        turn=still.turn + 0.12 * size * np.sin(0.5 * angle + 0.9),
        head=still.head + (0.9 + 1.1 * abandon) * lean * size * shake,
        nod=still.nod + 0.010 * size * (1.0 + beat),
        left_arm=np.where(manners.mirrored, right_arm, left_arm),
        left_elbow=np.where(manners.mirrored, right_elbow, left_elbow),
        right_arm=np.where(manners.mirrored, left_arm, right_arm),
        right_elbow=np.where(manners.mirrored, left_elbow, right_elbow),
        left_foot_x=still.left_foot_x + stepped * left_side + apart,
        left_foot_y=0.25 * stepped * left_hop + drawn_up * np.maximum(0.0, knees) ** 1.5,
        right_foot_x=still.right_foot_x + stepped * right_side - apart,
        right_foot_y=0.25 * stepped * right_hop + drawn_up * np.maximum(0.0, -knees) ** 1.5,
    )


def walk(manners: Manners, seconds: Floats, travelled: Floats) -> Posture:
    """Someone who walks. `travelled` is where they are, in body heights along the ground."""
    still = stand(manners, seconds)
    # One stride moves the body by as much as the standing foot goes back: nobody skates.
    angle = travelled * (0.5 * np.pi / _STRIDE)
    swing, ahead = np.sin(angle), np.cos(angle)
    return still._replace(
        pelvis_y=still.pelvis_y - 0.008 - 0.010 * ahead * ahead,
        left_arm=still.left_arm + 0.10 - 0.14 * swing,
        left_elbow=still.left_elbow + 0.14 - 0.20 * swing,
        right_arm=still.right_arm + 0.10 - 0.14 * swing,
        right_elbow=still.right_elbow + 0.14 - 0.20 * swing,
        left_foot_x=0.5 * still.left_foot_x + _STRIDE * swing,
        left_foot_y=0.030 * np.maximum(0.0, ahead),
        right_foot_x=0.5 * still.right_foot_x - _STRIDE * swing,
        right_foot_y=0.030 * np.maximum(0.0, -ahead),
    )


def between(first: Posture, second: Posture, share: Floats) -> Posture:
    """From one posture (share 0) to another (share 1)."""
    return Posture(*(a + share * (b - a) for a, b in zip(first, second, strict=True)))


def joints_of(posture: Posture) -> Floats:
    """Shape (..., people, 17, 2): x and y up from the ground, in body heights."""
    joints = np.empty((*posture.lean.shape, 17, 2))
    x, y = joints[..., 0], joints[..., 1]
    left_ankle = (posture.left_foot_x, ANKLE_HEIGHT + posture.left_foot_y)
    right_ankle = (posture.right_foot_x, ANKLE_HEIGHT + posture.right_foot_y)

    hip_x = HIP_HALF * np.cos(posture.hips)
    hip_y = HIP_HALF * np.sin(posture.hips)
    # A leg reaches only so far: feet apart pull the pelvis down, and never stretch.
    pelvis_x = posture.pelvis_x
    pelvis_y = np.minimum(
        HIP_HEIGHT + posture.pelvis_y,
        np.minimum(
            left_ankle[1] - hip_y + _reach(left_ankle[0] - pelvis_x - hip_x),
            right_ankle[1] + hip_y + _reach(right_ankle[0] - pelvis_x + hip_x),
        ),
    )
    for joint, sign, ankle in ((11, 1.0, left_ankle), (12, -1.0, right_ankle)):
        x[..., joint] = pelvis_x + sign * hip_x
        y[..., joint] = pelvis_y + sign * hip_y
        x[..., joint + 4], y[..., joint + 4] = ankle
        x[..., joint + 2], y[..., joint + 2] = _knee(
            x[..., joint], y[..., joint], ankle[0], ankle[1], sign
        )

    sine, cosine = np.sin(posture.lean), np.cos(posture.lean)
    chest_x = pelvis_x + TORSO * sine
    chest_y = pelvis_y + TORSO * cosine
    across = posture.shoulders - posture.lean
    width = SHOULDER_HALF * np.cos(posture.turn)
    shoulder_x, shoulder_y = width * np.cos(across), width * np.sin(across)
    arms = (
        (5, 1.0, posture.left_arm, posture.left_elbow),
        (6, -1.0, posture.right_arm, posture.right_elbow),
    )
    for joint, sign, arm, elbow in arms:
        x[..., joint] = chest_x + sign * shoulder_x
        y[..., joint] = chest_y + sign * shoulder_y
        upper = np.clip(arm, -0.25, 2.95) - sign * posture.lean
        lower = upper + np.clip(elbow, -0.5, 2.45)
        x[..., joint + 2] = x[..., joint] + sign * UPPER_ARM * np.sin(upper)
        y[..., joint + 2] = y[..., joint] - UPPER_ARM * np.cos(upper)
        x[..., joint + 4] = x[..., joint + 2] + sign * FOREARM * np.sin(lower)
        y[..., joint + 4] = y[..., joint + 2] - FOREARM * np.cos(lower)

    tilt = posture.lean + posture.head
    sine, cosine = np.sin(tilt), np.cos(tilt)
    neck = NECK_TO_HEAD - posture.nod
    aside = np.sin(posture.turn)
    front = np.cos(posture.turn)
    head_x, head_y = chest_x + neck * sine, chest_y + neck * cosine
    for joint, right, up in (
        (0, 0.050 * aside, -0.010 - posture.nod * 0.4),
        (1, 0.026 * front + 0.043 * aside, 0.012 - posture.nod * 0.3),
        (2, -0.026 * front + 0.043 * aside, 0.012 - posture.nod * 0.3),
        (3, 0.061 * front, 0.002),
        (4, -0.061 * front, 0.002),
    ):
        x[..., joint] = head_x + right * cosine + up * sine
        y[..., joint] = head_y - right * sine + up * cosine
    y += posture.jump[..., None]
    return joints


def smooth(share: Floats) -> Floats:
    """0 below 0, 1 above 1, and without a corner between."""
    share = np.clip(share, 0.0, 1.0)
    return share * share * (3.0 - 2.0 * share)


def _sidestep(angle: Floats) -> tuple[Floats, Floats]:
    """Which side a foot is on (-1 to 1), and 1 while it is on its way between."""
    side = np.sin(angle)
    return side / np.sqrt(side * side + 0.25) * 1.118, np.cos(angle) ** 4


def _reach(aside: Floats) -> Floats:
    return np.sqrt(np.maximum(_LEG * _LEG - aside * aside, 0.01))


def _knee(hip_x: Floats, hip_y: Floats, x: Floats, y: Floats, sign: float) -> tuple[Floats, Floats]:
    """The knee of a leg from hip to ankle; it bends outwards and towards the camera."""
    along_x, along_y = x - hip_x, y - hip_y
    distance = np.maximum(np.hypot(along_x, along_y), 0.05)
    along = (distance * distance + THIGH * THIGH - SHIN * SHIN) / (2.0 * distance)
    bend = _KNEE_OUT * np.sqrt(np.maximum(THIGH * THIGH - along * along, 0.0))
    share = along / distance
    out = sign * bend / distance
    return hip_x + share * along_x - out * along_y, hip_y + share * along_y + out * along_x
