# SPDX-License-Identifier: MIT
"""Makes the tracker's tensors for a model: tracker_backend.py CONVERSATIONS OUT.npz OUT.json

CONVERSATIONS is a folder of conversations of the train split (conversations.py) with their steps beside them,
NAME.steps and NAME.rttm (cached_tracker encode). Needs numpy, scipy.

The conversations are encoded as they would be heard, context and all. Steps at least
0.3 s into a turn of one speaker alone give
  W   scatter of steps around their speaker's mean,
  B   scatter of speakers around their conversation's mean (noise of the means taken off),
  C   scatter of the conversations' means: rooms, noises, microphones.
The projection makes W + RIDGE and B diagonal, takes the directions in which B is largest, and scales each so that W's diagonal
is ones. RIDGE is there because the network knows these speakers by heart: W is small in directions in which it is not for
others, and without it such directions would count most.
OUT.json receives the usual length of a mean of embeddings."""
import json
import sys

import numpy as np
from scipy.linalg import eigh

from cached_steps import folder

DIM = 128  # directions kept at most, of those that tell speakers apart best
RIDGE = 1.0  # added to W's diagonal, as a share of its mean
SPREAD = 1.25  # times B: chosen on dev, where fewer speakers too many are told so


def truth(turns, steps, step_seconds):
    names = sorted({s for _, _, s in turns})
    middle, active = (np.arange(steps) + 0.5) * step_seconds, np.zeros((steps, len(names)), bool)
    for begin, end, name in turns:
        active[(middle >= begin) & (middle < end), names.index(name)] = True
    return active


def moving_mean(x, reach):
    return np.convolve(np.pad(x, reach, mode="edge"), np.ones(2 * reach + 1) / (2 * reach + 1), "valid")


def alone(active, logits):
    """the index of the only speaker of each step, or -1"""
    speech = moving_mean(np.clip(logits, -3, 3), 6) > 0
    return np.where((active.sum(1) == 1) & speech, active.argmax(1), -1)


def seconds_scatter(embeddings, who, chunk=25, skip=10):
    """scatter of means of one second around their speaker's mean, and its degrees of freedom"""
    scatter, freedom, means, a = np.zeros((embeddings.shape[1],) * 2), 0, {}, 0
    while a < len(who):
        b = a
        while b < len(who) and who[b] == who[a]:
            b += 1
        for i in range(a + skip, b - chunk + 1, chunk) if who[a] >= 0 else ():
            means.setdefault(who[a], []).append(embeddings[i : i + chunk].mean(0))
        a = b
    for x in means.values():
        if len(x) >= 4:
            x = np.array(x) - np.mean(x, 0)
            scatter += x.T @ x
            freedom += len(x) - 1
    return scatter, freedom


def scatters(conversations):
    """W, B, C; the conversations' means' mean, and the mean length of a mean"""
    within, steps_count, second, second_count, means, lengths = 0, 0, 0, 0, [], []
    for of in conversations:
        e, logits = of.embeddings, of.speech
        active = truth(of.turns, len(e), of.step_seconds)
        who = alone(active, logits)
        scatter, freedom = seconds_scatter(e, who)
        second += scatter
        second_count += freedom
        settled = np.ones(len(who), bool)
        for back in range(1, 9):
            settled[back:] &= who[back:] == who[:-back]
        settled[:8] = False
        here = []
        for speaker in range(active.shape[1]):
            x = e[settled & (who == speaker)]
            if len(x) < 60:
                continue
            here.append((x.mean(0), 20 / len(x)))
            lengths.append(np.linalg.norm(here[-1][0]))
            x = x[::3] - x.mean(0)
            within += x.T @ x
            steps_count += len(x)
        if len(here) > 1:
            means.append((np.array([m for m, _ in here]), np.array([v for _, v in here])))
    if not steps_count or not second_count or len(means) < 2:
        raise SystemExit("tracker_backend: too little speech of one voice at a time is heard in the conversations: is MODEL trained?")
    within, second = within / steps_count, second / second_count
    centres = np.array([m.mean(0) for m, _ in means])
    scatter, freedom = 0, 0
    for m, _ in means:
        scatter += (m - m.mean(0)).T @ (m - m.mean(0))
        freedom += len(m) - 1
    between = scatter / freedom - second * np.mean(np.concatenate([v for _, v in means]))
    rooms = centres - centres.mean(0)
    rooms = rooms.T @ rooms / (len(rooms) - 1) - between * np.mean([1 / len(m) for m, _ in means])
    return within, between, rooms, centres.mean(0), float(np.mean(lengths))


def backend(conversations):
    within, between, rooms, mean, length = scatters(conversations)
    value, vector = eigh(between, within + RIDGE * np.trace(within) / len(within) * np.eye(len(within)))
    order = [d for d in np.argsort(-value)[:DIM] if value[d] > 1e-3 * value.max()]  # few speakers span few directions
    vector = vector[:, order] / np.sqrt(np.diag(vector[:, order].T @ within @ vector[:, order]))
    keys = {"tracker": {"pooled_length": round(length, 4)}}
    return keys, {
        "tracker.projection": vector.T,
        "tracker.mean": mean,
        "tracker.between": SPREAD * np.diag(vector.T @ between @ vector),
        "tracker.room": np.maximum(np.diag(vector.T @ rooms @ vector), 1e-5),
    }


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    source, out, out_keys = sys.argv[1:]
    keys, tensors = backend(folder(source))
    with open(out_keys, "w") as file:
        json.dump(keys, file)
    np.savez(out, **{name: np.ascontiguousarray(x, np.float32) for name, x in tensors.items()})
    for name, x in tensors.items():
        print(name, x.shape, float(np.abs(x).max()))
