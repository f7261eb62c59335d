# SPDX-License-Identifier: MIT
"""Crops of talk, mixed from the frames that prepare.py has made.

A crop is a timeline: voices take turns with pauses, overlaps and returns, all in one room or through one codec, with
noise, babble, hiss, knocks and breaths and a microphone's curve. All is mixed as mel power, where levels and curves are factors and sounds add
(their cross terms left out): no sample is touched, so that one core mixes faster than another one trains."""
import csv
import glob
import os

import numpy as np
import torch

from front_end import SETTINGS, normalised
from prepare import FLOOR, STEP, VERSIONS

BANDS, GROUP = SETTINGS["mel_bands"], SETTINGS["frames_per_step"]
SHARE = {"speechocean": 0.33, "librispeech": 0.31, "arabicsc": 0.12, "vctk": 0.08, "spcommands": 0.16}
TABLE = np.exp(np.arange(256) * STEP + FLOOR).astype(np.float32)  # power of a byte
LOUD = float(np.exp(-1.0))  # about the mel power of a band in speech at the level prepare.py gives


class Voices:
    """All voices of WORK but those of corpora left out: frames, the teacher's vectors, groups of one corpus."""

    def __init__(self, work, rows, without=()):
        self.frames, self.utterances, self.speech, teacher = {}, {}, {}, []
        speeds = sorted(int(os.path.basename(p).split(".")[1]) for p in glob.glob(os.path.join(work, "teacher.*.npy")))
        for at, speed in enumerate(speeds):
            teacher.append(np.load(os.path.join(work, f"teacher.{speed}.npy")))
            self.speech[at] = np.fromfile(os.path.join(work, f"speech.{speed}.u8"), np.uint8)
            for version in VERSIONS:
                raw = np.memmap(os.path.join(work, f"frames.{speed}.{version}.u8"), np.uint8, "r")
                self.frames[at, version] = raw.reshape(-1, BANDS)
            for k, first, count in np.load(os.path.join(work, f"utterances.{speed}.npy")):
                if rows[k]["corpus"] in without:
                    continue
                self.utterances.setdefault(at * len(rows) + int(k), []).append((at, int(first), int(count)))
        present = sorted(self.utterances)
        self.number = {voice: i for i, voice in enumerate(present)}  # its class
        self.teacher = np.concatenate(teacher)[present]
        seconds = np.array([float(r["speech"]) for r in rows] * len(speeds))[present]
        self.trust = np.clip(seconds / 4, 0.1, 1).astype(np.float32)  # of what the teacher says of a voice
        self.corpora = {}
        for voice in self.utterances:
            self.corpora.setdefault(rows[voice % len(rows)]["corpus"], []).append(voice)
        self.noise = np.memmap(os.path.join(work, "noise.u8"), np.uint8, "r").reshape(-1, BANDS)
        self.noises = np.load(os.path.join(work, "noises.npy"))

    def pick(self, count, rng):
        """voices of one corpus, so that the recording tells nothing"""
        names = [n for n in SHARE if n in self.corpora]
        share = np.array([SHARE[n] for n in names])
        mine = self.corpora[names[rng.choice(len(names), p=share / share.sum())]]
        return rng.choice(mine, min(count, len(mine)), replace=False)

    def talk(self, voice, version, length, rng):
        """mel power [length][80] of a voice, and where it is heard"""
        power, heard, at = np.zeros((length, BANDS), np.float32), np.zeros(length, bool), 0
        while at < length:
            speed, first, count = self.utterances[voice][rng.integers(len(self.utterances[voice]))]
            begin = rng.integers(0, count - (length - at) + 1) if count > length - at else 0
            take = min(count, length - at)
            here = slice(first + begin, first + begin + take)
            power[at : at + take] = TABLE[self.frames[speed, version][here]]
            heard[at : at + take] = self.speech[speed][here]
            at += take + int(rng.integers(4, 40))
        return power, heard

    def background(self, length, rng):
        first, count = self.noises[rng.integers(len(self.noises))]
        begin = rng.integers(0, count)
        at = first + (begin + np.arange(length)) % count
        return TABLE[self.noise[at]]


def decibel(x):
    return 10 ** (np.asarray(x, np.float32) / 10)


def microphone(hard, rng):
    """a smooth curve over the bands, sometimes cut off below or above; hard 0 … 1: how far from flat"""
    place = np.linspace(0, 1, BANDS)
    curve = rng.normal(0, 5) * (place - 0.5) * 2
    for k in range(1, 6):
        curve = curve + rng.normal(0, 3.5 / k**0.7) * np.cos(np.pi * k * place + rng.uniform(0, 6.3))
    curve = hard * curve
    if rng.random() < 0.2 * hard:
        curve = curve - np.clip((place - rng.uniform(0.62, 0.95)) * rng.uniform(200, 900), 0, 60)
    if rng.random() < 0.25 * hard:
        curve = curve - np.clip((rng.uniform(0.02, 0.13) - place) * rng.uniform(200, 900), 0, 40)
    return decibel(curve)


def events(frames, rng):
    """mel power [frames][80] of what nobody says: knocks and clicks, breaths and rustles, rumble; the loudest about 1"""
    power, place = np.zeros((frames, BANDS), np.float32), np.linspace(0, 1, BANDS)
    kinds = rng.permutation(3)[: rng.integers(1, 4)]
    for _ in range(1 + rng.poisson(frames / rng.choice([30, 80, 200]))):
        kind, at, level = kinds[rng.integers(len(kinds))], rng.integers(frames), rng.uniform(-25, 0)
        curve = rng.normal(0, 6) * np.cos(np.pi * place * rng.uniform(0.5, 4) + rng.uniform(0, 6.3))
        if kind == 0:
            length = int(rng.choice([4, 12, 40]))
            shape, curve = np.exp(-np.arange(length) / (length / 5)), curve + rng.uniform(-25, 8) * place
        else:
            length = int(rng.uniform(8, 140))
            shape = np.hanning(length + 2)[1:-1] * rng.gamma(3, 1 / 3, length)
            if kind == 1:
                curve = curve - 60 * np.abs(place - rng.uniform(0.2, 0.9)) * rng.uniform(0.2, 1)
            else:
                curve = curve - np.clip(place - rng.uniform(0.02, 0.15), 0, None) * rng.uniform(30, 300)
        length = min(length, frames - at)
        grain = rng.gamma(2, 0.5, (length, BANDS))
        power[at : at + length] += shape[:length, None] * decibel(level + curve - curve.max()) * grain
    return power


def murmur(power, level, voices, count, least, most, rng):
    """Adds voices in the background to power [frames][80], each least ... most dB below level."""
    for voice in voices.pick(count, rng):
        p, _ = voices.talk(voice, "room", len(power), rng)
        power += p * (level / (p.mean() + 1e-12) * decibel(-rng.uniform(least, most)))


def crop(voices, queue, steps, rng):
    """One crop: x [steps][320], who [steps] (index of the only turn heard, or −1), age [steps] (seconds of that turn
    heard so far), speech, overlap [steps], and the turns' voices. Takes its voices from the queue's end."""
    frames = steps * GROUP
    power = np.zeros((frames, BANDS), np.float32)
    turns, heard, version, hard = [], [], VERSIONS[rng.choice(3, p=[0.35, 0.35, 0.3])], rng.random() ** 1.5
    at, last = min(int(rng.exponential(40)), frames // 2) if rng.random() < 0.6 else 0, None
    if rng.random() < 0.06:  # nearly all of it without a word
        at = frames - 40 - int(rng.uniform(50, 150))
    median = rng.choice([0.9, 1.6, 2.5, 4.0])
    while at < frames - 40 and (queue or turns):
        length = int(100 * np.clip(median * np.exp(rng.normal(0, 0.6)), 0.5, 8))
        length = min(length, frames - at)
        others = [v for v in dict.fromkeys(turns) if v != last]
        if (others and rng.random() < 0.25) or not queue:
            if not others:
                break
            voice = others[rng.integers(len(others))]
        else:
            fresh = [i for i in range(len(queue)) if queue[i] not in turns]
            if not fresh:
                break
            voice = queue.pop(fresh[-1])
        p, h = voices.talk(voice, version if rng.random() < 0.85 else VERSIONS[rng.integers(3)], length, rng)
        power[at : at + length] += p * decibel(rng.normal(0, 3.5))
        on = np.zeros(frames, bool)
        on[at : at + length] = h
        turns.append(voice)
        heard.append(on)
        last = voice
        at += length + (-int(min(length * 0.5, rng.uniform(10, 120))) if rng.random() < 0.25 else int(rng.exponential(35)))
    loudness = power.sum(1)
    reference = np.percentile(loudness[loudness > 0], 80) / BANDS if (loudness > 0).any() else LOUD
    if rng.random() < 0.35 + 0.5 * hard:
        noise = voices.background(frames, rng)
        power += noise * (reference / (noise.mean() + 1e-12) * decibel(-rng.uniform(22 - 20 * hard, 40)))
    if rng.random() < 0.25 * hard:  # babble: many at once
        murmur(power, reference, voices, 6, 14, 28, rng)
    if rng.random() < 0.15:  # one far away, whom nobody would write down
        murmur(power, reference, voices, 1, 20, 34, rng)
    if rng.random() < 0.4:
        power += events(frames, rng) * (reference * decibel(rng.uniform(-18, 14)))
    if rng.random() < 0.3 + 0.3 * hard:  # hiss: independent bins, two to a band at the least
        shape = decibel(np.cumsum(rng.normal(0, 0.5, BANDS)))
        power += rng.gamma(2, 0.5, (frames, BANDS)).astype(np.float32) * shape * (reference * decibel(-rng.uniform(28 - 16 * hard, 50)))
    power *= microphone(hard, rng) * (LOUD / reference * decibel(rng.uniform(-24, 10)))
    x = normalised(np.log(power + SETTINGS["log_floor"], dtype=np.float32)).reshape(steps, GROUP * BANDS)
    on = np.array(heard).reshape(len(turns), steps, GROUP).sum(2) >= GROUP // 2
    count = on.sum(0)
    who = np.where(count == 1, on.argmax(0), -1)
    age = np.take_along_axis(np.cumsum(on, 1), np.maximum(who, 0)[None], 0)[0] * (GROUP * 0.01)
    return x, who, age, count > 0, count > 1, turns


class Batches(torch.utils.data.IterableDataset):
    """Endless batches: x, who (index of a turn, or −1), age, speech, overlap; and each turn's class and crop."""

    def __init__(self, voices, crops, steps, seed):
        self.voices, self.crops, self.steps, self.seed = voices, crops, steps, seed

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        while True:
            yield self.batch(rng)

    def batch(self, rng):
        voices = self.voices
        queue, parts, turns, crops = [], [], [], []
        for c in range(self.crops):
            if len(queue) < 10:  # every voice comes twice, most often in two crops
                some = np.concatenate([voices.pick(10, rng) for _ in range(2)]).tolist()
                queue = rng.permutation(some + some).tolist() + queue
            part = crop(voices, queue, self.steps, rng)
            who = np.where(part[1] >= 0, part[1] + len(turns), -1)
            turns += part[5]
            crops += [c] * len(part[5])
            parts.append((part[0], who, *part[2:5]))
        x, who, age, speech, overlap = (np.array(p) for p in zip(*parts))
        return (torch.from_numpy(x), torch.from_numpy(who), torch.from_numpy(age.astype(np.float32)),
                torch.from_numpy(speech.astype(np.float32)), torch.from_numpy(overlap.astype(np.float32)),
                torch.tensor([voices.number[v] for v in turns]), torch.tensor(crops))
