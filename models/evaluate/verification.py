# SPDX-License-Identifier: MIT
"""Equal error rate on lists of pairs: the cosine of two segments' embeddings against whether one speaker says both."""
import os

import numpy as np

from bootstrap import draws, interval, show, table
from tables import read_table

COLUMNS = ("label", "path1", "start1", "dur1", "path2", "start2", "dur2", "cond", "corpus")
CONDITIONS = (("3 s", "3s", 3.0), ("up to 10 s", "long", 10.0), ("1 s", "3s", 1.0))


def equal_error_rate(score, same, weight=None):
    """where misses and false alarms are equal, between the two nearest thresholds"""
    order = np.argsort(-score, kind="stable")
    weight = np.ones(len(score)) if weight is None else weight
    same, weight = same[order], weight[order]
    hit = np.concatenate([[0], np.cumsum(weight * same)])
    false = np.concatenate([[0], np.cumsum(weight * ~same)])
    if not hit[-1] or not false[-1]:
        return np.nan
    missed, false = 1 - hit / hit[-1], false / false[-1]
    at = int(np.argmax(false >= missed))
    gap, before = false[at] - missed[at], missed[at - 1] - false[at - 1]
    part = before / (before + gap) if before + gap > 0 else 0
    return missed[at - 1] + part * (missed[at] - missed[at - 1])


def with_interval(score, same, first, second):
    """drawn over speakers: a pair counts as often as its speakers were drawn, the product when they are two"""
    names, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = index[: len(first)], index[len(first) :]
    values = []
    for count in draws(len(names)):
        weight = np.where(first == second, count[first], count[first] * count[second]).astype(float)
        values.append(equal_error_rate(score, same, weight))
    return equal_error_rate(score, same), *interval(values)


def read_trials(data, name):
    return read_table(os.path.join(data, name), *COLUMNS)


def scored(program, data, trials, seconds):
    def segment(row, side):
        return os.path.join(data, row["path" + side]), row["start" + side], min(float(row["dur" + side]), seconds)

    pairs = [(segment(row, "1"), segment(row, "2")) for row in trials]
    embedding = program.embed([s for pair in pairs for s in pair])
    return np.array([embedding[a] @ embedding[b] for a, b in pairs])


def report(program, data, splits=("test", "dev")):
    for split in splits:
        if not os.path.exists(os.path.join(data, f"trials_{split}.tsv")):
            print(f"\nverification: left out: {data} holds no trials_{split}.tsv")
            continue
        trials, rows = read_trials(data, f"trials_{split}.tsv"), []
        corpora = sorted({row["corpus"] for row in trials})
        for title, condition, seconds in CONDITIONS:
            chosen = [row for row in trials if row["cond"] == condition]
            score = scored(program, data, chosen, seconds)
            same, corpus, first, second = (np.array([row[k] for row in chosen]) for k in ("label", "corpus", "path1", "path2"))
            same, cells = same == "1", []
            for name in ["", *corpora]:
                of = (corpus == name) if name else np.ones(len(chosen), bool)
                cells.append(show(with_interval(score[of], same[of], first[of], second[of])) if len(set(same[of])) == 2 else "–")
            rows.append([title, f"{same.sum()} / {(~same).sum()}", *cells])
        table(f"Equal error rate, %, trials_{split}", ["speech", "same / different", "pooled", *corpora], rows)
