# SPDX-License-Identifier: MIT
"""Model files of the recipe: writes a network with the numbers of front end and network, without the tracker's part
(tracker_backend.py, stamp.py); reads any model file, whatever its weights are stored as."""
import os
import sys

import numpy as np

from front_end import SETTINGS

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import stamp  # noqa: E402


def write_tensors(path, tensors, metadata):
    stamp.write(path, metadata, {n: ("F32", list(x.shape), np.ascontiguousarray(x, "<f4").tobytes()) for n, x in tensors.items()})


def write_model(network, path):
    metadata = {"format": "rill-encoder-1", **SETTINGS, **network.shape, "feature_map": "elu+1", "normalizer_epsilon": 1e-6,
                "norm_epsilon": 1e-5, "skipped_start_seconds": 0.3, "heard_again_seconds": 10,
                "heard_again_speed": 0.95, "pooling_speech_power": 0.3, "pooling": "mean weighted by speech probability"}
    write_tensors(path, network.tensors(), {k: str(v) for k, v in metadata.items()})


def read_model(path, dtype=np.float32):
    """metadata, arrays by name: bfloat16 widened, int8 times its rows' scales"""
    metadata, tensors = stamp.read(path)
    arrays = {}
    for name, (kind, shape, data) in tensors.items():
        if kind == "BF16":
            x = (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
        else:
            x = np.frombuffer(data, {"F32": "<f4", "I8": "i1"}[kind])
        arrays[name] = x.reshape(shape).astype(dtype)
    for name in [n for n in arrays if n.endswith("_scale")]:
        arrays[name[: -len("_scale")]] *= arrays.pop(name)[:, None]
    return metadata, arrays
