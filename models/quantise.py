# SPDX-License-Identifier: MIT
"""Stores a model's projection weights in fewer bytes: quantise.py MODEL OUT bf16|i8

bf16 rounds each weight to the nearest bfloat16; i8 to a whole multiple, -127 ... 127, of one float32 scale a row, the
scale that leaves the least square error. What a step reads once per value stays float32: norms, biases, decays, the
depthwise convolution, the one row of each logit. Metadata and all other tensors are kept; the fingerprint changes, and
with it the speaker files and saved states that fit. Needs numpy; docs/model-format.md describes the file."""
import sys

import numpy

import stamp

PROJECTIONS = ("projection", "query", "key", "value", "attention.output", "expand", "project", "output.embedding")


def is_projection(name, dtype, shape):
    return dtype == "F32" and len(shape) == 2 and any(name.endswith("." + part + ".weight") or name == part + ".weight" for part in PROJECTIONS)


def to_bf16(weight):
    bits = weight.view("<u4").astype(numpy.uint64)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")  # to nearest, ties to even


def to_i8(weight):
    """The whole numbers and the scale of each row; a row's largest value may be clipped where that pays."""
    largest = numpy.abs(weight).max(1, keepdims=True)
    best_scale, best_error = None, None
    for clip in numpy.linspace(0.7, 1, 61, dtype=numpy.float32):
        scale = numpy.where(largest > 0, largest * clip / numpy.float32(127), numpy.float32(1))
        error = ((numpy.clip(numpy.rint(weight / scale), -127, 127) * scale - weight) ** 2).sum(1, keepdims=True)
        if best_error is None:
            best_scale, best_error = scale, error
        best_scale = numpy.where(error <= best_error, scale, best_scale)
        best_error = numpy.minimum(error, best_error)
    scale = numpy.maximum(best_scale, numpy.finfo(numpy.float32).tiny)
    return numpy.clip(numpy.rint(weight / scale), -127, 127).astype("i1"), scale[:, 0].astype("<f4")


def quantise(tensors, kind):
    for name, (dtype, shape, data) in tensors.items():
        if not is_projection(name, dtype, shape):
            yield name, (dtype, shape, data)
            continue
        weight = numpy.frombuffer(data, "<f4").reshape(shape)
        if kind == "bf16":
            yield name, ("BF16", shape, to_bf16(weight).tobytes())
        else:
            whole, scale = to_i8(weight)
            yield name + "_scale", ("F32", shape[:1], scale.tobytes())
            yield name, ("I8", shape, whole.tobytes())


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[3] not in ("bf16", "i8"):
        sys.exit(__doc__)
    model, out, kind = sys.argv[1:]
    metadata, tensors = stamp.read(model)
    stamp.write(out, metadata, dict(quantise(tensors, kind)))
