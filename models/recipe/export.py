# SPDX-License-Identifier: MIT
"""Writes a network as a model file: tensors and the numbers of front end and network, without the tracker's part
(tracker_backend.py, stamp.py)."""
import json
import struct

import numpy as np

from front_end import SETTINGS


def write_safetensors(path, tensors, metadata):
    header, at = {"__metadata__": metadata}, 0
    for name in sorted(tensors):
        x = tensors[name]
        header[name] = {"dtype": "F32", "shape": list(x.shape), "data_offsets": [at, at + x.nbytes]}
        at += x.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in sorted(tensors):
            file.write(np.ascontiguousarray(tensors[name], "<f4").tobytes())


def write_model(network, path):
    metadata = {"format": "rill-encoder-1", **SETTINGS, **network.shape, "feature_map": "elu+1", "normalizer_epsilon": "1e-06",
                "norm_epsilon": "1e-05", "skipped_start_seconds": "0.3", "pooling": "mean weighted by speech probability"}
    write_safetensors(path, network.tensors(), {k: str(v) for k, v in metadata.items()})
