# SPDX-License-Identifier: MIT
"""Stamps metadata and further tensors onto a model: stamp.py MODEL OUT [KEYS.json ...] [TENSORS.npz ...]

KEYS.json is an object of metadata keys (a nested object's keys are joined with a dot; null removes a key).
TENSORS.npz holds float32 arrays by tensor name. A tensor or key that is there already is replaced. The weights' bytes
are copied as they are. Needs numpy only when tensors are added."""
import json
import os
import struct
import sys


def read(path):
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {
        name: (entry["dtype"], entry["shape"], data[8 + length + entry["data_offsets"][0] : 8 + length + entry["data_offsets"][1]])
        for name, entry in header.items()
    }
    return metadata, tensors


def write(path, metadata, tensors):
    header, offset = {"__metadata__": metadata}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64 + 56 if len(text) % 64 > 56 else 56 - len(text) % 64)  # data begins at 64·n
    with open(path + ".new", "wb") as file:  # a file under its own name is whole
        file.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            file.write(data)
    os.replace(path + ".new", path)


def flatten(keys, prefix=""):
    for key, value in keys.items():
        if isinstance(value, dict):
            yield from flatten(value, prefix + key + ".")
        else:
            yield prefix + key, value


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    model, out, *stamps = sys.argv[1:]
    metadata, tensors = read(model)
    for stamp in stamps:
        if stamp.endswith(".npz"):
            import numpy

            for name, x in numpy.load(stamp).items():
                tensors[name] = ("F32", list(x.shape), numpy.ascontiguousarray(x, "<f4").tobytes())
            continue
        for key, value in flatten(json.load(open(stamp))):
            if value is None:
                metadata.pop(key, None)
            else:
                metadata[key] = value if isinstance(value, str) else json.dumps(value)
    write(out, metadata, tensors)
