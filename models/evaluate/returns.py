# SPDX-License-Identifier: MIT
"""Who comes back after five minutes of other speakers: is it the right label again?

A recording is made of test speakers of one corpus in two groups: the first group talks for half a minute, the second
for five minutes, then the first is back for five minutes and the second for half a minute. The first turn of each
speaker after the other group's five minutes is a return. Its utterances were not heard before; in the rest of the
time utterances may come again. A return is right when most of what was told for it bears the label that was mapped
to the speaker, one to one, by what was told before the absence."""
import os
import tempfile

import numpy as np
import soundfile
from scipy.optimize import linear_sum_assignment

from bootstrap import ratio, show, table
from program import activity
from tables import read_table

RATE, ABSENCE, SHORT, TURN = 16000, 300.0, 36.0, 4.0
CORPORA = ("librispeech", "speechocean", "asterisk", "arabicsc")
LEAST = 10.0  # seconds of speech that a speaker must have


class Speaker:
    def __init__(self, data, path, utterances, rng):
        self.name, samples = path, soundfile.read(os.path.join(data, path), dtype="float32")[0]
        # pieces of at most a turn's length
        pieces = []
        for start, duration in utterances:
            for part in np.array_split(samples[int(start * RATE) : int((start + duration) * RATE)], max(1, round(duration / TURN))):
                pieces.append(part)
        order = rng.permutation(len(pieces))
        self.pieces, kept = [pieces[i] for i in order], 0
        self.fresh = []  # for the return
        while kept < TURN * RATE and len(self.pieces) > 1:
            self.fresh.append(self.pieces.pop())
            kept += len(self.fresh[-1])
        self.next = 0

    def turn(self):
        out, length = [], 0
        while length < 0.8 * TURN * RATE:
            out.append(self.pieces[self.next % len(self.pieces)])
            self.next += 1
            length += len(out[-1])
        return out


def speakers(data):
    utterances, out = {}, {corpus: [] for corpus in CORPORA}
    for row in read_table(os.path.join(data, "segments.tsv"), "path", "start", "dur"):
        utterances.setdefault(row["path"], []).append((float(row["start"]), float(row["dur"])))
    for row in read_table(os.path.join(data, "manifest.tsv"), "path", "corpus", "speech", "split"):
        if row["split"] == "test" and row["corpus"] in out and float(row["speech"]) >= LEAST:
            out[row["corpus"]].append((row["path"], utterances[row["path"]]))
    return out


def recording(data, cast, rng):
    """samples, turns [(start, end, speaker)], returns [(start, end, speaker, begin of the absence)]"""
    people = [Speaker(data, path, utterances, rng) for path, utterances in cast]
    groups, samples, turns, returns, at = (people[:3], people[3:]), [np.zeros(RATE // 2, np.float32)], [], [], 0.5
    left_at = {}
    for block, (group, seconds) in enumerate(((0, SHORT), (1, ABSENCE), (0, ABSENCE), (1, SHORT))):
        end, order, who = at + seconds, rng.permutation(3), 0
        while at < end or who < 3:
            person = groups[group][order[who % 3] if who < 3 else order[(who + rng.integers(2)) % 3]]
            back = block >= 2 and who < 3
            pieces, start = person.fresh if back else person.turn(), at
            for piece in pieces:
                samples += [piece, np.zeros(int(rng.uniform(0.05, 0.3) * RATE), np.float32)]
                at += (len(samples[-2]) + len(samples[-1])) / RATE
            turns.append((start, at - len(samples[-1]) / RATE, person.name))
            if back:
                returns.append((*turns[-1], left_at[group]))
            pause = rng.uniform(0, 0.8)
            samples.append(np.zeros(int(pause * RATE), np.float32))
            at, who = at + int(pause * RATE) / RATE, who + 1
        left_at[group] = at
    out = np.concatenate(samples)
    return out + (rng.standard_normal(len(out)) * 10 ** (-rng.uniform(55, 75) / 20)).astype(np.float32), turns, returns


def judge(turns, returns, told):
    """[whether right] a return"""
    frames = round(100 * max(t[1] for t in [*turns, *told])) + 1
    true, labels = (sorted({s for _, _, s in t}) for t in (turns, told))
    a, b = activity(turns, frames, true), activity(told, frames, labels)
    out = []
    for start, end, speaker, left in returns:
        before = slice(0, round(100 * left))
        rows, columns = linear_sum_assignment(-(a[before].T.astype(float) @ b[before]))
        expected = dict(zip(rows, columns)).get(true.index(speaker))
        heard = b[round(100 * start) : round(100 * end)].sum(0)
        was_told = expected is not None and b[before, expected].any()
        out.append(bool(was_told and heard.any() and heard.argmax() == expected))
    return out


def report(program, data, recordings=36, latency=1.0):
    rng, pool = np.random.default_rng(300), speakers(data)
    few = [corpus for corpus in CORPORA if len(pool[corpus]) < 6]
    if few:
        print(f"\nreturns: left out: the test split of {data} has fewer than 6 speakers with {LEAST:.0f} s of {', '.join(few)}")
        return
    right = {corpus: [] for corpus in CORPORA}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(recordings):
            corpus = CORPORA[k % 6 % 4] if k % 6 < 4 else CORPORA[k % 2]
            chosen = rng.choice(len(pool[corpus]), 6, replace=False)
            samples, turns, returns = recording(data, [pool[corpus][i] for i in chosen], rng)
            path = os.path.join(folder, "returns.wav")
            soundfile.write(path, np.clip(samples, -1, 1), RATE, subtype="PCM_16")
            first, corrected, _ = program.track(path, latency)
            right[corpus].append((judge(turns, returns, first), judge(turns, returns, corrected)))
    rows = []
    for title, corpora in (("all", CORPORA), *((corpus, (corpus,)) for corpus in CORPORA)):
        of = [r for corpus in corpora for r in right[corpus]]
        counts = [len(first) for first, _ in of]
        if not of:
            continue
        figures = [show(ratio([sum(r[k]) for r in of], counts)) for k in (0, 1)]
        rows.append([title, len(of), sum(counts), *figures])
    table(
        "The right label again after five minutes of others, %, latency 1 s",
        ["corpus", "recordings", "returns", "as first told", "as corrected"],
        rows,
    )
