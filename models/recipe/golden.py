# SPDX-License-Identifier: MIT
"""golden.py MODEL OUT [CACHED_TRACKER]: six seconds of a made signal and what MODEL must make of it, computed in double by
the recipe's own network in parallel form; the program's encoder, step by step, is tested against it. With CACHED_TRACKER
that is done at once, from the samples on: OUT is not written, and the exit status is 1, where the two are further apart than
float32 explains."""
import os
import subprocess
import sys
import tempfile

import numpy as np
import soundfile
import torch

from cached_steps import read_rows

from export import read_model, write_tensors
from front_end import RATE, high_pass, log_mel, mel_filters, normalised
from network import Network


def signal():
    """a buzz of gliding pitch through two moving resonances, with pauses, in a little noise"""
    rng, t = np.random.default_rng(20), np.arange(6 * RATE) / RATE
    pitch = 120 + 60 * (t > 3) + 25 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    x = np.zeros(len(t))
    for k in range(1, 40):
        hz = k * pitch
        shape = sum(1 / (1 + ((hz - f) / 120) ** 2) for f in (500 + 250 * np.sin(2 * np.pi * 1.3 * t), 1700 + 500 * np.sin(2 * np.pi * 0.9 * t)))
        x += shape * np.sin(k * phase) * (hz < 7500)
    loud = (np.sin(2 * np.pi * 0.8 * t) > -0.6) * (0.6 + 0.4 * np.sin(2 * np.pi * 3.1 * t))
    x = 0.08 * x * loud + 0.002 * rng.normal(0, 1, len(t))
    return np.clip(x, -1, 1).astype(np.float32)


def heard_by(program, model, samples):
    """embeddings, logits of speech, of overlap: step by step, by the program"""
    with tempfile.TemporaryDirectory() as folder:
        soundfile.write(os.path.join(folder, "golden.wav"), samples, RATE, subtype="FLOAT")
        subprocess.run([program, "encode", model, folder], check=True)
        return read_rows(os.path.join(folder, "golden.steps"))


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    model, out, *program = sys.argv[1:]
    network = Network.from_model(*read_model(model, np.float64))
    samples = signal()
    mel = log_mel(high_pass(samples))
    steps = len(mel) // 4
    x = torch.from_numpy(normalised(mel)[: steps * 4].reshape(1, steps, -1)).double()
    with torch.no_grad():
        h = network.norm(network.projection(x))
        first = h
        for block in network.layers[0]:
            first = block(first)
        embedding, speech, overlap = network(x)
    for of in program:
        e, s, o = heard_by(of, model, samples)
        far = [float(abs(a - b.numpy()[0]).max()) for a, b in zip((e[:steps], s[:steps], o[:steps]), (embedding, speech, overlap))]
        print("golden: the program is within {:.1e} of the embeddings, {:.1e} and {:.1e} of the logits".format(*far))
        if not (far[0] < 1e-4 and far[1] < 1e-3 and far[2] < 1e-3):
            sys.exit("golden: that is too far: the program does not compute this network")
    write_tensors(out, {
        "in.samples": samples, "out.log_mel": mel, "out.mel_filters": mel_filters(), "out.input_projection": h[0].numpy(),
        "out.layer_0": first[0].numpy(), "out.embedding": embedding[0].numpy(), "out.speech_logit": speech[0].numpy(),
        "out.overlap_logit": overlap[0].numpy()}, {"model": read_model(model)[0].get("model_id", "")})


if __name__ == "__main__":
    main()
