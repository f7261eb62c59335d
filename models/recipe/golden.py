# SPDX-License-Identifier: MIT
"""golden.py MODEL OUT: six seconds of a made signal and what MODEL must make of it, computed in double by the recipe's
own network in parallel form; the program's encoder, step by step, is tested against it."""
import sys

import numpy as np
import torch

from export import read_model, write_tensors
from front_end import RATE, log_mel, mel_filters, normalised
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


def main():
    model, out = sys.argv[1:]
    network = Network.from_model(*read_model(model, np.float64))
    samples = signal()
    mel = log_mel(samples)
    steps = len(mel) // 4
    x = torch.from_numpy(normalised(mel)[: steps * 4].reshape(1, steps, -1)).double()
    with torch.no_grad():
        h = network.norm(network.projection(x))
        first = h
        for block in network.layers[0]:
            first = block(first)
        embedding, speech, overlap = network(x)
    write_tensors(out, {
        "in.samples": samples, "out.log_mel": mel, "out.mel_filters": mel_filters(), "out.input_projection": h[0].numpy(),
        "out.layer_0": first[0].numpy(), "out.embedding": embedding[0].numpy(), "out.speech_logit": speech[0].numpy(),
        "out.overlap_logit": overlap[0].numpy()}, {"model": read_model(model)[0].get("model_id", "")})


if __name__ == "__main__":
    main()
