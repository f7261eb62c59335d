# SPDX-License-Identifier: MIT
"""Crops of talk, mixed from the frames that prepare.py has made.

A crop is a timeline: voices take turns with pauses, overlaps and returns, all in one room or through one codec, with
noise, mains hum, music, babble, hiss, knocks and breaths and a microphone's curve. All is mixed as mel power, where levels and curves are
factors and sounds add (their cross terms left out): no sample is touched. A plan says which rows of the frames are heard
when and how loud, and is made by a process of its own; `mix` makes the crops of it, on the device that holds the frames."""
import copy
import glob
import os

import numpy as np
import torch

from channels import call, hum
from corpora import SHARE
from front_end import HOP, SETTINGS, WINDOW, log_mel, normalised
from prepare import FLOOR, STEP, VERSIONS, quantised

BANDS, GROUP = SETTINGS["mel_bands"], SETTINGS["frames_per_step"]
LOUD = float(np.exp(-1.0))  # about the mel power of a band in speech at the level prepare.py gives
KNOCKS, KNOCKS_FRAMES = 5000, 500  # recordings of what nobody says, so many that none is known by heart, and how long they are
HUMS, HUM_FRAMES, HUM_SHARE = 256, 700, 0.4  # the same of tones that stand, and their share of the noises
CALLS, CALLS_FRAMES, CALLS_SHARE = 256, 700, 0.2  # of tones that call, and their share of the music
MUSIC_SHARE = 0.2  # of the crops have music or sounds in place of a noise
AGAIN_SHARE = 0.3  # of the crops are a second or so over and over
SPEECH, NOISE, BABBLE, FAR, EVENTS, LAYERS = range(6)  # what a crop is mixed of
AT_ONCE = 1 << 20  # frames that mix turns into power at once


class Voices:
    """All voices of WORK but those of corpora left out: frames, the teacher's vectors, groups of one corpus.

    frames is one tensor of bytes [rows][80] on the device: the noises, what nobody says, then every version of every speed.
    base[speed, version] is the row at which that begins."""

    def __init__(self, work, rows, without=(), device="cpu"):
        self.utterances, self.speech, teacher, held = {}, {}, [], []
        speeds = sorted(int(os.path.basename(p).split(".")[1]) for p in glob.glob(os.path.join(work, "teacher.*.npy")))
        held.append(np.fromfile(os.path.join(work, "noise.u8"), np.uint8).reshape(-1, BANDS))
        self.noises = np.load(os.path.join(work, "noises.npy"))
        rng = np.random.default_rng(KNOCKS)
        self.knocks = len(held[0])
        held += [quantised(np.log(events(KNOCKS_FRAMES, rng) + SETTINGS["log_floor"])) for _ in range(KNOCKS)]
        self.hums = self.knocks + KNOCKS * KNOCKS_FRAMES
        held += [quantised(log_mel(0.05 * hum(WINDOW + HOP * (HUM_FRAMES - 1), rng))) for _ in range(HUMS)]
        self.calls = self.hums + HUMS * HUM_FRAMES
        held += [quantised(log_mel(0.05 * call(WINDOW + HOP * (CALLS_FRAMES - 1), rng))) for _ in range(CALLS)]
        self.music = self.calls + CALLS * CALLS_FRAMES
        held.append(np.fromfile(os.path.join(work, "music.u8"), np.uint8).reshape(-1, BANDS))
        self.music_frames = len(held[-1])
        self.base, row = np.zeros((len(speeds), len(VERSIONS)), np.int64), self.music + self.music_frames
        for at, speed in enumerate(speeds):
            teacher.append(np.load(os.path.join(work, f"teacher.{speed}.npy")))
            self.speech[at] = np.fromfile(os.path.join(work, f"speech.{speed}.u8"), np.uint8)
            for i, version in enumerate(VERSIONS):
                held.append(np.memmap(os.path.join(work, f"frames.{speed}.{version}.u8"), np.uint8, "r").reshape(-1, BANDS))
                self.base[at, i] = row
                row += len(held[-1])
            for k, first, count in np.load(os.path.join(work, f"utterances.{speed}.npy")):
                if rows[k]["corpus"] in without:
                    continue
                self.utterances.setdefault(at * len(rows) + int(k), []).append((at, int(first), int(count)))
        self.frames = torch.empty(row, BANDS, dtype=torch.uint8, device=device)
        row = 0
        for part in held:
            self.frames[row : row + len(part)] = torch.from_numpy(np.array(part))
            row += len(part)
        present = sorted(self.utterances)
        self.number = {voice: i for i, voice in enumerate(present)}  # its class
        self.teacher = np.concatenate(teacher)[present]
        seconds = np.array([float(r["speech"]) for r in rows] * len(speeds))[present]
        self.trust = np.clip(seconds / 4, 0.1, 1).astype(np.float32)  # of what the teacher says of a voice
        self.corpora = {}
        for voice in self.utterances:
            self.corpora.setdefault(rows[voice % len(rows)]["corpus"], []).append(voice)

    def pick(self, count, rng):
        """voices of one corpus, so that the recording tells nothing"""
        names = [n for n in SHARE if n in self.corpora]
        share = np.array([SHARE[n] for n in names])
        mine = self.corpora[names[rng.choice(len(names), p=share / share.sum())]]
        return rng.choice(mine, min(count, len(mine)), replace=False)

    def talk(self, voice, version, length, rng):
        """a voice's pieces (at, row, frames) within length frames, and where it is heard"""
        pieces, heard, at = [], np.zeros(length, bool), 0
        while at < length:
            speed, first, count = self.utterances[voice][rng.integers(len(self.utterances[voice]))]
            begin = first + (int(rng.integers(0, count - (length - at) + 1)) if count > length - at else 0)
            take = min(count, length - at)
            pieces.append((at, int(self.base[speed, version]) + begin, take))
            heard[at : at + take] = self.speech[speed][begin : begin + take]
            at += take + int(rng.integers(4, 40))
        return pieces, heard

    @staticmethod
    def looped(first, count, length, rng):
        """pieces of count rows, from somewhere in them on, and again from their beginning"""
        begin, at, pieces = int(rng.integers(0, count)), 0, []
        while at < length:
            take = min(int(count) - begin, length - at)
            pieces.append((at, int(first) + begin, take))
            at, begin = at + take, 0
        return pieces

    def background(self, length, rng):
        """pieces of a noise"""
        if rng.random() < HUM_SHARE:
            return self.looped(self.hums + int(rng.integers(HUMS)) * HUM_FRAMES, HUM_FRAMES, length, rng)
        return self.looped(*self.noises[rng.integers(len(self.noises))], length, rng)

    def playing(self, length, rng):
        """a piece of the music, or of tones that call"""
        if rng.random() < CALLS_SHARE:
            return self.looped(self.calls + int(rng.integers(CALLS)) * CALLS_FRAMES, CALLS_FRAMES, length, rng)
        return [(0, self.music + int(rng.integers(self.music_frames - length)), length)]

    def knocking(self, length, rng):
        """pieces of what nobody says"""
        pieces, at = [], 0
        while at < length:
            begin = int(rng.integers(0, KNOCKS_FRAMES))
            take = min(KNOCKS_FRAMES - begin, length - at)
            pieces.append((at, self.knocks + int(rng.integers(KNOCKS)) * KNOCKS_FRAMES + begin, take))
            at += take
        return pieces


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
            length = int(8 * np.exp(rng.uniform(0, 3.8)))
            shape = np.hanning(length + 2)[1:-1] * rng.gamma(3, 1 / 3, length)
            if kind == 1:
                curve = curve - 60 * np.abs(place - rng.uniform(0.2, 0.9)) * rng.uniform(0.2, 1)
            else:
                curve = curve - np.clip(place - rng.uniform(0.02, 0.15), 0, None) * rng.uniform(30, 300)
        length = min(length, frames - at)
        grain = rng.gamma(2, 0.5, (length, BANDS))
        power[at : at + length] += shape[:length, None] * decibel(level + curve - curve.max()) * grain
    return power


class Plan:
    """What a batch is mixed of: pieces (crop, layer, first frame, row of frames, how many, gain), and of each crop its
    layers' levels against the speech, its hiss, its microphone's curve and the order in which its steps are heard."""

    def __init__(self):
        self.pieces, self.levels, self.hiss, self.curve, self.order = [], [], [], [], []

    def begin(self):
        self.levels.append(np.zeros(LAYERS, np.float32))
        self.hiss.append(np.zeros(BANDS, np.float32))

    def add(self, layer, pieces, gain=1.0, at=0):
        crop = len(self.levels) - 1
        self.pieces += [(crop, layer, at + first, row, count, gain) for first, row, count in pieces]

    def tensors(self):
        table = np.array(self.pieces, np.float64).reshape(-1, 6)  # rows fit into a double
        return [torch.from_numpy(table[:, :5].astype(np.int64)), torch.from_numpy(table[:, 5].astype(np.float32))] + [
            torch.from_numpy(np.array(x, np.float32)) for x in (self.levels, self.hiss, self.curve)] + [torch.from_numpy(np.array(self.order))]


def mix(frames, steps, pieces, gain, levels, hiss, curve, order):
    """x [crops][steps][320] of a plan's tensors and the bytes [rows][80] that it names, all on one device"""
    crops, length, device = len(levels), steps * GROUP, frames.device
    crop, layer, first, row, count = pieces.unbind(1)
    to, total = (crop * LAYERS + layer) * length + first, int(count.sum())
    piece = torch.repeat_interleave(torch.arange(len(count), device=device), count, output_size=total)
    within = torch.arange(total, device=device) - (torch.cumsum(count, 0) - count)[piece]
    power = torch.zeros(crops * LAYERS * length, BANDS, device=device)
    for begin in range(0, total, AT_ONCE):
        p, w = piece[begin : begin + AT_ONCE], within[begin : begin + AT_ONCE]
        power.index_add_(0, to[p] + w, torch.exp(frames[row[p] + w].float() * STEP + FLOOR) * gain[p][:, None])
    power = power.view(crops, LAYERS, length, BANDS)
    speech = power[:, SPEECH]
    # the reference: four fifths of the frames with a voice are no louder
    loudness = speech.sum(2)
    voiced = (loudness > 0).sum(1)
    place = length - voiced + (0.8 * (voiced - 1).clamp(min=0)).long()
    reference = torch.gather(loudness.sort(1).values, 1, place.clamp(max=length - 1)[:, None])[:, 0] / BANDS
    reference = torch.where(voiced > 0, reference, LOUD)
    scale = levels * reference[:, None]
    for at in (NOISE, BABBLE, FAR):
        scale[:, at] /= power[:, at].mean((1, 2)) + 1e-12
    out = speech + (power[:, 1:] * scale[:, 1:, None, None]).sum(1)
    hissing = torch.nonzero(hiss.sum(1) > 0)[:, 0]  # independent bins, two to a band at the least
    grain = torch.rand(2, len(hissing), length, BANDS, device=device).clamp(min=1e-7).log().sum(0) * -0.5
    out[hissing] += grain * (hiss * reference[:, None])[hissing][:, None]
    out *= (curve * (LOUD / reference)[:, None])[:, None]
    x = normalised(torch.log(out + SETTINGS["log_floor"])).reshape(crops, steps, GROUP * BANDS)
    return x[torch.arange(crops, device=device)[:, None], order]


def murmur(plan, layer, voices, count, least, most, length, rng):
    """Plans voices in the background, about as loud as each would be least ... most dB below the speech."""
    mine = voices.pick(count, rng)
    for voice in mine:
        plan.add(layer, voices.talk(voice, VERSIONS.index("room"), length, rng)[0], decibel(-rng.uniform(0, most - least)))
    plan.levels[-1][layer] = len(mine) * decibel(-rng.uniform(least, most))


def order_of(on, rng):
    """the order in which a crop's steps are heard, on [turns][steps]: one after the other, or a window over and over, most
    often from where a turn begins: as a short segment is, whose embedding is asked for"""
    steps = on.shape[1]
    order = np.arange(steps)
    if rng.random() >= AGAIN_SHARE:
        return order
    length = int(np.clip(25 * np.exp(rng.normal(0, 0.5)), 12, steps // 2))
    begins = np.nonzero(np.diff(on, axis=1, prepend=False) & on)[1]
    at = begins[rng.integers(len(begins))] - rng.integers(6) if len(begins) and rng.random() < 0.7 else rng.integers(steps - length)
    return min(max(at, 0), steps - length) + order % length


def crop(plan, voices, queue, steps, rng):
    """Plans one crop: who [steps] (index of the only turn heard, or −1), age [steps] (seconds of that turn heard so far),
    speech, overlap [steps], and the turns' voices. Takes its voices from the queue's end."""
    frames = steps * GROUP
    plan.begin()
    turns, heard, version, hard = [], [], int(rng.choice(3, p=[0.35, 0.35, 0.3])), rng.random() ** 1.5
    music = rng.random() < MUSIC_SHARE
    at, last = min(int(rng.exponential(40)), frames // 2) if rng.random() < 0.6 else 0, None
    if rng.random() < (0.3 if music else 0.06):  # nearly all of it without a word
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
            fresh = next((i for i in range(len(queue) - 1, -1, -1) if queue[i] not in turns), None)
            if fresh is None:
                break
            voice = queue.pop(fresh)
        pieces, h = voices.talk(voice, version if rng.random() < 0.85 else int(rng.integers(3)), length, rng)
        plan.add(SPEECH, pieces, decibel(rng.normal(0, 3.5)), at)
        on = np.zeros(frames, bool)
        on[at : at + length] = h
        turns.append(voice)
        heard.append(on)
        last = voice
        if rng.random() < 0.25:
            at += length - int(min(length * 0.5, rng.uniform(10, 120)))
        else:  # a pause, a long one now and then
            at += length + int(rng.exponential(35 if rng.random() < 0.85 else 300))
    if music:
        plan.add(NOISE, voices.playing(frames, rng))
        plan.levels[-1][NOISE] = decibel(rng.uniform(-28, 2))
    elif rng.random() < 0.35 + 0.5 * hard:
        plan.add(NOISE, voices.background(frames, rng))
        plan.levels[-1][NOISE] = decibel(-rng.uniform(22 - 20 * hard, 40))
    if rng.random() < 0.25 * hard:  # many at once
        murmur(plan, BABBLE, voices, 6, 14, 28, frames, rng)
    if rng.random() < 0.15:  # one far away, whom nobody would write down
        murmur(plan, FAR, voices, 1, 20, 34, frames, rng)
    if rng.random() < 0.4:
        plan.add(EVENTS, voices.knocking(frames, rng))
        plan.levels[-1][EVENTS] = decibel(rng.uniform(-18, 14))
    if rng.random() < 0.3 + 0.3 * hard:
        plan.hiss[-1] = decibel(np.cumsum(rng.normal(0, 0.5, BANDS)) - rng.uniform(28 - 16 * hard, 50))
    plan.curve.append(microphone(hard, rng) * decibel(np.clip(rng.normal(-3, 9), -34, 12)))
    on = np.array(heard).reshape(len(turns), steps, GROUP).sum(2) >= GROUP // 2
    plan.order.append(order_of(on, rng))
    on = on[:, plan.order[-1]]
    count = on.sum(0)
    who = np.where(count == 1, on.argmax(0), -1)
    age = np.take_along_axis(np.cumsum(on, 1), np.maximum(who, 0)[None], 0)[0] * (GROUP * 0.01)
    return who, age, count > 0, count > 1, turns


class Batches(torch.utils.data.IterableDataset):
    """Endless batches: a plan's tensors, or what is mixed of them, x, if the frames are held where batches are planned;
    then who (index of a turn, or −1), age, speech, overlap; and each turn's class and crop."""

    def __init__(self, voices, crops, steps, seed):
        self.crops, self.steps, self.seed = crops, steps, seed
        self.frames = voices.frames if voices.frames.device.type == "cpu" else None
        self.voices = copy.copy(voices)
        self.voices.frames = None  # what is on another device is not for the planning processes

    def __iter__(self):
        worker = torch.utils.data.get_worker_info()
        seed = [self.seed, worker.id if worker else 0]
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(rng.integers(1 << 62)))
        while True:
            yield self.batch(rng)

    def batch(self, rng):
        voices, plan = self.voices, Plan()
        queue, parts, turns, crops = [], [], [], []
        for c in range(self.crops):
            if len(queue) < 10:  # every voice comes twice, most often in two crops
                some = np.concatenate([voices.pick(10, rng) for _ in range(2)]).tolist()
                queue = rng.permutation(some + some).tolist() + queue
            who, *part, mine = crop(plan, voices, queue, self.steps, rng)
            parts.append((np.where(who >= 0, who + len(turns), -1), *part))
            turns += mine
            crops += [c] * len(mine)
        who, age, speech, overlap = (np.array(p) for p in zip(*parts))
        truth = (torch.from_numpy(who), torch.from_numpy(age.astype(np.float32)), torch.from_numpy(speech.astype(np.float32)),
                 torch.from_numpy(overlap.astype(np.float32)), torch.tensor([voices.number[v] for v in turns]), torch.tensor(crops))
        tensors = plan.tensors()
        return (tensors if self.frames is None else [mix(self.frames, self.steps, *tensors)], truth)
