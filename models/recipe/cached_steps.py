# SPDX-License-Identifier: MIT
"""Conversations with the steps that cached_tracker wrote beside them."""
import glob
import os
import struct
from dataclasses import dataclass

import numpy as np


@dataclass
class Steps:
    name: str
    embeddings: np.ndarray  # [steps][embedding_dim]
    speech: np.ndarray  # [steps] logits
    overlap: np.ndarray  # [steps] logits, minus infinity when the model cannot tell
    turns: list  # (start, end, speaker)
    step_seconds: float


def read_rows(path):
    """embeddings, logits of speech, of overlap"""
    with open(path, "rb") as file:
        _, dim, _ = struct.unpack("8sQd", file.read(24))
        rows = np.frombuffer(file.read(), np.float32).reshape(-1, dim + 2)
    return rows[:, :dim], rows[:, dim], rows[:, dim + 1]


def read(path, step_seconds=0.04):
    with open(path[: -len("steps")] + "rttm") as file:
        fields = [line.split() for line in file if line.startswith("SPEAKER")]
    turns = [(float(f[3]), float(f[3]) + float(f[4]), f[7]) for f in fields]
    name = os.path.splitext(os.path.basename(path))[0]
    return Steps(name, *read_rows(path), turns, step_seconds)


def folder(path):
    """all of a folder, one at a time"""
    return (read(at) for at in sorted(glob.glob(os.path.join(path, "*.steps"))))
