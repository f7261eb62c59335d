# SPDX-License-Identifier: MIT
"""Tunes the tracker's numbers on conversations of the dev split: tune_tracker.py CACHED_TRACKER MODEL FOLDER... OUT.json
        [--start KEYS.json] [--seconds 400] [--only KEY ...]

MODEL has the tracker's tensors. The FOLDERs hold NAME.steps and NAME.rttm, and in copies/ the NAME.steps of a copy of each
recording, at another rate and rounded anew. OUT.json receives {"tracker": {…}} for stamp.py: the
numbers found, and the scores' calibration on the same conversations.

A random walk that keeps what helps: one to three numbers change, a third of the conversations is tracked, and the others
only when that third did not get worse. What is minimised is the error of labels as first told (latency 1 s) plus a
quarter of that as corrected, plus COUNT for each speaker too many or too few beyond one, plus UNLIKE times the share of
turns that a recording and its copy do not have in common, averaged over the styles in the folders by the square root of their
seconds of speech: a style of a few turns is not to be learned by heart. Without copies/ nothing is said against numbers that
leave decisions to the last bit, and among those that fit a few conversations best there are many."""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

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
UNLIKE = 1.0  # what a turn costs that only a recording or only its copy has, as a share of both's turns
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
        # a third of each style in each part
        names = sorted((re.sub(r"\d+$", "", os.path.basename(f)), f) for f in self._names(folders))
        self.parts, self.copies = [], []
        for part in range(3):
            folder = os.path.join(self.work.name, str(part))
            copies = os.path.join(folder, "copies")
            os.makedirs(copies)
            for _, at in names[part::3]:
                name, copy = os.path.basename(at), os.path.join(os.path.dirname(at), "copies", os.path.basename(at))
                for ending in (".steps", ".rttm"):
                    os.symlink(at + ending, os.path.join(folder, name + ending))
                if os.path.exists(copy + ".steps"):
                    os.symlink(copy + ".steps", os.path.join(copies, name + ".steps"))
                    os.symlink(at + ".rttm", os.path.join(copies, name + ".rttm"))
            self.parts.append(folder)
            self.copies.append(copies)

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
        """[(style, [missed, false, confusion, reference] first told, corrected, [found, true] speakers, [unlike, all] turns)]"""
        rows, out = self.run(keys, self.parts[part], "--turns"), []
        told, copied = turns_by_file(rows), turns_by_file(self.run(keys, self.copies[part], "--turns"))
        for row in rows:
            if row[0] == "file":
                turns, copy = told.get(row[1], []), copied.get(row[1], [])
                unlike = unlike_turns(turns, copy) if row[1] in copied else 0
                values = np.array([float(v) for v in row[2:12]] + [unlike, len(turns) + len(copy)])
                out.append((re.sub(r"\d+$", "", row[1]), values))
        return out


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
    from scipy.optimize import linear_sum_assignment

    names, labels, shared = shared_seconds(turns, others)
    mapped = {labels[b]: names[a] for a, b in zip(*linear_sum_assignment(-shared)) if shared[a, b] > 0}
    left = list(turns)
    for start, end, speaker in others:
        for turn in left:
            if turn[2] == mapped.get(speaker) and max(abs(turn[0] - start), abs(turn[1] - end)) < SAME_SECONDS:
                left.remove(turn)
                break
    return 2 * len(left) + len(others) - len(turns)


def summary(found):
    """{style: (error first told, corrected, speakers wrong beyond one a file, share of files within one, share of turns that
    copies have otherwise, its weight)}"""
    out = {}
    for style in sorted({style for style, _ in found}):
        files = np.array([values for of, values in found if of == style])
        x, beyond = files.sum(0), np.maximum(0, abs(files[:, 8] - files[:, 9]) - 1)
        unlike = x[10] / max(1, x[11])
        out[style] = (x[:3].sum() / x[3], x[4:7].sum() / x[7], beyond.mean(), (beyond == 0).mean(), unlike, np.sqrt(x[3]))
    return out


def cost(found):
    styles = summary(found).values()
    costs = [first + corrected / 4 + COUNT * beyond + UNLIKE * unlike for first, corrected, beyond, _, unlike, _ in styles]
    return float(np.average(costs, weights=[weight for *_, weight in styles]))


def in_words(found):
    """a style's error first told (corrected), how many of its files have the right number of speakers within one, and last of
    all how many recordings tell the same turns as their copies"""
    of = summary(found).items()
    same = sum(values[10] == 0 for _, values in found)
    return [f"{style} {100 * a:.1f} ({100 * b:.1f}) {100 * near:.0f}%" for style, (a, b, _, near, *_) in of] + [
        f"same {same}/{len(found)}"
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


def search(tracker, keys, allowed, seconds, rng):
    keys = bounded(keys)
    best = [tracker.errors(keys, part) for part in range(3)]
    print(f"start {cost(sum(best, [])):.4f}", *in_words(sum(best, [])), sep="  ", flush=True)
    end, tried = time.time() + seconds, 0
    while time.time() < end:
        other, first = change(keys, allowed, rng), int(rng.integers(3))
        tried += 1
        found = list(best)
        found[first] = tracker.errors(other, first)
        if cost(found[first]) > cost(best[first]):
            continue
        for part in range(3):
            if part != first:
                found[part] = tracker.errors(other, part)
        if cost(sum(found, [])) < cost(sum(best, [])):
            moved = {k: v for k, v in other.items() if keys[k] != v}
            keys, best = other, found
            print(f"{tried} {cost(sum(best, [])):.4f}", moved, *in_words(sum(best, [])), sep="  ", flush=True)
    return keys, best


def turns_told(tracker, keys, score):
    """{(file, start, end, speaker): score} with the scores' numbers as given"""
    rows = sum((tracker.run({**keys, **CALIBRATION, **score}, folder, "--turns") for folder in tracker.parts), [])
    return {tuple(row[1:5]): float(row[5]) for row in rows if row[0] == "turn"}


def right_share(turns, folders):
    """how much of each turn is told right, speakers mapped so that most is"""
    from scipy.optimize import linear_sum_assignment

    out, by_file = {}, {}
    for turn in turns:
        by_file.setdefault(turn[0], []).append(turn)
    for name, of in by_file.items():
        path = next(p for p in (os.path.join(folder, name + ".rttm") for folder in folders) if os.path.exists(p))
        with open(path) as file:
            true = [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in (line.split() for line in file)]
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
    keys, best = search(tracker, keys, allowed, chosen.seconds, np.random.default_rng(chosen.seed))
    keys.update(calibrate(tracker, keys, chosen.folders))
    with open(chosen.out, "w") as file:
        json.dump({"tracker": keys}, file, indent=2)
        file.write("\n")
    print(f"{cost(sum(best, [])):.4f}", *in_words(sum(best, [])), sep="  ")
