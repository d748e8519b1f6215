"""`crowdstream bench stems`: its arithmetic, and its rows on a small piece."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from crowdstream.offline import bench_stems
from crowdstream.offline.bench_stems import sdr_db, stems
from crowdstream.packets import STEMS


def test_sdr_is_the_energy_of_the_true_over_that_of_the_error() -> None:
    true = np.random.default_rng(1).normal(0.0, 0.1, (1000, 2)).astype(np.float32)
    assert sdr_db(true, true * 0.9) == pytest.approx(20.0, abs=1e-3)
    assert sdr_db(true, np.zeros_like(true)) == pytest.approx(0.0, abs=1e-6)
    assert sdr_db(true, 2 * true) == pytest.approx(0.0, abs=1e-3)
    assert sdr_db(true, 3 * true) == pytest.approx(-20 * math.log10(2), abs=1e-3)


@pytest.mark.timeout(60)
def test_rows_stand_beside_the_undivided_mix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a piece without vocals, on a machine without demucs and without built-in music."""
    piece = tmp_path / "stems" / "falcon69"
    piece.mkdir(parents=True)
    time = np.arange(3 * 8000) / 8000
    sounds = {
        "drums": np.random.default_rng(1).normal(0.0, 0.3, time.size) * np.exp(-(time % 0.5) * 60),
        "bass": 0.3 * np.sin(2 * np.pi * 80.0 * time),
        "vocals": np.zeros(time.size),
        "other": 0.2 * np.sin(2 * np.pi * 900.0 * time),
    }
    for stem in STEMS:
        soundfile.write(piece / f"{stem}.flac", sounds[stem], 8000)
    alone = tmp_path / "python"  # a Python that sees the standard library only
    alone.write_text('#!/bin/sh\nexec python3 -I -S "$@"\n')
    alone.chmod(0o755)
    monkeypatch.setenv("CROWDSTREAM_ASSETS", str(tmp_path))
    monkeypatch.setenv("CROWDSTREAM_STEMS_PYTHON", str(alone))
    monkeypatch.chdir(tmp_path)  # where no models folder is
    monkeypatch.setattr(bench_stems, "builtin_library", lambda folder: ())
    monkeypatch.setattr(bench_stems, "LONG_SECONDS", 3)
    monkeypatch.setattr(bench_stems, "SHORT_SECONDS", 2)
    said: list[str] = []
    rows = {(row["what"], row["case"]): row for row in stems(said.append)}
    for stem in ("drums", "bass", "other"):
        row = rows["sdr", f"falcon69 {stem}, fast"]
        assert row["rival"] == "the mix" and row["value"] > row["rival_value"]
    assert rows["false_stem", "falcon69 vocals, fast"]["value"] < 0.0
    for case in ("falcon69, fast", "3 s, fast"):
        assert rows["sum_against_mix", case]["met"]
    assert rows["memory", "3 s, fast"]["value"] > 10.0
    assert rows["memory_growth", "from 2 to 3 s, fast"]["met"]
    assert any(line.startswith("no rows of high") for line in said)
    assert any(line.startswith("no rows of networks") for line in said)
