"""The picture of a show: everything that happened, on one sheet for a README or a mail."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from crowdstream.offline.show import DECKS, Show, spans
from crowdstream.packets import STEMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INCHES: Final = (16.0, 10.0)
DOTS_PER_INCH: Final = 100
MAX_POINTS: Final = 3200
"""Lines that are drawn; a longer show is thinned to two for each pixel."""

NIGHT: Final = "#0a0c12"
PANEL: Final = "#12151e"
GRID: Final = "#2a3042"
TEXT: Final = "#e9ebf2"
SOFT: Final = "#98a0b5"
ACCENT: Final = "#3fd8c7"
ALARM: Final = "#ff5470"
STEM_COLOURS: Final = ("#ff7d5c", "#8c7dff", "#ffd166", "#3fd8c7")
LINES: Final[dict[str, str]] = {
    "transition": ACCENT, "drop": "#ffd166", "fault": ALARM, "restart": ALARM,
    "override": "#ff9f5c",
}  # fmt: skip
"""Events that are drawn through all plots, with their colours."""

CLOCK_STEPS: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200,
)  # fmt: skip
"""Seconds between two times that are written on the axis."""

# More than this and the words would lie on each other.
MAX_WORDS: Final = 24

MOST_LETTERS: Final = 44
"""Of a command beside the title."""


def write_picture(show: Show, out: Path) -> None:
    """Write a PNG of 1600 by 1000 points: lanes, energy, tempo, loudness and people over time.

    The same show gives the same bytes.
    """
    # The figure is made without pyplot: no state is shared, and no screen is looked for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, facecolor=NIGHT)
    FigureCanvasAgg(figure)
    # Where nothing was played, or nobody ever counted, the others have the room.
    played = any(any(names) for names in show.tracks)
    counted = bool(np.isfinite(show.people).any())
    decks = DECKS if played else 0
    heights = [*([1.55] * decks), 2.2, 2.0, *([1.1] * played), *([0.9] * counted)]
    grid = figure.add_gridspec(
        len(heights), 1, height_ratios=heights,
        left=0.065, right=0.985, top=0.905, bottom=0.06, hspace=0.16,
    )  # fmt: skip
    plots = [figure.add_subplot(grid[row, 0]) for row in range(len(heights))]
    for plot in plots:
        _plain(plot, show)
    for deck in range(decks):
        _deck(plots[deck], show, deck)
    energy, tempo, *rest = plots[decks:]
    _energy(energy, show)
    _tempo(tempo, show)
    if played:
        _loudness(rest[0], show)
    if counted:
        _people(rest[-1], show)
    _chapters(plots, show)
    _events(plots, energy, show)
    plots[-1].tick_params(labelbottom=True)
    title = "crowdstream: what the crowd did" + ", and what the music made of it" * played
    figure.text(0.065, 0.962, title, color=TEXT, size=17, weight="bold")
    facts = _shown(_facts(show))
    figure.text(0.985, 0.962, facts, color=SOFT, size=11, ha="right", parse_math=False)
    with warnings.catch_warnings():
        # A title in letters that the font lacks has boxes in their place, and that is all.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        figure.savefig(out, format="png", facecolor=NIGHT, metadata={"Software": None})


def _plain(plot: Axes, show: Show) -> None:
    """The look that all plots share."""
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    plot.set_facecolor(PANEL)
    plot.set_xlim(0.0, max(show.seconds, 1.0))
    plot.tick_params(colors=SOFT, labelsize=10, length=0, labelbottom=False)
    plot.grid(visible=True, color=GRID, linewidth=0.6)
    plot.set_axisbelow(True)
    for side in plot.spines.values():
        side.set_visible(False)
    step = next((step for step in CLOCK_STEPS if show.seconds / step <= 13), CLOCK_STEPS[-1])
    plot.xaxis.set_major_locator(MultipleLocator(step))
    plot.xaxis.set_major_formatter(FuncFormatter(lambda t, _: _clock(t)))


def _deck(plot: Axes, show: Show, deck: int) -> None:
    """Four lanes, as high as the stem is loud, under the track and its sections."""
    step = _step(show)
    times, gains = show.times[::step], np.clip(show.gains[::step, deck], 0.0, 1.0)
    for stem, colour in enumerate(STEM_COLOURS):
        middle = -stem
        half = 0.44 * gains[:, stem]
        plot.fill_between(
            times, middle - half, middle + half, where=half > 0.005, color=colour, linewidth=0
        )
    plot.set_ylim(-len(STEMS) + 0.4, 1.9)
    plot.set_yticks([-stem for stem in range(len(STEMS))], STEMS)
    for label, colour in zip(plot.get_yticklabels(), STEM_COLOURS, strict=True):
        label.set_color(colour)
    plot.grid(visible=False, axis="y")
    plot.set_ylabel(f"deck {'AB'[deck]}", color=TEXT, size=11, weight="bold", labelpad=9)
    width = show.seconds or 1.0
    for start, end, section in spans([names[deck] for names in show.deck_sections]):
        begin, until = _moment(show, start), _moment(show, end)
        if section:
            shade = "#ffd166" if section == "drop" else "#96a5d2"
            plot.fill_between([begin, until], 0.62, 1.12, color=shade, alpha=0.16, linewidth=0)
            if (until - begin) / width > 0.012 * len(section):
                plot.text(
                    begin + 0.004 * width, 0.86, _shown(section), color=SOFT, size=9,
                    va="center", parse_math=False,
                )  # fmt: skip
    for start, end, track in spans([names[deck] for names in show.tracks]):
        begin, until = _moment(show, start), _moment(show, end)
        if track and (until - begin) / width > 0.03:
            plot.text(
                begin + 0.004 * width, 1.5, _shown(track), color=TEXT, size=11, weight="bold",
                va="center", clip_on=True, parse_math=False,
            )  # fmt: skip


def _energy(plot: Axes, show: Show) -> None:
    _curve(plot, show, show.energy_true, "true", SOFT, "--", 1.3)
    _curve(plot, show, show.energy, "measured", TEXT, "-", 1.6)
    _curve(plot, show, show.drive, "drive: what the music listens to", "#ff6fb1", "-", 1.8)
    plot.set_ylim(0, 1.02)
    _named(plot, "energy")


def _tempo(plot: Axes, show: Show) -> None:
    step = _step(show)
    if np.isfinite(show.groove).any():
        plot.plot(
            show.times[::step], show.groove[::step], ".", color="#7f8aa8", markersize=2,
            label="groove of the crowd",
        )  # fmt: skip
    _curve(plot, show, show.bpm_wanted, "wanted", "#ffd166", "--", 1.5)
    _curve(plot, show, show.bpm, "played", TEXT, "-", 1.9)
    _fit(plot, np.concatenate([show.bpm, show.bpm_wanted]), least=16.0)
    _named(plot, "tempo, BPM")


def _loudness(plot: Axes, show: Show) -> None:
    _curve(plot, show, show.lufs, "", TEXT, "-", 1.5)
    _fit(plot, show.lufs, least=9.0)
    _named(plot, "loudness,\nLUFS")


def _people(plot: Axes, show: Show) -> None:
    from matplotlib.ticker import MaxNLocator

    step = _step(show)
    plot.fill_between(
        show.times[::step],
        0,
        show.people[::step],
        step="post",
        color=ACCENT,
        alpha=0.45,
        linewidth=0,
    )
    known = show.people[np.isfinite(show.people)]
    plot.set_ylim(0, max(1.0, float(known.max(initial=0.0)) * 1.1))
    plot.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    _named(plot, "people")


def _chapters(plots: list[Axes], show: Show) -> None:
    """Chapters of the story: named above, shaded through all plots."""
    chapters = [span for span in spans(show.scene) if span[2]][:MAX_WORDS]
    top = plots[0].get_ylim()[1]
    for number, (start, end, name) in enumerate(chapters):
        begin, until = _moment(show, start), _moment(show, end)
        if number % 2 == 0:
            for plot in plots:
                plot.axvspan(begin, until, color="#8ca0dc", alpha=0.07, linewidth=0, zorder=0)
        name = _shown(name)
        words = name.replace(" ", "\n", 1) if until - begin < 0.09 * show.seconds else name
        plots[0].text(
            begin + 0.004 * show.seconds, top + 0.12, words, color=SOFT, size=10, va="bottom",
            linespacing=0.95, parse_math=False,
        )  # fmt: skip


def _events(plots: list[Axes], energy: Axes, show: Show) -> None:
    """Draw transitions, drops and whatever went wrong.

    Through all plots and named at the energy while they are few, else as short strokes at its foot.
    """
    said = [event for event in show.events if event.get("event") in LINES]
    few = len(said) <= MAX_WORDS
    for event in said:
        t, kind = float(str(event["t"])), str(event["event"])
        for plot in plots if few else [energy]:
            until = 1.0 if few else 0.07
            plot.axvline(t, 0, until, color=LINES[kind], linewidth=1.1, alpha=0.75)
        if few:
            energy.text(
                t + 0.003 * show.seconds, 0.04, kind, color=LINES[kind], size=9.5, rotation=90,
                va="bottom", ha="left", clip_on=True,
            )  # fmt: skip


def _curve(
    plot: Axes, show: Show, values: np.ndarray, label: str, colour: str, style: str, width: float
) -> None:
    """A line with gaps where nothing is known; no line and no legend where nothing ever was."""
    if np.isfinite(values).any():
        step = _step(show)
        plot.plot(
            show.times[::step], values[::step], style, color=colour, linewidth=width,
            label=label or "_", solid_joinstyle="round",
        )  # fmt: skip


def _named(plot: Axes, name: str) -> None:
    plot.set_ylabel(name, color=TEXT, size=11, weight="bold", labelpad=9)
    if plot.get_legend_handles_labels()[1]:
        plot.legend(
            loc="upper left", ncols=3, fontsize=10, frameon=True, facecolor=PANEL, edgecolor="none",
            labelcolor=SOFT, borderaxespad=0.3, framealpha=0.8,
        )  # fmt: skip


def _fit(plot: Axes, values: np.ndarray, *, least: float) -> None:
    """An axis around the known values, at least `least` high."""
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    more = max(0.0, least - (high - low)) / 2 + 0.08 * max(least, high - low)
    plot.set_ylim(low - more, high + more)


def _facts(show: Show) -> str:
    """What stands beside the title: the end of a long command tells more than its middle."""
    parts = []
    if command := str(show.meta.get("command") or ""):
        is_long = len(command) > MOST_LETTERS
        parts.append(f"{command[:20]}…{command[21 - MOST_LETTERS :]}" if is_long else command)
    version = show.meta.get("version")
    if version:
        parts.append(f"version {version}")
    return "   ".join(parts)


def _shown(words: str) -> str:
    """Words from a file: what has no shape of its own is drawn as a replacement character."""
    return "".join(c if c.isprintable() else "\ufffd" for c in words)


def _step(show: Show) -> int:
    return math.ceil(len(show.times) / MAX_POINTS)


def _moment(show: Show, line: int) -> float:
    return float(show.times[min(line, len(show.times) - 1)])


def _clock(seconds: float) -> str:
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
    return f"{whole // 60}:{whole % 60:02d}"
