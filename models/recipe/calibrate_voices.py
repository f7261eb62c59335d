# SPDX-License-Identifier: MIT
"""The probability that two voices are one, from their cosine: calibrate_voices.py RILL MODEL DATA OUT.json

A logistic regression on the pairs of DATA/trials_dev.tsv, same and different pairs with equal weight."""
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "evaluate"))
from program import Program  # noqa: E402
from verification import read_trials, scored  # noqa: E402


def fit(cosine, same):
    x = np.stack([np.ones(len(cosine)), cosine], 1)
    weight = np.where(same, 0.5 / same.sum(), 0.5 / (~same).sum()) * len(same)
    w = np.zeros(2)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ w))
        curvature = x.T @ (x * (weight * p * (1 - p))[:, None]) + 1e-3 * np.eye(2)
        w += np.linalg.solve(curvature, x.T @ (weight * (same - p)) - 1e-3 * w)
    return w


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    rill, model, data, out = sys.argv[1:]
    trials = read_trials(data, "trials_dev.tsv")
    cosine = scored(Program(rill, model), data, trials, 10.0)
    offset, slope = fit(cosine, np.array([row["label"] == "1" for row in trials]))
    with open(out, "w") as file:
        json.dump({"tracker": {"voice_offset": round(float(offset), 3), "voice_cosine": round(float(slope), 3)}}, file)
    print(offset, slope)
