# SPDX-License-Identifier: MIT
"""prepare.py DATA WORK [--voices N] [--device D] [--imitate]: log-mel frames of all training voices, from which batches.py mixes.

DATA is a folder of single-speaker recordings with manifest.tsv, segments.tsv and aug.tsv. Recordings under copyleft terms
are left out, and noises and rooms that are non-commercial or without terms. Every speaker is taken at four speeds: as
tape does, pitch and all, so that each is a further voice; beyond N = 4 with pitch and formants warped by chance (warps.py).
Every voice is kept in three versions: dry; in a room; through a codec, half of them in a room before. What is warped goes
through an imitated codec; with --imitate that is so of all, voice 0 being as recorded: that needs no ffmpeg (nor fluidsynth, where
music.u8 of another WORK is put) and is all done on the device. Written to WORK:

    frames.SPEED.VERSION.u8    [frames][80], (ln power + 14) / 0.094
    speech.SPEED.u8            [frames], 1 where the voice is heard, pauses up to 0.2 s included
    noise.u8                   [frames][80], all noises one behind the other
    music.u8                   [frames][80], made music, likewise
    utterances.SPEED.npy       (voice, first frame, frames)
    teacher.SPEED.npy          [voices][192], how the teacher hears them
    noises.npy                 noises (first frame, frames)

Every file appears when it is whole, and what is there already is not made again: stopped, it goes on with the version
of a speed, or with the warp, it was at. WORK/data.sha256 keeps what was prepared: of other data it needs another WORK. About 30 minutes on
two cores for 5 hours of speech; all speech is held in memory (1.5 GB an hour)."""
import argparse
import hashlib
import os
import subprocess
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np
import torch
from scipy.signal import resample_poly

import music
import warps
from channels import CODECS, in_room, room_response, through_codec
from conversations import Corpus
from front_end import HOP, RATE, SETTINGS, WINDOW, high_pass, log_mel
from progress import told
from teacher import Teacher

SPEEDS = [(1, 1), (10, 9), (9, 10), (6, 5)]  # up, down: as recorded, lower, higher, lower still
VERSIONS = ["dry", "room", "codec"]
FLOOR, STEP = -14.0, 0.094
ROOMS = 600  # of which a warp's utterances are in
AT_ONCE = 24_000_000  # samples of them that are warped at once
PIECES = 432  # of music and sounds, so many that none is known by heart
SHORTEST = 0.25  # seconds of an utterance below which it is left out

@contextmanager
def whole(path):
    """a file to write that appears under its name when all is in it"""
    with open(path + ".new", "wb") as file:
        yield file
    os.replace(path + ".new", path)


def keep(path, array):
    with whole(path) as file:
        np.save(file, array)


def quantised(log_mels):
    return np.clip(np.rint((log_mels - FLOOR) / STEP), 0, 255).astype(np.uint8)


def training_rows(corpus):
    return [r for r in corpus.speakers if r["split"] == "train" and "SA" not in r["licence"] and "GPL" not in r["licence"]]


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
        x = high_pass(corpus.audio(row["path"]))
        for start, duration in corpus.utterances[row["path"]]:
            piece = x[int(start * RATE) : int((start + duration) * RATE)]
            if len(piece) >= SHORTEST * RATE:
                yield k, piece if up == down else resample_poly(piece, up, down).astype(np.float32)


def in_version(version, pieces, corpus, rng, what):
    """the pieces dry, in rooms, or through codecs"""
    if version == "dry":
        return pieces
    if version == "room":
        return [in_room(x, corpus, rng) for x in told(pieces, what)]
    done = [in_room(x, corpus, rng) if rng.random() < 0.5 else x for x in told(pieces, what)]
    gap = WINDOW  # samples of silence behind every utterance: no frame sees two
    groups = np.array_split(rng.permutation(len(done)), 3 * len(CODECS))
    for g, group in enumerate(told(groups, what + " of codecs")):
        if not len(group):
            continue
        joined = np.concatenate([np.pad(done[i], (0, gap)) for i in group])
        coded, at = through_codec(joined * (0.5 / max(1e-6, abs(joined).max())), CODECS[g % len(CODECS)]), 0
        for i in group:
            length = len(done[i])
            done[i] = coded[at : at + length]
            at += length + gap
    return done


def make_speed(task):
    data, work, speed = task
    path = os.path.join(work, f"utterances.{speed}.npy")
    if os.path.exists(path):
        return
    corpus = Corpus(data)
    up, down = SPEEDS[speed]
    pieces = list(cut_utterances(corpus, training_rows(corpus), speed))
    table, first = [], 0
    for k, x in pieces:
        frames = max(1, (len(x) - WINDOW) // HOP + 1)
        table.append((k, first, frames))
        first += frames
    for version in VERSIONS:
        at, what = os.path.join(work, f"frames.{speed}.{version}.u8"), f"prepare: speed {up}/{down}, {version}"
        if os.path.exists(at):
            continue
        rng = np.random.default_rng([speed, VERSIONS.index(version)])
        labels = []
        with whole(at) as file:
            for (_, _, frames), x in zip(table, in_version(version, [x for _, x in pieces], corpus, rng, what)):
                level = np.sqrt((x**2).mean()) + 1e-9
                mel = log_mel(x * np.float32(0.05 / level))[:frames]
                file.write(quantised(mel).tobytes())
                if version == "dry":
                    labels.append(heard(mel))
            if version == "dry":
                with whole(os.path.join(work, f"speech.{speed}.u8")) as speech:
                    speech.write(np.concatenate(labels).astype(np.uint8).tobytes())
        print(f"{what}: {first} frames", flush=True)
    keep(path, np.array(table))


def joined_by_voice(pieces, speakers):
    """the first minute of each voice"""
    voices = [[] for _ in range(speakers)]
    for k, x in pieces:
        voices[k].append(x)
    return [np.concatenate(mine)[: 60 * RATE] if mine else np.zeros(1, np.float32) for mine in voices]


def make_warps(data, work, numbers, device):
    """all that make_speed and teach_speed make of a speed, of every warp, on the device"""
    left = [n for n in numbers if not os.path.exists(os.path.join(work, f"utterances.{n}.npy"))]
    if left:
        corpus, teacher = Corpus(data), Teacher().to(device)
        rows = training_rows(corpus)
        pieces = list(cut_utterances(corpus, rows, 0))
        for number in left:
            make_warp(corpus, rows, pieces, teacher, work, number, device)


@torch.no_grad()
def make_warp(corpus, rows, pieces, teacher, work, number, device):
    torch.manual_seed(number)
    rng = np.random.default_rng([number, 3])
    speaker, lengths = np.array([k for k, _ in pieces]), np.array([len(x) for _, x in pieces])
    warp = warps.Warp(number, len(rows))
    frames = np.maximum(1, (warp.lengths(lengths, speaker) - WINDOW) // HOP + 1)
    first = np.cumsum(frames) - frames
    made = [torch.empty(int(frames.sum()), SETTINGS["mel_bands"], dtype=torch.uint8, device=device) for _ in VERSIONS]
    rooms = torch.from_numpy(np.stack([room_response(corpus, rng) for _ in range(ROOMS)])).to(device)
    dry, order, begin = [None] * len(pieces), np.argsort(lengths, kind="stable"), 0
    while begin < len(order):  # utterances of about one length
        end = begin + 1
        while end < len(order) and (end + 1 - begin) * lengths[order[end]] <= AT_ONCE:
            end += 1
        mine, begin = order[begin:end], end
        x = torch.from_numpy(np.stack([np.pad(pieces[i][1], (0, int(lengths[mine[-1]] - lengths[i]))) for i in mine])).to(device)
        x = warp.apply(x, speaker[mine])
        real = torch.from_numpy(warp.lengths(lengths[mine], speaker[mine])).to(device)
        x = warps.levelled(x, real)
        room = warps.levelled(warps.in_rooms(x, rooms), real)
        coded = warps.imitated_codec(torch.where(torch.rand(len(x), 1, device=device) < 0.5, room, x))
        take = torch.from_numpy(frames[mine]).to(device)
        at = torch.arange(int(take.max()), device=device) < take[:, None]
        to = (torch.from_numpy(first[mine]).to(device)[:, None] + torch.arange(at.shape[1], device=device))[at]
        for version, y in zip(made, (x, room, warps.levelled(coded, real))):
            mel = warps.log_mels(torch.nn.functional.pad(y, (0, WINDOW)))[:, : at.shape[1]]
            version[to] = ((mel - FLOOR) / STEP).round().clamp(0, 255).to(torch.uint8)[at]
        for i, y, n in zip(mine, x.cpu().numpy(), real.tolist()):
            dry[i] = y[:n].copy()
    for version, of in zip(VERSIONS, made):
        with whole(os.path.join(work, f"frames.{number}.{version}.u8")) as file:
            file.write(of.cpu().numpy().tobytes())
    with whole(os.path.join(work, f"speech.{number}.u8")) as file:
        mel = made[0].cpu().numpy()
        file.write(np.concatenate([heard(mel[a : a + n] * np.float32(STEP) + FLOOR) for a, n in zip(first, frames)]).astype(np.uint8).tobytes())
    keep(os.path.join(work, f"teacher.{number}.npy"), teacher.embed_all(joined_by_voice(zip(speaker, dry), len(rows)), at_once=64))
    keep(os.path.join(work, f"utterances.{number}.npy"), np.stack([speaker, first, frames], 1))
    print(f"prepare: warp {number}: {frames.sum()} frames", flush=True)


def teach_speed(task):
    data, work, speed = task
    path = os.path.join(work, f"teacher.{speed}.npy")
    if os.path.exists(path):
        return
    torch.set_num_threads(1)
    corpus, teacher = Corpus(data), Teacher()
    rows = training_rows(corpus)
    voices = joined_by_voice(cut_utterances(corpus, rows, speed), len(rows))
    what = "prepare: speed %d/%d, the teacher's voices" % SPEEDS[speed]
    keep(path, np.stack([teacher.embed(mine) for mine in told(voices, what)]))
    print(f"{what}: {len(voices)}", flush=True)


def make_noise(data, work):
    path = os.path.join(work, "noises.npy")
    if os.path.exists(path):
        return
    corpus, table, first = Corpus(data), [], 0
    with whole(os.path.join(work, "noise.u8")) as file:
        for name in told(corpus.noises, "prepare: noises"):
            x = high_pass(corpus.audio(name))
            mel = log_mel(x * np.float32(0.05 / (np.sqrt((x**2).mean()) + 1e-9)))
            file.write(quantised(mel).tobytes())
            table.append((first, len(mel)))
            first += len(mel)
    keep(path, np.array(table))


def make_music(work):
    path = os.path.join(work, "music.u8")
    if os.path.exists(path):
        return
    rng = np.random.default_rng(31)
    with whole(path) as file:
        for _ in told(range(PIECES), "prepare: music"):
            file.write(quantised(log_mel(0.05 * music.piece(rng))).tobytes())


def check_codecs():
    try:
        listed = subprocess.run(["ffmpeg", "-nostdin", "-v", "error", "-encoders"], capture_output=True, text=True, check=True).stdout
    except OSError:
        raise SystemExit("prepare: ffmpeg is missing: scripts/install-packages recipe") from None
    known = {fields[1] for fields in map(str.split, listed.splitlines()) if len(fields) > 1}
    missing = sorted({name for _, options, _ in CODECS for name in [options[options.index("-c:a") + 1]]} - known)
    if missing:
        raise SystemExit(f"prepare: this ffmpeg lacks the encoders {', '.join(missing)}: scripts/install-packages recipe brings one that has them")


def check_same(data, work, imitate):
    """WORK's frames and DATA's tables belong together: rows are counted through"""
    corpus = Corpus(data)
    rows = [[r[k] for k in ("path", "corpus", "speech")] + corpus.utterances[r["path"]] for r in training_rows(corpus)]
    now = hashlib.sha256(repr((rows, corpus.noises, corpus.rooms) + ("imitated",) * imitate).encode()).hexdigest().encode()
    path = os.path.join(work, "data.sha256")
    if os.path.exists(path):
        with open(path, "rb") as file:
            if file.read() != now:
                raise SystemExit(f"prepare: {work} was prepared from other data than {data} holds now, or with{'out' if imitate else ''} --imitate: give another WORK, or empty it")
        return
    with whole(path) as file:
        file.write(now)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("work")
    parser.add_argument("--voices", type=int, default=len(SPEEDS), help="of each speaker: four speeds, the others warped (%(default)s)")
    parser.add_argument("--device", default="cpu", help="that warps, and imitates codecs: cpu, cuda, ...")
    parser.add_argument("--imitate", action="store_true", help="codecs are imitated, and all voices but the first are warped")
    arguments = parser.parse_args()
    data, work = arguments.data, arguments.work
    os.makedirs(work, exist_ok=True)
    speeds = 0 if arguments.imitate else min(len(SPEEDS), arguments.voices)
    if speeds:
        check_codecs()
    check_same(data, work, arguments.imitate)
    try:
        make_noise(data, work)
        make_music(work)
        with ProcessPoolExecutor(2) as pool:
            for make in (make_speed, teach_speed):
                list(pool.map(make, [(data, work, speed) for speed in range(speeds)]))
        make_warps(data, work, range(speeds, arguments.voices), arguments.device)
    except BrokenProcessPool:
        raise SystemExit("prepare: a process was killed, most likely for want of memory; started again, it goes on") from None


if __name__ == "__main__":
    main()
