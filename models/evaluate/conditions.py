# SPDX-License-Identifier: MIT
"""The conversations by poorer equipment, and what nobody says: how far error rates move with what a microphone, a sound card
or a line adds, and how much of music and of noise is told as speech."""
import os
import tempfile

import numpy as np
import soundfile
from scipy.signal import resample_poly

from bootstrap import table
from diarization import COLLAR, conversations
from tables import read_table

NO_SPEECH = ("music", "noise", "babble")  # kinds of aug.tsv; babble, many voices at once, is a noise by its name


def level(decibels):
    return 10 ** (decibels / 20)


def tones(x, rate, *levels):
    """multiples of 50 Hz at so many dB against a square wave of full scale"""
    time = np.arange(len(x)) / rate
    return sum(np.sqrt(2) * level(of) * np.sin(2 * np.pi * 50 * k * time) for k, of in enumerate(levels, 1))


CONDITIONS = (
    ("as recorded", lambda x, rate, rng: (x, rate)),
    ("a constant, 0.01 of full scale", lambda x, rate, rng: (x + 0.01, rate)),
    ("50 Hz, -60 dB", lambda x, rate, rng: (x + tones(x, rate, -60), rate)),
    ("50, 100, 150 Hz, -50, -60, -60 dB", lambda x, rate, rng: (x + tones(x, rate, -50, -60, -60), rate)),
    ("20 dB quieter", lambda x, rate, rng: (x * level(-20), rate)),
    ("30 dB quieter", lambda x, rate, rng: (x * level(-30), rate)),
    ("12 dB louder", lambda x, rate, rng: (np.clip(x * level(12), -1, 1), rate)),
    ("white noise, 15 dB below", lambda x, rate, rng: (x + rng.normal(0, level(-15) * np.sqrt((x**2).mean()), len(x)), rate)),
    ("at 8 kHz", lambda x, rate, rng: (resample_poly(x, 8000, rate), 8000)),
)


def tracked(program, audio, change, folder):
    """turns of a recording that is changed"""
    x, rate = soundfile.read(audio)
    x, rate = change(x if x.ndim == 1 else x.mean(1), rate, np.random.default_rng(15))
    path = os.path.join(folder, "changed.wav")
    soundfile.write(path, x, rate, subtype="FLOAT")
    return program.track(path)[0]


def report(program, data):
    chosen, rows = conversations(os.path.join(data, "conv", "test")), []
    groups = {"simulated": ["simulated"], "real": ["real", "coarse turns"]}
    references = {name: turns for name, (_, turns, _) in chosen.items()}
    with tempfile.TemporaryDirectory() as folder:
        for title, change in CONDITIONS if chosen else ():
            errors = program.errors(references, {name: tracked(program, audio, change, folder) for name, (audio, _, _) in chosen.items()}, COLLAR)
            cells = []
            for of in groups.values():
                x = np.array([errors[name] for name in chosen if chosen[name][2] in of] or [[np.nan] * 4]).sum(0)
                cells += [f"{100 * v / x[3]:.1f}" for v in (x[:3].sum(), *x[:3])]
            rows.append([title, *cells])
        heads = [f"{group}: {what}" for group in groups for what in ("DER", "missed", "false alarm", "confusion")]
        if rows:
            table("By poorer equipment: error rate, %, as first told, latency 1 s", ["recordings", *heads], rows)
    seconds = {kind: np.zeros(2) for kind in NO_SPEECH}
    for row in read_table(os.path.join(data, "aug.tsv"), "path", "kind", "duration"):
        kind = "babble" if row["kind"] == "noise" and "babble" in row["path"] else row["kind"]
        if kind in seconds and float(row["duration"]) >= 5:
            turns = program.track(os.path.join(data, row["path"]))[0]
            seconds[kind] += sum(end - start for start, end, _ in turns), float(row["duration"])
    rows = [[kind, f"{length:.0f}", f"{100 * said / length:.1f}"] for kind, (said, length) in seconds.items() if length]
    table("What nobody says", ["recordings", "seconds", "told as speech, %"], rows)
