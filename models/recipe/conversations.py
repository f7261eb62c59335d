# SPDX-License-Identifier: MIT
"""Made conversations with known turns, from single-speaker recordings, room responses and noises.

    conversations.py DATA OUT [--every N]   writes OUT/train and OUT/dev: NAME.wav, NAME.rttm, and conv.tsv with their styles;
                                            of each style all, or every N-th pair. What is there already is not made again.

Turns of 0.5 to 12 s, pauses, interjections, overlaps, late comers and long absences; most rooms are shared by all
speakers, as rooms are. Dev voices are also taken a tenth faster and slower, as further voices; conversations of an even
number are of one half of the dev speakers, those of an odd number of the other. OUT/dev has strangers as well, whose corpora
the network is not trained on (corpora.py), in styles named other…. Styles: dry; room; coded (a room, then a codec);
phone (one band and one microphone's curve for all, and half of them GSM); long (eleven minutes, everybody away for
five of them); meeting (far, many overlaps, pauses); table (as at a table with a microphone in the middle: short turns and
backchannels of unlike loudness, long silences, knocks and rustles that nobody said); headset (the same turns close by, with
breaths, and somebody far away who is no part of it); poor (close by, up to 30 dB too quiet, and mains hum); music (some seconds of it alone,
then behind what is said)."""
import argparse
import collections
import csv
import functools
import os

import numpy as np
import soundfile
from scipy.signal import fftconvolve, resample_poly

from channels import CODECS, GSM, RATE, breaths, hum, knocks, over_telephone, through_codec
from corpora import SHARE
from music import piece
from progress import told

SPEEDS = {0: (1, 1), 1: (9, 10), 2: (10, 9)}


class Corpus:
    def __init__(self, folder):
        self.folder = folder
        self.speakers = list(self._rows("manifest.tsv"))
        self.utterances = collections.defaultdict(list)
        for row in self._rows("segments.tsv"):
            self.utterances[row["path"]].append((float(row["start"]), float(row["dur"])))
        free = [r for r in self._rows("aug.tsv") if "NC" not in r["licence"] and "none" not in r["licence"]]
        self.rooms = [r["path"] for r in free if r["kind"] == "rir"]
        self.noises = [r["path"] for r in free if r["kind"] == "noise"]
        self._audio = {}

    def _rows(self, name):
        with open(os.path.join(self.folder, name)) as file:
            yield from csv.DictReader(file, delimiter="\t")

    def audio(self, path):
        if path not in self._audio:
            samples = soundfile.read(os.path.join(self.folder, path), dtype="float32")[0]
            self._audio[path] = samples if samples.ndim == 1 else samples[:, 0]
        return self._audio[path]

    def who_talk(self, split):
        """speakers of at least 4.5 s of speech"""
        return [r for r in self.speakers if r["split"] == split and float(r["speech"]) >= 4.5]

    def voices(self, split, corpus, speeds=(0,), half=None):
        """(path, speed) of who has at least 4.5 s of speech in a corpus, or, where the split has nobody of it, in any; of
        half 0 or 1 of them, where there are two"""
        long = self.who_talk(split)
        rows = [r for r in long if r["corpus"] == corpus] or long
        rows = rows if half is None else rows[half::2] or rows
        return [(r["path"], speed) for r in rows for speed in speeds]

    def strangers(self):
        """the same of each corpus of the train split that the network is not trained on, if it has two or more"""
        of = collections.defaultdict(list)
        for r in self.who_talk("train"):
            if r["corpus"] not in SHARE:
                of[r["corpus"]].append((r["path"], 0))
        return [of[name] for name in sorted(of) if len(of[name]) > 1]


def speech(corpus, voice, seconds, rng):
    """About so many seconds of a voice, cut at quiet places."""
    path, speed = voice
    out, length = [], 0
    while length < seconds * RATE:
        start, duration = corpus.utterances[path][rng.integers(len(corpus.utterances[path]))]
        x = corpus.audio(path)[int(start * RATE) : int((start + duration) * RATE)]
        if speed:
            x = resample_poly(x, *SPEEDS[speed]).astype(np.float32)
        rest = int(seconds * RATE) - length
        if rest < 6400 and length:
            break
        rest = max(rest, 8000)
        if len(x) > rest * 1.3 and len(x) - rest > 8000:
            energy = np.convolve(x**2, np.ones(800) / 800, "same")

            def quiet(at):
                low = max(0, at - 3200)
                return low + int(np.argmin(energy[low : at + 3200]))

            begin = rng.integers(0, len(x) - rest)
            begin, end = quiet(begin), quiet(min(len(x) - 1, begin + rest))
            if end - begin < 4000:
                continue
            x = x[begin:end]
        if out:
            gap = int(rng.uniform(0.05, 0.35) * RATE)
            out.append(np.zeros(gap, np.float32))
            length += gap
        out.append(x)
        length += len(x)
    return np.concatenate(out)


def murmur(corpus, samples, voices, rng):
    """Adds one of the voices, 22 to 36 dB below what is said, a sentence in ten seconds."""
    loud = np.sqrt((samples[abs(samples) > 1e-3] ** 2).mean())
    voice = voices[rng.integers(len(voices))] if voices else None
    for _ in range(rng.poisson(len(samples) / RATE / 10) if voices else 0):
        x = speech(corpus, voice, rng.uniform(0.5, 4), rng)[: 6 * RATE]
        at = rng.integers(len(samples) - len(x))
        samples[at : at + len(x)] += x * (10 ** (-rng.uniform(22, 36) / 20) * loud / max(1e-6, np.sqrt((x**2).mean())))


def later(made):
    """a call keeps what is to be made; what it returns makes it"""
    return lambda *what: functools.partial(made, *what)


@later
def conversation(corpus, seed, voices, speakers, seconds, style):
    """samples, [(start, end, speaker)]"""
    rng, after = np.random.default_rng(seed), np.random.default_rng([seed, 1])
    table, close = style in ("table", "headset"), style in ("dry", "phone", "long", "headset", "poor", "music")
    meeting = table or style == "meeting"
    paths = list(dict.fromkeys(path for path, _ in voices))
    speakers = min(speakers, len(set(voices)))
    chosen, cast = [paths[i] for i in rng.permutation(len(paths))[:speakers]], []
    for k in range(speakers):  # where paths are too few, at another speed once more
        left = [v for v in voices if v not in cast and (k >= len(chosen) or v[0] == chosen[k])]
        cast.append(left[rng.integers(len(left))])
    samples, turns = np.zeros(int((seconds + 20) * RATE), np.float32), []
    gains = 10 ** (rng.uniform(-4, 4, speakers) / 20) * (10 ** (rng.uniform(-4, 4, speakers) / 20) if meeting else 1)
    rooms = [corpus.rooms[rng.integers(len(corpus.rooms))] for _ in range(speakers)]
    if rng.random() < 0.7:
        rooms = rooms[:1] * speakers
    activity = rng.dirichlet(np.ones(speakers) * 2) + 0.03
    median = rng.choice([1.0, 1.6, 2.5] if meeting else [1.5, 2.5, 4.0])
    overlap = rng.uniform(0.3, 0.7) if meeting else rng.uniform(0.05, 0.3)
    pause = rng.uniform(0.2, 1.2) * (2 if meeting else 1)
    if table:
        median, overlap, pause = rng.choice([0.7, 1.2, 2.5]), rng.uniform(0.3, 0.9), rng.uniform(0.5, 4)

    def add(who, at, x):
        x, length = x * gains[who], len(x)
        if not close:
            h = corpus.audio(rooms[who])
            peak = int(np.argmax(abs(h)))
            h = h[max(0, peak - 16) : peak + 12000]
            x = fftconvolve(x, h / np.sqrt((h**2).sum()))[: length + 6000]
        begin = int(at * RATE)
        end = min(len(samples), begin + len(x))
        samples[begin:end] += x[: end - begin]
        turns.append((at, at + length / RATE, f"speaker{who}"))

    at, last, order, absent = rng.uniform(4, 12) if style == "music" else rng.uniform(0.1, 1), -1, rng.permutation(speakers), []  # who is away, from, until
    if style == "long":  # two groups: half a minute of the first, then five minutes of either, then half a minute
        first, second = order[: speakers // 2], order[speakers // 2 :]
        absent = [(k, *away) for k in first for away in ((36, 336), (636, seconds))]
        absent += [(k, *away) for k in second for away in ((0, 36), (336, 636))]
    elif rng.random() < 0.3 and speakers > 2:
        absent = [(rng.integers(speakers), seconds * 0.25, seconds * 0.75)]
    while at < seconds - 1:
        chance = activity.copy()
        if last >= 0:
            chance[last] *= 0.35
        arrived = speakers if style == "long" else int(max(2, np.ceil(speakers * min(1, at / (seconds * 0.5) + 0.3))))
        late = list(order[arrived:]) + [k for k, begin, end in absent if begin < at < end]
        chance[late] = 0
        chance = chance if chance.sum() else activity
        who = rng.choice(speakers, p=chance / chance.sum())
        want = min(float(np.clip(median * np.exp(rng.normal(0, 0.75)), 0.5, 12)), seconds - at)
        if want < 0.4:
            break
        x = speech(corpus, cast[who], want, rng)[: int((want + 2) * RATE)]
        duration = len(x) / RATE
        add(who, at, x)
        others = [k for k in range(speakers) if k != who and k not in late]
        if others and duration > 1.5 and rng.random() < overlap / 2:
            other = rng.choice(others)
            short = speech(corpus, cast[other], rng.uniform(0.4, 1.0), rng)[: int(1.2 * RATE)]
            add(other, at + rng.uniform(0.2, max(0.3, duration - 1)), short)
        if rng.random() < overlap and last >= 0:
            gap = -min(duration * (0.8 if table else 0.4), rng.uniform(0.1, 3 if table else 1.5))
        else:
            gap = rng.exponential(pause) if rng.random() < 0.8 else rng.uniform(0, 0.15)
        at, last = at + duration + gap, who
    samples = samples[: int(seconds * RATE)]
    if style == "table":
        knocks(corpus, samples, rng)
    if style == "headset":
        breaths(samples, after)
        murmur(corpus, samples, [v for v in voices if v[0] not in {path for path, _ in cast}], after)
    if not close or rng.random() < 0.4:
        noise = corpus.audio(corpus.noises[rng.integers(len(corpus.noises))])
        noise = np.tile(noise, len(samples) // len(noise) + 1)[: len(samples)]
        loud = (samples[abs(samples) > 1e-3] ** 2).mean()
        samples = samples + noise * np.sqrt(loud / max(1e-12, (noise**2).mean()) * 10 ** (-rng.uniform(6 if table else 12, 25) / 10))
    if style == "phone":
        samples = over_telephone(samples, rng)
    if style == "coded" or style == "phone" and after.random() < 0.5:
        codec = GSM if style == "phone" else CODECS[after.integers(len(CODECS))]
        samples = through_codec(samples * (0.5 / max(1e-6, abs(samples).max())), codec)
    quieter = rng.uniform(-15, 0)
    if style == "music":
        loud, played = np.sqrt((samples[abs(samples) > 1e-3] ** 2).mean()), piece(after)
        level = np.full(len(samples), 10 ** (-after.uniform(8, 25) / 20))
        level[: int(min(begin for begin, _, _ in turns) * RATE)] = 10 ** (-after.uniform(0, 10) / 20)
        samples = samples + loud * level * np.tile(played, len(samples) // len(played) + 1)[: len(samples)]
    if style == "poor":
        loud, quieter = (samples[abs(samples) > 1e-3] ** 2).mean(), quieter - after.uniform(0, 30)
        if after.random() < 0.7:
            samples = samples + hum(len(samples), after) * np.sqrt(loud) * 10 ** (-after.uniform(8, 35) / 20)
    samples = samples * (0.5 / max(1e-6, np.percentile(abs(samples), 99.9))) * 10 ** (quieter / 20)
    return np.clip(samples, -1, 1).astype(np.float32), [(a, min(b, seconds), s) for a, b, s in turns if a < seconds]


def training_set(corpus):
    """(style, conversation): 138 of 3 minutes from the train split"""
    so, ls, ar, vc = (corpus.voices("train", name) for name in ("speechocean", "librispeech", "arabicsc", "vctk"))
    rng = np.random.default_rng(7)
    for k in range(138):
        voices = [so, ls, so, ls, vc, ar, so, ls, so + ls + vc][k % 9]
        style = ["dry", "room", "room", "meeting"][k % 4] if k < 110 else "phone"
        yield style, conversation(corpus, 5000 + k, voices, int(rng.integers(3, 9)), 180.0, style)


# of each style of the tuning set: how many, speakers at least and at most, lengths in seconds
TUNING = {
    "dry": (24, 2, 6, (90, 150, 200)),
    "room": (36, 2, 6, (90, 150, 200)),
    "meeting": (24, 2, 6, (90, 120)),
    "coded": (24, 2, 5, (90, 150)),
    "table": (36, 2, 5, (60,)),
    "headset": (36, 2, 5, (60,)),
    "phone": (36, 2, 4, (60, 90)),
    "long": (16, 6, 6, (672,)),
    "poor": (24, 2, 5, (60,)),
    "music": (16, 2, 4, (60,)),
}
# the same with strangers, under the style's name after "other"
STRANGE = {
    "dry": (36, 2, 5, (120,)),
    "room": (60, 2, 5, (120, 150)),
    "phone": (60, 2, 5, (120, 150)),
    "coded": (24, 2, 5, (150,)),
    "meeting": (24, 2, 5, (150,)),
}


def made_by(table, seed, first, corpus, cast):
    """(style, conversation) of all in a table like TUNING, their seeds from first on; cast(style, k): whose voices the k-th of
    a style is of"""
    for number, (style, (count, least, most, lengths)) in enumerate(table.items()):
        rng = np.random.default_rng([seed, number])
        for k in range(count):
            of, speakers = cast(style, k), int(rng.integers(least, most + 1))
            yield style, conversation(corpus, first + 1000 * number + k, of, speakers, float(rng.choice(lengths)), style)


def tuning_set(corpus):
    """(style, conversation) from the dev split at three speeds, by turns of either half of its speakers; and from strangers,
    by turns of each corpus"""
    voices = []
    for half in (0, 1):
        so, ls = (corpus.voices("dev", name, (0, 1, 2), half) for name in ("speechocean", "librispeech"))
        voices.append([so, ls, so + ls])
    yield from made_by(TUNING, 7, 20000, corpus, lambda style, k: voices[k % 2][k // 2 % (2 if style == "long" else 3)])
    strangers = corpus.strangers()
    if strangers:
        for style, made in made_by(STRANGE, 8, 40000, corpus, lambda style, k: strangers[k % len(strangers)]):
            yield f"other{style}", made


def every_nth(conversations, nth):
    """(name, style, conversation) of every n-th pair of each style; not of the same place in each n, as whose voices they are
    of goes by turns as well"""
    of = collections.Counter()
    for style, made in conversations:
        pair = of[style] // 2
        if (pair + pair // nth) % nth == 0:
            yield f"{style}{of[style]:03}", style, made
        of[style] += 1


def write(folder, conversations, nth=1):
    os.makedirs(folder, exist_ok=True)
    chosen = list(every_nth(conversations, nth))
    for name, _, made in told(chosen, f"conversations: {folder}"):
        path = os.path.join(folder, name)
        if os.path.exists(path + ".rttm"):
            continue
        samples, turns = made()
        soundfile.write(path + ".new", samples, RATE, subtype="PCM_16", format="WAV")
        os.replace(path + ".new", path + ".wav")
        with open(path + ".new", "w") as file:
            for start, end, speaker in sorted(turns):
                file.write(f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n")
        os.replace(path + ".new", path + ".rttm")
    with open(os.path.join(folder, "conv.tsv"), "w") as table:
        table.write("path\tsplit\tkind\n")
        table.writelines(f"{name}.wav\t{os.path.basename(folder)}\t{style}\n" for name, style, _ in chosen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--every", type=int, default=1)
    chosen = parser.parse_args()
    if chosen.every < 1:
        parser.error("--every is above 0")
    write(os.path.join(chosen.out, "dev"), tuning_set(Corpus(chosen.data)), chosen.every)
    write(os.path.join(chosen.out, "train"), training_set(Corpus(chosen.data)), chosen.every)
