# SPDX-License-Identifier: MIT
"""Closed-set identification: one utterance of each speaker is held out (identification.tsv), all others make the
speaker's voice; the held-out utterance is the voice's whose cosine is greatest."""
import os

import numpy as np

from bootstrap import ratio, show, table
from tables import read_table

LONGEST = 15.0  # seconds of a speaker's utterances that make its voice
SHORTEST = 0.4  # an utterance below is hardly more than the skipped start


def report(program, data):
    held = read_table(os.path.join(os.path.dirname(os.path.abspath(__file__)), "identification.tsv"), "path", "utterance", "start", "dur", "set")
    missing = [row["path"] for row in held if not os.path.exists(os.path.join(data, row["path"]))]
    if missing:
        print(f"\nidentification: left out: {data} lacks {len(missing)} recordings of identification.tsv (choose_identification.py writes another)")
        return
    others = {row["path"]: [] for row in held}
    names = {(row["path"], row["utterance"]) for row in held}
    for row in read_table(os.path.join(data, "segments.tsv"), "path", "utterance", "start", "dur"):
        if row["path"] in others and (row["path"], row["utterance"]) not in names:
            if float(row["dur"]) >= SHORTEST and sum(float(d) for _, _, d in others[row["path"]]) < LONGEST:
                others[row["path"]].append((os.path.join(data, row["path"]), row["start"], row["dur"]))
    tests = [(os.path.join(data, row["path"]), row["start"], row["dur"]) for row in held]
    embedding = program.embed(tests + [s for of in others.values() for s in of])
    # an utterance counts as much as it lasts
    voices = np.array([sum(embedding[s] * float(s[2]) for s in others[row["path"]]) for row in held])
    voices /= np.linalg.norm(voices, axis=1, keepdims=True)
    x, running = np.array([embedding[s] for s in tests]), np.array([row["set"] == "running" for row in held])
    rows = []
    for title, of in (("running speech", running), ("all", np.ones(len(held), bool))):
        score = x[of] @ voices[of].T
        rank = (score > np.diag(score)[:, None]).sum(1)
        rows.append([title, of.sum(), show(ratio(rank < 1, np.ones(len(rank)))), show(ratio(rank < 5, np.ones(len(rank))))])
    table("Closed-set identification, %, one utterance each held out", ["speakers", "number", "top 1", "top 5"], rows)
