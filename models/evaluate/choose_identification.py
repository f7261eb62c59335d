# SPDX-License-Identifier: MIT
"""Chooses the utterances held out for closed-set identification: choose_identification.py DATA > identification.tsv

Train speakers with at least three utterances, one utterance each, drawn by a fixed seed (the longest where the drawn
one lasts less than half a second). Set `running`: who says
sentences and commands (speechocean, vctk, librispeech, arabicsc). Set `words`: of those who say single words, the
ones with most speech, so that both sets together are 600. Corpora that train no shipped weights are left out."""
import os
import sys

import numpy as np

from tables import read_table

RUNNING, WORDS, ALL = ("speechocean", "vctk", "librispeech", "arabicsc"), ("spcommands",), 600


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    data = sys.argv[1]
    utterances = {}
    for row in read_table(os.path.join(data, "segments.tsv"), "path", "utterance", "start", "dur"):
        utterances.setdefault(row["path"], []).append(row)
    speakers = [r for r in read_table(os.path.join(data, "manifest.tsv"), "path", "corpus", "speech", "split") if r["split"] == "train" and len(utterances[r["path"]]) >= 3]
    running = [r for r in speakers if r["corpus"] in RUNNING]
    words = sorted((r for r in speakers if r["corpus"] in WORDS), key=lambda r: (-float(r["speech"]), r["path"]))
    print("path\tutterance\tstart\tdur\tset")
    rng = np.random.default_rng(2006)
    for name, chosen in (("running", running), ("words", words[: ALL - len(running)])):
        for speaker in chosen:
            of = utterances[speaker["path"]]
            held = of[rng.integers(len(of))]
            if float(held["dur"]) < 0.5:
                held = max(of, key=lambda u: float(u["dur"]))
            print(speaker["path"], held["utterance"], held["start"], held["dur"], name, sep="\t")
