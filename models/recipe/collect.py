# SPDX-License-Identifier: MIT
"""collect.py SPEAKERS DATA: makes the folder that make-model takes, of a folder with a folder of recordings for each speaker.

    SPEAKERS/NAME/**/*.wav  (or flac, ogg, opus, mp3; any rate, any channels; only NAME may speak in them)

Each speaker's recordings are cut at their pauses, levelled, and joined to one file; speakers are drawn into train, dev and
test. Pairs for the equal error rate and, in DATA/conv/test, made conversations are of the recordings too. Noises and rooms
are made, unless folders of recordings (a room: its impulse response) are given: real ones are better. Everything written is
16 kHz, mono. What cannot be read is named and left out. The same words give the same DATA."""
import argparse
import os
import sys

import numpy as np
import soundfile
from scipy.signal import resample_poly

from channels import made_room
from check_data import LEAST, check
from conversations import RATE, Corpus, conversation, write
from corpora import SHARE
from front_end import HOP, WINDOW, log_mel
from prepare import SHORTEST, heard
from progress import told

ENDINGS = (".wav", ".flac", ".ogg", ".opus", ".mp3")
GAP = 0.2  # seconds of silence behind an utterance
PAUSE = 0.3  # a pause so long parts two utterances
LONG, TRIAL = 4.5, 3.0  # seconds of speech that a voice of dev or test has at least; of a segment of a pair


def recordings(folder):
    """paths of a folder's recordings, folders in it included"""
    return sorted(os.path.join(at, name) for at, _, names in os.walk(folder) for name in names if name.lower().endswith(ENDINGS))


def read(path):
    """mono at 16 kHz, or None, and why is told"""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        why = "is empty" if not len(samples) else "holds what is no number" if not np.isfinite(samples).all() else ""
    except (OSError, RuntimeError, UnicodeError) as error:  # the last: a name that is not UTF-8
        why = error
    if why:
        print(f"collect: {path}: left out: {why}", file=sys.stderr)
        return None
    x = samples.mean(1)
    common = np.gcd(rate, RATE)
    return x if rate == RATE else resample_poly(x, RATE // common, rate // common).astype(np.float32)


def utterances(x):
    """what lies between pauses, of one loudness"""
    if not abs(x).max() > 1e-4 or len(x) < WINDOW:
        return
    on, reach = heard(log_mel(x)), round(PAUSE * RATE / HOP)
    at = np.flatnonzero(on)
    for part in np.split(at, np.flatnonzero(np.diff(at) > reach) + 1):
        piece = x[part[0] * HOP : part[-1] * HOP + WINDOW] if len(part) else x[:0]
        if len(piece) >= SHORTEST * RATE:
            piece = piece * (0.05 / (np.sqrt((piece**2).mean()) + 1e-9))
            yield piece * min(1, 0.99 / abs(piece).max())


def is_field(name):
    """can a name stand in a table as it is?"""
    return name.isprintable() and not name.startswith('"')


def lines(path, head, rows):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines("\t".join(map(str, row)) + "\n" for row in (head, *rows))


def joined(source, longest):
    """a speaker's utterances one behind the other, and where each lies: (start, duration) in seconds"""
    parts, table, at, speech = [], [], 0, 0.0
    for path in recordings(source):
        x = read(path) if speech < longest else None
        for piece in utterances(x) if x is not None else ():
            table.append((at / RATE, len(piece) / RATE))
            parts += [piece, np.zeros(int(GAP * RATE), np.float32)]
            at, speech = at + len(piece) + len(parts[-1]), speech + len(piece) / RATE
    return np.concatenate(parts) if parts else np.zeros(0, np.float32), table


def pairs(seconds, corpus, rng):
    """rows of a list of pairs of {path: seconds}: of each voice up to ten of its own segments, twice as many with others"""
    for condition, length in (("3s", TRIAL), ("long", 2 * TRIAL)):
        starts = {path: np.arange(int(of / length)) * length for path, of in seconds.items() if of >= length}

        def segment(path):
            return path, starts[path][rng.integers(len(starts[path]))], length

        for path in starts:
            several = rng.permutation([(i, j) for i in range(len(starts[path])) for j in range(i)])[:10]
            others = [other for other in starts if other != path]
            for i, j in several:
                yield 1, path, starts[path][i], length, path, starts[path][j], length, condition, corpus
            for _ in range(2 * len(several) if others else 0):
                yield 0, *segment(path), *segment(others[rng.integers(len(others))]), condition, corpus


def made_noise(rng, seconds=20):
    """a hiss of some colour that swells and sinks, and the mains' hum in it"""
    t = np.arange(seconds * RATE) / RATE
    spectrum = np.fft.rfft(rng.normal(0, 1, len(t)))
    x = np.fft.irfft(spectrum / (20 + np.arange(len(spectrum)) / seconds) ** rng.uniform(0, 1.2), len(t))
    x *= 1 + rng.uniform(0, 0.9) * np.sin(2 * np.pi * rng.uniform(0.05, 2) * t)
    hum = sum(np.sin(2 * np.pi * 50 * k * t + rng.uniform(0, 6.3)) / k for k in range(1, 6))
    return x / x.std() * 0.05 + hum * 0.05 * rng.uniform(0, 1) ** 4


def surroundings(folder, kind, source, make, count, rng):
    """rows of aug.tsv: what a folder holds, or so many made ones"""
    given = []
    for path in recordings(source) if source else ():
        x = read(path)
        if x is not None and not abs(x).max() > 1e-4:  # a silent room would make silence of all that is said in it
            print(f"collect: {path}: left out: is silent", file=sys.stderr)
        elif x is not None:
            given.append((path, x))
    if source and not given:
        sys.exit(f"collect: {source}: no recordings in it that can be used")
    os.makedirs(os.path.join(folder, "aug", kind), exist_ok=True)
    for k, (of, x) in enumerate(given or [("made by collect.py", make(rng)) for _ in range(count)]):
        path = f"aug/{kind}/{k:04}.flac"
        x = x * (0.5 / max(1e-9, abs(x).max()))
        soundfile.write(os.path.join(folder, path), x, RATE, subtype="PCM_16")
        yield path, kind, f"{len(x) / RATE:.3f}", of if is_field(of) else repr(of), "own"


def splits(speech, share, rng):
    """{path: split} of {path: seconds of speech}: dev and test are drawn from those who have enough"""
    long = [path for path, seconds in speech.items() if seconds >= 2 * LONG]
    if len(long) < 3 * LEAST:
        sys.exit(f"collect: {len(long)} speakers with {2 * LONG:.0f} s of speech or more; {3 * LEAST} are the least, {LEAST} each for "
                 "train, dev and test, and hundreds are wanted")
    each, drawn = min(max(LEAST, round(share * len(speech))), len(long) // 3), [long[i] for i in rng.permutation(len(long))]
    of = dict.fromkeys(drawn[:each], "dev") | dict.fromkeys(drawn[each : 2 * each], "test")
    return {path: of.get(path, "train") for path in speech}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speakers", metavar="SPEAKERS")
    parser.add_argument("data", metavar="DATA")
    parser.add_argument("--noises", metavar="FOLDER", help="recordings of noise without speech")
    parser.add_argument("--rooms", metavar="FOLDER", help="impulse responses of rooms")
    parser.add_argument("--held-out", type=float, default=0.1, metavar="SHARE", help="of the speakers in dev, and in test (0.1)")
    parser.add_argument("--longest", type=float, default=300, metavar="SECONDS", help="of speech taken of one speaker (300)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", choices=SHARE, default="librispeech", help="as whose voices batches.py draws them (librispeech)")
    chosen = parser.parse_args()
    if not os.path.isdir(chosen.speakers):
        parser.error(f"{chosen.speakers} is no folder")
    if os.path.exists(chosen.data) and not os.path.isdir(chosen.data):
        parser.error(f"{chosen.data} is no folder")
    if os.path.exists(chosen.data) and os.listdir(chosen.data):
        parser.error(f"{chosen.data} is there already and not empty")
    if not 0 < chosen.held_out <= 0.4:
        parser.error("--held-out is above 0 and at most 0.4")
    if not chosen.longest > 0:
        parser.error("--longest is above 0")
    rng, data, corpus = np.random.default_rng(chosen.seed), chosen.data, chosen.corpus
    names = sorted(name for name in os.listdir(chosen.speakers) if os.path.isdir(os.path.join(chosen.speakers, name)))
    os.makedirs(os.path.join(data, "audio", corpus), exist_ok=True)
    tables, seconds = {}, {}
    for name in told(names, "collect: speakers"):
        if not is_field(name):
            print(f"collect: {name!r}: left out: such a name cannot stand in a table", file=sys.stderr)
            continue
        samples, table = joined(os.path.join(chosen.speakers, name), chosen.longest)
        if not table:
            print(f"collect: {name}: left out: no speech in its recordings", file=sys.stderr)
            continue
        path = f"audio/{corpus}/{name}.flac"
        soundfile.write(os.path.join(data, path), samples, RATE, subtype="PCM_16")
        tables[path], seconds[path] = table, len(samples) / RATE
    speech = {path: sum(duration for _, duration in table) for path, table in tables.items()}
    split = splits(speech, chosen.held_out, rng)
    lines(os.path.join(data, "manifest.tsv"), "path corpus speaker sex duration speech split licence language".split(),
          [(path, corpus, os.path.basename(path)[:-5], "?", f"{seconds[path]:.3f}", f"{speech[path]:.3f}", split[path], "own", "?") for path in speech])
    lines(os.path.join(data, "segments.tsv"), ("path", "utterance", "start", "dur"),
          [(path, k, f"{start:.4f}", f"{duration:.4f}") for path, table in tables.items() for k, (start, duration) in enumerate(table)])
    for of in ("dev", "test"):
        lines(os.path.join(data, f"trials_{of}.tsv"), "label path1 start1 dur1 path2 start2 dur2 cond corpus".split(),
              pairs({path: seconds[path] for path in speech if split[path] == of}, corpus, rng))
    lines(os.path.join(data, "aug.tsv"), ("path", "kind", "duration", "source", "licence"),
          [*surroundings(data, "noise", chosen.noises, made_noise, 24, rng), *surroundings(data, "rir", chosen.rooms, made_room, 48, rng)])
    found, wrong = check(data)
    if wrong:
        sys.exit("\n".join(f"collect: {line}" for line in wrong))
    gathered = Corpus(data)
    voices = gathered.voices("test", corpus)
    write(os.path.join(data, "conv", "test"), [
        (style, conversation(gathered, 9000 + k, voices, int(rng.integers(2, 6)), 120.0, style))
        for k, style in enumerate(["dry", "room", "meeting", "phone"] * 2)])
    print("collect:", "; ".join(found), file=sys.stderr)
    print(f"collect: {data} is made; next: models/recipe/make-model {data} WORK", file=sys.stderr)


if __name__ == "__main__":
    main()
