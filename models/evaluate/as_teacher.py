# SPDX-License-Identifier: MIT
"""The recipe's teacher in the program's place: what its embeddings reach on the same segments."""
import os
import sys

import soundfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recipe"))
from teacher import RATE, Teacher  # noqa: E402


class AsTeacher:
    def __init__(self):
        self.teacher = Teacher()

    def embed(self, segments):
        """segments [(path, start, duration)] -> {segment: unit embedding}"""
        out = {}
        for path, start, duration in sorted(set(segments)):
            first, count = int(float(start) * RATE), int(float(duration) * RATE)
            samples = soundfile.read(path, start=first, frames=count, dtype="float32", always_2d=True)[0][:, 0]
            out[path, start, duration] = self.teacher.embed(samples)
        return out
