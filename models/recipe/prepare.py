# SPDX-License-Identifier: MIT
"""prepare.py DATA WORK: log-mel frames of all training voices, from which batches.py mixes.

DATA is a folder of single-speaker recordings with manifest.tsv, segments.tsv and aug.tsv. Recordings under copyleft terms
are left out, and noises and rooms that are non-commercial or without terms. Every speaker is taken at four speeds: as
tape does, pitch and all, so that each is a further voice. Every voice is kept in three versions: dry; in a room; through
a codec, half of them in a room before. Written to WORK:

    frames.SPEED.VERSION.u8    [frames][80], (ln power + 14) / 0.094
    speech.SPEED.u8            [frames], 1 where the voice is heard, pauses up to 0.2 s included
    noise.u8                   [frames][80], all noises one behind the other
    utterances.SPEED.npy       (voice, first frame, frames)
    teacher.SPEED.npy          [voices][192], how the teacher hears them
    noises.npy                 noises (first frame, frames)

What is there already is not made again. About 30 minutes on two cores."""
import os
import subprocess
import sys
from multiprocessing import Pool

import numpy as np
import torch
from scipy.signal import fftconvolve, resample_poly

from conversations import Corpus
from front_end import HOP, RATE, WINDOW, log_mel
from teacher import Teacher

SPEEDS = [(1, 1), (10, 9), (9, 10), (6, 5)]  # up, down: as recorded, lower, higher, lower still
VERSIONS = ["dry", "room", "codec"]
FLOOR, STEP = -14.0, 0.094

CODECS = [  # container, encoder's options, sample rate
    ("gsm", ["-c:a", "libgsm"], 8000),
    ("mulaw", ["-c:a", "pcm_mulaw"], 8000),
    ("ogg", ["-c:a", "libopus", "-b:a", "8k"], 16000),
    ("ogg", ["-c:a", "libopus", "-b:a", "16k"], 16000),
    ("mp3", ["-c:a", "libmp3lame", "-b:a", "24k"], 16000),
    ("mp3", ["-c:a", "libmp3lame", "-b:a", "48k"], 16000),
    ("g722", ["-c:a", "g722"], 16000),
    ("ogg", ["-c:a", "libspeex", "-b:a", "8k"], 8000),
]


def quantised(log_mels):
    return np.clip(np.rint((log_mels - FLOOR) / STEP), 0, 255).astype(np.uint8)


def training_rows(corpus):
    return [r for r in corpus.speakers if r["split"] == "train" and "SA" not in r["licence"] and "GPL" not in r["licence"]]


def made_room(rng):
    """A direct path, a few early reflections and a tail of decaying noise: T60 0.15 to 1 s, darker as it decays."""
    t60, length = rng.uniform(0.15, 1.0), 12000
    t = np.arange(length) / RATE
    bright = rng.normal(0, 1, length) * 10 ** (-3 * t / t60)
    dark = np.convolve(bright, np.ones(6) / 2.5, "same")
    mix = np.clip(t / (0.3 * t60), 0, 1)
    tail = (bright * (1 - mix) + dark * mix) * (t > 0.003)
    for _ in range(rng.integers(3, 8)):
        tail[rng.integers(20, 500)] += rng.normal(0, 3)
    ratio = 10 ** (rng.uniform(-4, 14) / 20)  # direct to reverberant
    h = tail / np.sqrt((tail**2).sum()) / ratio
    h[0] += 1
    return h.astype(np.float32)


def in_room(x, corpus, rng):
    if rng.random() < 0.5:
        h = made_room(rng)
    else:
        h = corpus.audio(corpus.rooms[rng.integers(len(corpus.rooms))])
        peak = int(np.argmax(abs(h)))
        h = h[max(0, peak - 16) : peak + 12000]
    return fftconvolve(x, h / np.sqrt((h**2).sum()))[: len(x)].astype(np.float32)


def through_codec(x, codec):
    container, options, rate = codec
    raw = ["-f", "s16le", "-ac", "1"]
    quiet = ["ffmpeg", "-nostdin", "-v", "error"]
    pcm = (np.clip(x, -1, 1) * 32767).astype("<i2").tobytes()
    # -nostdin closes the terminal only: standard input is the pipe
    coded = subprocess.run(
        quiet + raw + ["-ar", str(RATE), "-i", "pipe:0", "-ar", str(rate)] + options + ["-f", container, "pipe:1"],
        input=pcm, stdout=subprocess.PIPE, check=True).stdout
    again = ["-ar", str(rate)] if container in ("mulaw",) else []
    decoded = subprocess.run(
        quiet + ["-f", container] + again + ["-i", "pipe:0", "-ar", str(RATE)] + raw + ["pipe:1"],
        input=coded, stdout=subprocess.PIPE, check=True).stdout
    y = np.frombuffer(decoded, "<i2").astype(np.float32) / 32768
    lag = best_lag(x, y)
    y = y[lag:] if lag >= 0 else np.pad(y, (-lag, 0))
    return np.pad(y, (0, max(0, len(x) - len(y))))[: len(x)]


def best_lag(x, y):
    """how many samples y comes later than x"""
    n = 1 << 19
    x, y = (np.pad(v[:n], (0, max(0, n - len(v)))) for v in (x, y))
    correlation = np.fft.irfft(np.fft.rfft(y, 2 * n) * np.conj(np.fft.rfft(x, 2 * n)))
    correlation[8000:-8000] = 0
    lag = int(np.argmax(abs(correlation)))
    return lag if lag < n else lag - 2 * n


def heard(log_mels):
    """where a dry recording is speech: 33 dB below its loud frames at most; pauses up to 0.2 s count, clicks do not"""
    energy = np.log(np.exp(log_mels).sum(1))
    on = (energy > np.percentile(energy, 95) - 7.6).astype(np.uint8)

    def fill(mask, value, reach):
        mask = mask.copy()
        edges = np.flatnonzero(np.diff(np.concatenate([[1 - value], mask, [1 - value]]) == value))
        for a, b in zip(edges[1:-1:2], edges[2::2]):
            if b - a <= reach:
                mask[a:b] = value
        return mask

    return fill(1 - fill(1 - fill(on, 1, 20), 1, 5), 1, 20)


def cut_utterances(corpus, rows, speed):
    """(voice row, samples) of every utterance"""
    up, down = SPEEDS[speed]
    for k, row in enumerate(rows):
        x = corpus.audio(row["path"])
        for start, duration in corpus.utterances[row["path"]]:
            piece = x[int(start * RATE) : int((start + duration) * RATE)]
            if len(piece) >= RATE // 4:
                yield k, piece if up == down else resample_poly(piece, up, down).astype(np.float32)


def make_speed(task):
    data, work, speed = task
    path = os.path.join(work, f"utterances.{speed}.npy")
    if os.path.exists(path):
        return
    corpus = Corpus(data)
    up, down = SPEEDS[speed]
    pieces = list(cut_utterances(corpus, training_rows(corpus), speed))
    gap = WINDOW  # samples of silence behind every utterance: no frame sees two
    table, first = [], 0
    for k, x in pieces:
        frames = max(1, (len(x) - WINDOW) // HOP + 1)
        table.append((k, first, frames))
        first += frames
    for version in VERSIONS:
        rng = np.random.default_rng([speed, VERSIONS.index(version)])
        done = [x for _, x in pieces]
        if version == "room":
            done = [in_room(x, corpus, rng) for x in done]
        if version == "codec":
            done = [in_room(x, corpus, rng) if rng.random() < 0.5 else x for x in done]
            groups = np.array_split(rng.permutation(len(done)), 3 * len(CODECS))
            for g, group in enumerate(groups):
                joined = np.concatenate([np.pad(done[i], (0, gap)) for i in group])
                coded, at = through_codec(joined * (0.5 / abs(joined).max()), CODECS[g % len(CODECS)]), 0
                for i in group:
                    length = len(done[i])
                    done[i] = coded[at : at + length]
                    at += length + gap
        labels = []
        with open(os.path.join(work, f"frames.{speed}.{version}.u8"), "wb") as file:
            for (_, _, frames), x in zip(table, done):
                level = np.sqrt((x**2).mean()) + 1e-9
                mel = log_mel(x * np.float32(0.05 / level))[:frames]
                file.write(quantised(mel).tobytes())
                if version == "dry":
                    labels.append(heard(mel))
        if version == "dry":
            np.concatenate(labels).astype(np.uint8).tofile(os.path.join(work, f"speech.{speed}.u8"))
        print(f"prepare: speed {up}/{down}, {version}: {first} frames", flush=True)
    np.save(path, np.array(table))


def teach_speed(task):
    data, work, speed = task
    path = os.path.join(work, f"teacher.{speed}.npy")
    if os.path.exists(path):
        return
    torch.set_num_threads(1)
    corpus, teacher = Corpus(data), Teacher()
    rows = training_rows(corpus)
    voices = [[] for _ in rows]
    for k, x in cut_utterances(corpus, rows, speed):
        voices[k].append(x)
    np.save(path, np.stack([teacher.embed(np.concatenate(mine)[: 60 * RATE]) for mine in voices]))
    print("prepare: speed %d/%d: taught" % SPEEDS[speed], flush=True)


def make_noise(data, work):
    path = os.path.join(work, "noises.npy")
    if os.path.exists(path):
        return
    corpus, table, first = Corpus(data), [], 0
    with open(os.path.join(work, "noise.u8"), "wb") as file:
        for name in corpus.noises:
            x = corpus.audio(name)
            mel = log_mel(x * np.float32(0.05 / (np.sqrt((x**2).mean()) + 1e-9)))
            file.write(quantised(mel).tobytes())
            table.append((first, len(mel)))
            first += len(mel)
    np.save(path, np.array(table))


def main():
    data, work = sys.argv[1:]
    os.makedirs(work, exist_ok=True)
    make_noise(data, work)
    with Pool(2) as pool:
        for make in (make_speed, teach_speed):
            pool.map(make, [(data, work, speed) for speed in range(len(SPEEDS))], chunksize=1)


if __name__ == "__main__":
    main()
