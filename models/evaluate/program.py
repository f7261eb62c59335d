# SPDX-License-Identifier: MIT
"""The rill program as the evaluation uses it: embeddings of segments, turns of recordings, error rates."""
import json
import os
import subprocess
import tempfile

import numpy as np


class Program:
    def __init__(self, rill, model=None):
        self.rill, self.model = rill, ["--model", model] if model else []

    def _run(self, *arguments):
        told = subprocess.run([self.rill, *arguments], capture_output=True, text=True)
        if told.returncode:
            raise RuntimeError(told.stderr.strip() or f"rill {arguments[0]} failed")
        return told.stdout

    def embed(self, segments):
        """segments [(path, start, duration)] -> {segment: unit embedding}"""
        unique = sorted(set(segments))
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
            file.writelines(f"{path}\t{start}\t{duration}\n" for path, start, duration in unique)
            file.flush()
            lines = self._run("embed", *self.model, "--list", file.name).splitlines()
        return {segment: np.array(json.loads(line)["embedding"]) for segment, line in zip(unique, lines)}

    def track(self, path, latency=1.0):
        """turns as first told, turns as corrected ([(start, end, speaker)]), and the events told"""
        with tempfile.TemporaryDirectory() as folder:
            first, corrected = (os.path.join(folder, name) for name in ("first.rttm", "corrected.rttm"))
            told = self._run(
                "track", *self.model, "--json", "--latency", str(latency), "--rttm", first, "--rttm-corrected", corrected, path
            )
            return read_rttm(first), read_rttm(corrected), [json.loads(line) for line in told.splitlines()]

    def errors(self, reference, hypotheses, collar=0.25):
        """{file: (missed, false alarm, confusion, reference)} in seconds; hypotheses {file: turns}"""
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, name) for name in ("reference.rttm", "hypothesis.rttm")]
            for path, of in zip(paths, (reference, hypotheses)):
                write_rttm(path, of)
            rows = [json.loads(line) for line in self._run("eval", "--json", "--collar", str(collar), *paths).splitlines()]
        out = {}
        for row in rows[:-1]:
            seconds = reference_seconds(reference[row["file"]], hypotheses[row["file"]], collar)
            out[row["file"]] = tuple(row[k] * seconds for k in ("missed", "false_alarm", "confusion")) + (seconds,)
        return out


def read_rttm(path):
    with open(path) as file:
        fields = [line.split() for line in file if line.startswith("SPEAKER")]
    try:
        return [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]
    except (IndexError, ValueError):
        raise RuntimeError(f"{path}: a SPEAKER line lacks its start, duration or speaker") from None


def write_rttm(path, turns_of):
    with open(path, "w") as file:
        for name, turns in turns_of.items():
            for start, end, speaker in turns:
                file.write(f"SPEAKER {name} 1 {start:.3f} {end - start:.3f} <NA> <NA> {speaker} <NA> <NA>\n")


def joined(turns):
    """Turns of one speaker that overlap or touch are one."""
    out = []
    for start, end, speaker in sorted(turns, key=lambda t: (t[2], t[0])):
        if out and out[-1][2] == speaker and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], end), speaker)
        else:
            out.append((start, end, speaker))
    return out


def reference_seconds(reference, hypothesis, collar):
    """Speech of the reference that is scored: all but what lies within the collar of its boundaries."""
    reference = joined(reference)
    edges = sorted(t for turn in reference for t in turn[:2])
    total = 0.0
    for start, end, _ in reference:
        at = start
        for edge in edges:
            if edge + collar <= at or edge - collar >= end:
                continue
            total += max(0.0, edge - collar - at)
            at = max(at, edge + collar)
        total += max(0.0, end - at)
    return total


def activity(turns, frames, speakers, frame=0.01):
    """[frames][speakers] whether a speaker talks"""
    out = np.zeros((frames, len(speakers)), bool)
    for start, end, speaker in turns:
        out[round(start / frame) : round(end / frame), speakers.index(speaker)] = True
    return out


def speakers_in(turns, least=1.0):
    """who talks for so many seconds or more"""
    seconds = {}
    for start, end, speaker in turns:
        seconds[speaker] = seconds.get(speaker, 0) + end - start
    return [speaker for speaker, of in seconds.items() if of >= least]
