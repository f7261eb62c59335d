# SPDX-License-Identifier: MIT
"""Conversations with reference turns: error rate, speakers counted, speech found, and what the scores are worth."""
import glob
import os

import numpy as np
from scipy.optimize import linear_sum_assignment

from bootstrap import ratio, show, table
from program import activity, read_rttm, speakers_in
from tables import read_table

COLLAR = 0.25
COARSE = ("pyaa1", "falcon")  # turns without pauses: reported apart
LATENCIES = (0.2, 0.5, 1.0, 2.0)


def kinds(folder):
    """{file: kind} as conv.tsv in the folder or two folders up says"""
    for at in (folder, os.path.join(folder, "..", "..")):
        path = os.path.join(at, "conv.tsv")
        if os.path.exists(path):
            return {os.path.splitext(os.path.basename(r["path"]))[0]: r["kind"] for r in read_table(path, "path", "kind")}
    return {}


def conversations(folder):
    """{file: (audio, reference turns, group)}"""
    out, kind = {}, kinds(folder)
    for path in sorted(glob.glob(os.path.join(folder, "*.rttm"))):
        name = os.path.splitext(os.path.basename(path))[0]
        audio = next((a for a in (path[:-4] + "flac", path[:-4] + "wav") if os.path.exists(a)), None)
        turns = read_rttm(path)
        if audio and not turns:  # an error rate is a share of its speech
            print(f"\nconversations: left out: {path} tells no turns")
        elif audio:
            out[name] = audio, turns, "coarse turns" if name in COARSE else kind.get(name, "-")
    return out


def speech_errors(reference, hypothesis):
    """seconds missed, false, scored; ± COLLAR around where speech begins and ends is not scored"""
    frames = round(100 * max(t[1] for t in [*reference, *hypothesis]))
    a, b = (activity(t, frames, sorted({s for _, _, s in t})).any(1) for t in (reference, hypothesis))
    scored, reach = np.ones(frames, bool), round(100 * COLLAR)
    for edge in np.flatnonzero(np.diff(np.concatenate([[0], a.astype(int), [0]]))):
        scored[max(0, edge - reach) : edge + reach] = False
    return np.array([(a & ~b & scored).sum(), (b & ~a & scored).sum(), scored.sum()]) / 100


def judged_turns(reference, hypothesis, events):
    """[(score, seconds, seconds right)] of the turns told, speakers mapped so that most is right"""
    frames = round(100 * max(t[1] for t in [*reference, *hypothesis]))
    true, told = (sorted({s for _, _, s in t}) for t in (reference, hypothesis))
    a = activity(reference, frames, true)
    rows, columns = linear_sum_assignment(-(activity(hypothesis, frames, told).T.astype(float) @ a))
    mapped = {told[r]: c for r, c in zip(rows, columns)}
    out = []
    for event in events:
        if event["event"] == "turn":
            at = slice(round(100 * event["start"]), round(100 * event["end"]))
            right = a[at, mapped[event["speaker"]]].sum() if event["speaker"] in mapped else 0
            out.append((event["score"], len(a[at]) / 100, right / 100))
    return out


def report(program, folder, latencies=LATENCIES, calibration=True):
    chosen = conversations(folder)
    if not chosen:
        print(f"\nconversations: left out: {folder} holds no NAME.rttm with NAME.flac or NAME.wav")
        return
    references = {name: turns for name, (_, turns, _) in chosen.items()}
    groups = sorted({group for _, _, group in chosen.values()})
    pooled = [(group, [group]) for group in groups]
    if "coarse turns" in groups:
        pooled.append(("real, coarse turns included", ["real", "coarse turns"]))
    rows, files, judged, speech = [], [], {group: [] for group in groups}, []
    for latency in latencies:
        try:
            told = {name: program.track(audio, latency) for name, (audio, _, _) in chosen.items()}
        except RuntimeError as refused:  # a latency below the model's least
            print(f"\nlatency {latency} s: {refused}")
            continue
        first, corrected = ({name: of[k] for name, of in told.items()} for k in (0, 1))
        e, c = program.errors(references, first, COLLAR), program.errors(references, corrected, COLLAR)
        for group, of in pooled:
            names = [name for name in chosen if chosen[name][2] in of]
            x, y = (np.array([errors[name] for name in names]) for errors in (e, c))
            found = np.array([len(speakers_in(first[name])) - len(speakers_in(references[name])) for name in names])
            cells = [show(ratio(x[:, :3].sum(1), x[:, 3]))]
            cells += [f"{100 * x[:, k].sum() / x[:, 3].sum():.1f}" for k in range(3)]
            cells += [show(ratio(y[:, :3].sum(1), y[:, 3])), f"{(found == 0).sum()} / {(abs(found) <= 1).sum()} / {len(found)}"]
            rows.append([latency, f"{group} ({len(names)})", *cells])
        if latency != 1.0:
            continue
        for name, (_, reference, group) in chosen.items():
            x = np.array(e[name])
            of = f"{len(speakers_in(first[name]))} / {len(speakers_in(reference))}"
            rates = [f"{100 * v / x[3]:.1f}" for v in (x[:3].sum(), *x[:3])]
            files.append([name, group, *rates, f"{100 * sum(c[name][:3]) / x[3]:.1f}", of, f"{x[3]:.0f}"])
            judged[group] += judged_turns(reference, first[name], told[name][2])
            speech.append((group, *speech_errors(reference, first[name])))
    head = ["DER", "missed", "false alarm", "confusion", "DER corrected"]
    table(
        "Diarization error rate, %, labels as first told; collar 0.25 s, overlap counted",
        ["latency, s", "recordings", *head, "speakers right / within one / files"],
        rows,
    )
    if files and len(files) < 30:
        table("The same a recording, latency 1 s", ["file", "kind", *head, "speakers found / true", "speech, s"], files)
    rows = []
    for group in groups:
        x = np.array([of[1:] for of in speech if of[0] == group])
        if len(x) and group != "coarse turns":
            parts = [f"{100 * x[:, k].sum() / x[:, 2].sum():.1f}" for k in range(2)]
            rows.append([group, show(ratio(x[:, :2].sum(1), x[:, 2])), *parts, f"{x[:, 2].sum():.0f}"])
    table(
        "Speech detection, % of time scored, ± 0.25 s, as told at latency 1 s",
        ["recordings", "missed + false", "missed", "false", "scored, s"],
        rows,
    )
    if calibration:
        rows = []
        for low in np.arange(10) / 10:
            cells = []
            for group in groups:
                x = np.array([j for j in judged[group] if low <= j[0] < low + 0.1 or (low == 0.9 and j[0] == 1)])
                of = x[:, 1].sum() if len(x) else 0
                cells += [f"{of:.0f}", f"{(x[:, 0] @ x[:, 1]) / of:.2f}", f"{x[:, 2].sum() / of:.2f}"] if of else ["–"] * 3
            rows.append([f"{low:.1f}–{low + 0.1:.1f}", *cells])
        heads = [f"{group}: {what}" for group in groups for what in ("seconds", "mean score", "right")]
        table("Calibration: a turn's score against how often its label was right", ["score", *heads], rows)
