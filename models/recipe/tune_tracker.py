# SPDX-License-Identifier: MIT
"""Tunes the tracker's numbers on conversations of the dev split: tune_tracker.py CACHED_TRACKER MODEL FOLDER... OUT.json
        [--start KEYS.json] [--seconds 400] [--only KEY ...] [--half 0 or 1]

MODEL has the tracker's tensors. The FOLDERs hold NAME.steps and NAME.rttm, and in copies/ the NAME.steps of a copy of each
recording, at another rate and rounded anew. OUT.json receives {"tracker": {…}} for stamp.py: the
numbers found, and the scores' calibration on the same conversations.

What is minimised: the error of labels as first told (latency 1 s) plus a quarter of that as corrected, both of recordings and
copies; plus COUNT for each speaker too many or too few beyond one; plus RETURN times the share of those who come back after
two minutes and are told otherwise than before; plus UNLIKE times the share of turns that a recording and its copy do not have
in common; averaged over the styles in the folders by the square root of their seconds of speech: a style of a few turns is not
to be learned by heart. It is a sum over the conversations.

A random walk: one to three numbers change, a quarter of the conversations is tracked, and the next quarter only while what is
tracked did not get worse. A change is kept when it pays for both halves of the dev speakers (conversations.py: even and odd
numbers; strangers are in both), and by MARGIN standard errors of its sum over the conversations: decisions hang by a hair here and there, so that
the cost jumps with every number, and of many changes some always pay for some conversations. --half tunes on one half alone and says what
the other makes of it: how far what is gained holds for others."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np
from scipy.optimize import linear_sum_assignment

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import stamp  # noqa: E402

# least, most, step (a factor when the number is a scale, whole numbers rounded)
SCALES = {
    "evidence_scale": (0.005, 0.3),
    "decision_factor": (0.3, 5.0),
    "change_rate": (0.002, 0.2),
    "pause_change_rate": (0.005, 0.5),
    "change_odds": (2.0, 20.0),
    "voice_limit_steps": (100.0, 20000.0),
}
AMOUNTS = {
    "speech_clip": (1.0, 10.0, 1.0),
    "speech_threshold": (-2.0, 2.0, 0.2),
    "speech_hold": (-2.5, 1.7, 0.2),
    "overlap_threshold": (-2.5, 2.5, 0.3),
    "overlap_hold": (-3.0, 2.2, 0.3),
    "overlap_voice": (0.0, 1.0, 0.1),
    "newcomer_cost": (-5.0, 8.0, 0.6),
    "recognition_evidence": (-10.0, 20.0, 1.0),
    "recognition_hold": (2.0, 10.0, 1.0),
    "merge_cost": (-5.0, 40.0, 2.0),
    "same_label": (0.0, 20.0, 1.0),
    "other_label": (0.0, 30.0, 2.0),
    "adjacency": (0.0, 30.0, 2.0),
    "learning_confidence": (0.0, 0.9, 0.15),
}
WHOLE = {
    "speech_reach_steps": (1, 15, 2),
    "overlap_reach_steps": (0, 15, 2),
    "embedding_delay_steps": (0, 12, 2),
    "lookahead_steps": (3, 24, 3),
    "steady_steps": (4, 12, 2),
    "birth_steps": (8, 50, 4),
    "chunk_steps": (15, 80, 8),
    "chunk_least_steps": (4, 30, 4),
    "group_least_steps": (5, 60, 5),
    "pause_steps": (2, 30, 3),
    "chunk_gap_steps": (2, 30, 3),
}
COUNT = 0.03  # what a speaker too many or too few costs, as an error rate
RETURN = 0.1  # what it costs when all who return are told otherwise
RETURN_SECONDS = 120.0  # after how long an absence one returns
UNLIKE = 1.0  # what a turn costs that only a recording or only its copy has, as a share of both's true turns
MARGIN = 1.0  # a change is kept when it pays by so many standard errors
PARTS = 4  # of the conversations; the even ones are of one half of the speakers
SAME_SECONDS = 0.0801  # how far apart the ends of a turn may be that both have
HOLD_MARGIN = 0.3  # what runs is held by so much less, at least, than what begins it: logits
# where the walk starts with numbers that a model lacks
ABSENT = {
    "overlap_threshold": 0.0,
    "overlap_hold": 0.0,
    "overlap_voice": 0.1,
    "overlap_reach_steps": 5,
    "recognition_evidence": 2.0,
    "voice_limit_steps": 20000.0,
    "recognition_hold": 2.0,
    "steady_steps": 4,
}
CALIBRATION = {"score_offset": 0.0, "score_posterior": 0.0, "score_age": 0.0, "score_new": 0.0}


class Tracker:
    def __init__(self, program, model, folders):
        self.program, (self.metadata, self.tensors) = program, stamp.read(model)
        self.work = tempfile.TemporaryDirectory()
        names = sorted((style_of(f), f) for f in self._names(folders))
        styles = [style for style, _ in names]
        self.parts, self.true = [os.path.join(self.work.name, str(part)) for part in range(PARTS)], {}
        for folder in self.parts:
            os.makedirs(os.path.join(folder, "copies"))
        for number, (style, at) in enumerate(names):
            folder, name = self.parts[(number - styles.index(style)) % PARTS], os.path.basename(at)
            for within in ("", "copies"):
                source, to = os.path.join(os.path.dirname(at), within, name), os.path.join(folder, within, name)
                if os.path.exists(source + ".steps"):
                    os.symlink(source + ".steps", to + ".steps")
                    os.symlink(at + ".rttm", to + ".rttm")
            self.true[name] = read_rttm(at + ".rttm")

    @staticmethod
    def _names(folders):
        for folder in folders:
            for name in os.listdir(folder):
                if name.endswith(".steps"):
                    yield os.path.join(os.path.abspath(folder), name[: -len(".steps")])

    def run(self, keys, folder, *options):
        path = os.path.join(self.work.name, "model.safetensors")
        metadata = {**self.metadata, **{"tracker." + k: json.dumps(v) for k, v in keys.items()}}
        stamp.write(path, metadata, self.tensors)
        told = subprocess.run(
            [self.program, "track", path, "1.0", folder, *options], check=True, capture_output=True, text=True
        )
        return [line.split() for line in told.stdout.splitlines()]

    def errors(self, keys, part):
        """{file: of recording and copy together seconds wrong as first told, corrected, of reference; speakers beyond one; turns
        unlike, true; returns wrong, true; how many these are}"""
        out, told = {}, {}
        for copy, folder in enumerate((self.parts[part], os.path.join(self.parts[part], "copies"))):
            rows = self.run(keys, folder, "--turns")
            turns_of = turns_by_file(rows)
            for _, name, *values in (row for row in rows if row[0] == "file"):
                values, turns = np.array(values, float), turns_of.get(name, [])
                beyond, returns = max(0, abs(values[8] - values[9]) - 1), wrong_returns(self.true[name], turns)
                unlike = unlike_turns(told[name], turns) if copy else 0
                told[name] = turns
                here = [values[:3].sum(), values[4:7].sum(), values[3], beyond, unlike, len(self.true[name]), *returns, 1]
                out[name] = out.get(name, 0) + np.array(here)
        return out


def style_of(path):
    return re.sub(r"\d+$", "", os.path.basename(path))


def read_rttm(path):
    with open(path) as file:
        return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in (line.split() for line in file)]


def turns_by_file(rows):
    """{file: [(start, end, speaker)]}"""
    out = {}
    for row in rows:
        of = out.setdefault(row[1], [])
        if row[0] == "turn":
            of.append((float(row[2]), float(row[3]), row[4]))
    return out


def shared_seconds(turns, others):
    """speakers and others' speakers, and how long each of these and each of those speak at once"""
    names, labels = (sorted({s for _, _, s in x}) for x in (turns, others))
    frames = int(25 * max([end for _, end, _ in turns + others] or [0])) + 2
    active = [np.zeros((frames, len(x)), np.float32) for x in (names, labels)]
    for x, of, who in zip(active, (turns, others), (names, labels)):
        for start, end, speaker in of:
            x[round(25 * start) : round(25 * end), who.index(speaker)] = 1
    return names, labels, active[0].T @ active[1] / 25


def unlike_turns(turns, others):
    """how many turns of either the other does not have, its speakers mapped so that most is the same"""
    names, labels, shared = shared_seconds(turns, others)
    mapped = {labels[b]: names[a] for a, b in zip(*linear_sum_assignment(-shared)) if shared[a, b] > 0}
    left = list(turns)
    for start, end, speaker in others:
        for turn in left:
            if turn[2] == mapped.get(speaker) and max(abs(turn[0] - start), abs(turn[1] - end)) < SAME_SECONDS:
                left.remove(turn)
                break
    return 2 * len(left) + len(others) - len(turns)


def wrong_returns(true, told):
    """how many who come back are not told under the label that was theirs before, and how many come back"""
    last, count, wrong = {}, 0, 0
    for start, end, speaker in sorted(true):
        if start - last.get(speaker, start) > RETURN_SECONDS:
            before = [[(a, min(b, start), s) for a, b, s in of if a < start] for of in (true, told)]
            names, labels, shared = shared_seconds(*before)
            mapped = {names[a]: labels[b] for a, b in zip(*linear_sum_assignment(-shared)) if shared[a, b] > 0}
            here = {}
            for a, b, label in told:
                here[label] = here.get(label, 0) + max(0, min(b, end) - max(a, start))
            count += 1
            wrong += not any(here.values()) or max(here, key=here.get) != mapped.get(speaker)
        last[speaker] = max(end, last.get(speaker, end))
    return wrong, count


def summary(found):
    """{style: (error first told, corrected, speakers wrong beyond one a file, share of turns that copies have otherwise, of returns
    told wrong, its weight)} of {file: as Tracker.errors says}"""
    out = {}
    for style in sorted({style_of(name) for name in found}):
        x = sum(values for name, values in found.items() if style_of(name) == style)
        out[style] = (x[0] / x[2], x[1] / x[2], x[3] / x[8], x[4] / x[5], x[6] / max(1, x[7]), np.sqrt(x[2]))
    return out


def costs(found, of):
    """{file: its part of the cost}, when all the conversations are these, of"""
    sums, weights = {}, {}
    for name, values in of.items():
        sums[style_of(name)] = sums.get(style_of(name), 0) + values
    weights = {style: np.sqrt(x[2]) for style, x in sums.items()}
    out = {}
    for name, x in found.items():
        all_of = sums[style_of(name)]
        cost = (x[0] + x[1] / 4) / all_of[2] + COUNT * x[3] / all_of[8] + UNLIKE * x[4] / all_of[5] + RETURN * x[6] / max(1, all_of[7])
        out[name] = cost * weights[style_of(name)] / sum(weights.values())
    return out


def in_words(found):
    """the cost, and a style's error first told (corrected); speakers wrong beyond one a file, turns unlike and returns wrong of all"""
    of, x = summary(found).items(), sum(found.values())
    return [f"{sum(costs(found, found).values()):.4f}"] + [f"{style} {100 * a:.1f} ({100 * b:.1f})" for style, (a, b, *_) in of] + [
        f"beyond one {x[3] / x[8]:.2f}, unlike {100 * x[4] / x[5]:.1f}%, returns {100 * x[6] / max(1, x[7]):.1f}% of {x[7]:.0f}"
    ]


def change(keys, allowed, rng):
    keys = dict(keys)
    for name in rng.choice(allowed, rng.choice([1, 1, 2, 3]), replace=False):
        if name in SCALES:
            low, high = SCALES[name]
            keys[name] = float(np.clip(keys[name] * np.exp(rng.normal(0, 0.35)), low, high))
        elif name in AMOUNTS:
            low, high, step = AMOUNTS[name]
            keys[name] = float(np.clip(keys[name] + rng.normal(0, step), low, high))
        else:
            low, high, step = WHOLE[name]
            moved = int(round(rng.normal(0, step))) or int(rng.choice([-1, 1]))
            keys[name] = int(np.clip(keys[name] + moved, low, high))
    return bounded(keys)


def bounded(keys):
    """the keys within their least and most, and what holds below what begins"""
    keys = dict(keys)
    for name, (low, high, *_) in {**SCALES, **AMOUNTS, **WHOLE}.items():
        keys[name] = type(keys[name])(min(max(keys[name], low), high))
    for what in ("speech", "overlap"):
        keys[what + "_hold"] = min(keys[what + "_hold"], keys[what + "_threshold"] - HOLD_MARGIN)
    return {k: round(v, 5) if isinstance(v, float) else v for k, v in keys.items()}


def together(found):
    return {name: values for part in found.values() for name, values in part.items()}


def search(tracker, keys, allowed, seconds, rng, parts=range(PARTS)):
    keys = bounded(keys)
    best = {part: tracker.errors(keys, part) for part in parts}
    print("start", *in_words(together(best)), sep="  ", flush=True)
    end, tried = time.time() + seconds, 0
    while time.time() < end:
        other, found, gain, tried = change(keys, allowed, rng), {}, {}, tried + 1
        before = costs(together(best), together(best))
        for part in rng.permutation(parts):
            found[part] = tracker.errors(other, part)
            gain.update({name: before[name] - cost for name, cost in costs(found[part], together(best)).items()})
            if sum(gain.values()) <= 0:
                break
        else:
            halves = [sum(gain[name] for part in parts if part % 2 == half for name in found[part]) for half in (0, 1)]
            if min(halves) >= 0 and sum(halves) > MARGIN * np.sqrt(sum(x**2 for x in gain.values())):
                moved = {k: v for k, v in other.items() if keys[k] != v}
                keys, best = other, found
                print(tried, moved, *in_words(together(best)), sep="  ", flush=True)
    return keys, together(best)


def turns_told(tracker, keys, score):
    """{(file, start, end, speaker): score} with the scores' numbers as given"""
    rows = sum((tracker.run({**keys, **CALIBRATION, **score}, folder, "--turns") for folder in tracker.parts), [])
    return {tuple(row[1:5]): float(row[5]) for row in rows if row[0] == "turn"}


def right_share(turns, folders):
    """how much of each turn is told right, speakers mapped so that most is"""
    out, by_file = {}, {}
    for turn in turns:
        by_file.setdefault(turn[0], []).append(turn)
    for name, of in by_file.items():
        path = next(p for p in (os.path.join(folder, name + ".rttm") for folder in folders) if os.path.exists(p))
        true = read_rttm(path)
        told = [(float(a), float(b), s) for _, a, b, s in of]
        frames = int(100 * max(t[1] for t in true + told)) + 2
        names, labels = (sorted({s for _, _, s in x}) for x in (true, told))
        a, b = np.zeros((frames, len(names)), np.float32), np.zeros((frames, len(labels)), np.float32)
        for x, turns_of, who in ((a, true, names), (b, told, labels)):
            for start, end, speaker in turns_of:
                x[int(100 * start) : int(100 * end), who.index(speaker)] = 1
        mapped = dict(zip(*linear_sum_assignment(-(b.T @ a))))
        for turn, (start, end, speaker) in zip(of, told):
            at = mapped.get(labels.index(speaker))
            here = a[int(100 * start) : max(int(100 * end), int(100 * start) + 1)]
            out[turn] = 0.0 if at is None else float(here[:, at].mean())
    return out


def calibrate(tracker, keys, folders):
    """A logistic regression of whether a turn is right, weighted by its length, on its mean log odds, age and newness."""

    def logit(p):
        return np.log(np.clip(p, 1e-4, 1 - 1e-4) / (1 - np.clip(p, 1e-4, 1 - 1e-4)))

    odds = turns_told(tracker, keys, {"score_posterior": 1.0})
    age = turns_told(tracker, keys, {"score_age": 1.0})
    new = turns_told(tracker, keys, {"score_new": -50.0})
    right = right_share(list(odds), folders)
    turns = list(odds)
    x = np.array([[1, logit(odds[t]), logit(age[t]), 1 - 2 * new[t]] for t in turns])
    y, weight = np.array([right[t] for t in turns]), np.array([float(t[2]) - float(t[1]) for t in turns])
    w = np.zeros(4)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        curvature = x.T @ (x * (weight * p * (1 - p))[:, None]) + np.diag([0, 1, 1, 1])
        w += np.linalg.solve(curvature, x.T @ (weight * (y - p)) - np.array([0, 1, 1, 1]) * w)
    return {k: round(float(v), 4) for k, v in zip(CALIBRATION, w)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("out")
    parser.add_argument("--start")
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--half", type=int, choices=(0, 1))
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    tracker = Tracker(chosen.program, chosen.model, chosen.folders)
    if chosen.start:
        with open(chosen.start) as file:
            keys = json.load(file)["tracker"]
    else:
        keys = {k[8:]: json.loads(v) for k, v in tracker.metadata.items() if k.startswith("tracker.")}
    keys.setdefault("speech_hold", keys["speech_threshold"])
    keys = {**ABSENT, **keys}
    allowed = chosen.only or [*SCALES, *AMOUNTS, *WHOLE]
    parts = [part for part in range(PARTS) if chosen.half is None or part % 2 == chosen.half]
    keys, best = search(tracker, keys, allowed, chosen.seconds, np.random.default_rng(chosen.seed), parts)
    if chosen.half is not None:
        print("the other half", *in_words(together({part: tracker.errors(keys, part) for part in range(PARTS) if part not in parts})), sep="  ")
    keys.update(calibrate(tracker, keys, chosen.folders))
    with open(chosen.out, "w") as file:
        json.dump({"tracker": keys}, file, indent=2)
        file.write("\n")
    print(*in_words(best), sep="  ")
