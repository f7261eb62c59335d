# SPDX-License-Identifier: MIT
"""Music that nobody sings, and sounds: small pieces by chance, chords, bass, a melody and drums, or single sounds one now
and then, played by FluidSynth with the instruments of FluidR3 (MIT licence). A network that has never heard such tells it as
speech."""
import os
import shutil
import subprocess
import tempfile

import numpy as np
import soundfile

from front_end import RATE

SOUNDS = "/usr/share/sounds/sf2/FluidR3_GM.sf2"
SECONDS = 25.0
TICKS = 96  # of a quarter note
VOICES = {52, 53, 54, 85, 91}  # instruments of General MIDI that sing
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 7, 9))
KICK, SNARE, HAT, CYMBAL = 36, 38, 42, 49
EFFECTS = range(96, 128)  # bells, drums, birds, a telephone, applause; breath noise too
SOUNDS_SHARE = 0.35  # of the pieces
DRUMS = 9  # the channel that has them


def composed(rng):
    """notes (first tick, ticks, channel, key, loudness), instruments {channel: program}, quarter notes a minute"""
    quarters, scale, lowest = rng.uniform(60, 170), SCALES[rng.integers(len(SCALES))], int(rng.integers(38, 50))
    bars, notes = int(np.ceil(SECONDS * quarters / 240)) + 1, []
    parts = rng.random(4) < (0.75, 0.6, 0.7, 0.55)  # chords, bass, melody, drums
    if not parts[:3].any():
        parts[rng.integers(3)] = True
    sounding = [p for p in range(96) if p not in VOICES]
    instruments = {0: int(rng.choice(sounding)), 1: int(rng.integers(32, 40)), 2: int(rng.choice(sounding))}

    def key(degree):
        return lowest + 12 * (degree // len(scale)) + scale[degree % len(scale)]

    progression, spread = rng.integers(0, len(scale), 4), rng.choice([0, TICKS // 4, TICKS // 2, TICKS])
    degree, step = int(rng.integers(7, 14)), int(rng.choice([TICKS // 2, TICKS, 2 * TICKS]))
    beat = rng.random((3, 8)) < np.array([[0.4], [0.25], [0.7]])
    for bar in range(bars):
        chord, at = int(progression[bar % 4]), bar * 4 * TICKS
        for k in range(3 + int(rng.random() < 0.3)) if parts[0] else ():
            notes.append((at + k * spread, 4 * TICKS - k * spread, 0, key(chord + 2 * k + len(scale)), int(rng.integers(50, 90))))
        for k in range(4) if parts[1] else ():
            if rng.random() < 0.7:
                notes.append((at + k * TICKS, TICKS, 1, key(chord) - 12, int(rng.integers(70, 110))))
        for tick in range(at, at + 4 * TICKS, step) if parts[2] else ():
            degree = int(np.clip(degree + rng.integers(-3, 4), 7, 21))
            if rng.random() < 0.8:
                notes.append((tick, int(step * rng.choice([0.5, 1, 1.5])), 2, key(degree), int(rng.integers(70, 115))))
        for k, drum in enumerate((KICK, SNARE, HAT)) if parts[3] else ():
            notes += [(at + i * TICKS // 2, TICKS // 4, DRUMS, drum, int(rng.integers(60, 120))) for i in np.flatnonzero(beat[k])]
        if parts[3] and bar % 4 == 0:
            notes.append((at, TICKS, DRUMS, CYMBAL, 90))
    return notes, instruments, quarters


def sounds(rng):
    """the same of what is no music: sounds, each for itself, of all pitches and lengths"""
    notes, at, instruments = [], 0.0, {k: int(rng.choice(EFFECTS)) for k in range(8)}
    apart, quarters = rng.choice([60, 150, 400]), 60
    while at < SECONDS * TICKS:
        channel = DRUMS if rng.random() < 0.4 else int(rng.integers(8))
        key = int(rng.integers(27, 88) if channel == DRUMS else rng.integers(30, 100))
        notes.append((at, max(4, rng.exponential(80)), channel, key, int(rng.integers(50, 127))))
        at += rng.exponential(apart)
    return notes, instruments, quarters


def midi(notes, instruments, quarters):
    """the bytes of a Standard MIDI File of one track"""

    def number(n):  # seven bits a byte, all but the last marked
        out = [n & 127]
        while n := n >> 7:
            out.append(128 | n & 127)
        return bytes(reversed(out))

    events = [(0, bytes([255, 81, 3]) + int(6e7 / quarters).to_bytes(3, "big"))]
    events += [(0, bytes([192 | channel, program])) for channel, program in instruments.items()]
    for first, ticks, channel, key, loud in notes:
        events.append((int(first), bytes([144 | channel, min(127, key), loud])))
        events.append((int(first + ticks), bytes([128 | channel, min(127, key), 0])))
    events.sort(key=lambda event: event[0])
    track, now = b"", 0
    for at, what in events:
        track, now = track + number(at - now) + what, at
    track += bytes([0, 255, 47, 0])
    return b"MThd" + bytes([0, 0, 0, 6, 0, 0, 0, 1, 0, TICKS]) + b"MTrk" + len(track).to_bytes(4, "big") + track


def piece(rng):
    """samples of one, whose mean square is 1"""
    if not shutil.which("fluidsynth") or not os.path.exists(SOUNDS):
        raise SystemExit(f"music: fluidsynth or {SOUNDS} is missing: scripts/install-packages recipe")
    with tempfile.TemporaryDirectory() as folder:
        score, played = os.path.join(folder, "score.mid"), os.path.join(folder, "played.wav")
        with open(score, "wb") as file:
            file.write(midi(*(sounds if rng.random() < SOUNDS_SHARE else composed)(rng)))
        subprocess.run(["fluidsynth", "-ni", "-q", "-g", "0.5", "-r", str(RATE), "-F", played, SOUNDS, score], check=True, stdout=subprocess.DEVNULL)
        samples = soundfile.read(played, dtype="float32")[0]
    samples = samples.mean(1)[: int(SECONDS * RATE)]
    return samples / max(1e-6, np.sqrt((samples**2).mean()))
