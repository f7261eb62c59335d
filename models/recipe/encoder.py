# SPDX-License-Identifier: MIT
"""The encoder of models/README.md over a whole recording, in numpy: samples -> embeddings, speech logits."""
import json
import struct

import numba
import numpy as np


def read_safetensors(path):
    """(tensors by name, metadata) of a file whose tensors are float32."""
    data = open(path, "rb").read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = np.frombuffer(data[begin:end], np.float32).reshape(entry["shape"])
    return tensors, metadata


@numba.njit(cache=True, fastmath=True)
def _attend(q, k, v, decay, out):
    steps, heads, dim = q.shape
    state = np.zeros((heads, dim, dim), np.float32)
    z = np.zeros((heads, dim), np.float32)
    for t in range(steps):
        for h in range(heads):
            norm = np.float32(1e-6)
            out[t, h] = 0
            for i in range(dim):
                z[h, i] = decay[h] * z[h, i] + k[t, h, i]
                norm += q[t, h, i] * z[h, i]
                for j in range(dim):
                    state[h, i, j] = decay[h] * state[h, i, j] + k[t, h, i] * v[t, h, j]
                    out[t, h, j] += q[t, h, i] * state[h, i, j]
            out[t, h] /= norm


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


class Encoder:
    def __init__(self, path):
        self.weights, meta = read_safetensors(path)
        self.meta = meta
        self.layers, self.heads, self.dim = int(meta["layers"]), int(meta["heads"]), int(meta["model_dim"])
        self.step_seconds = int(meta["hop_samples"]) * int(meta["frames_per_step"]) / int(meta["sample_rate_hz"])
        rate, size, bands = int(meta["sample_rate_hz"]), int(meta["fft_size"]), int(meta["mel_bands"])

        def mel(hz):
            return 2595 * np.log10(1 + hz / 700)

        edges = np.linspace(mel(float(meta["mel_hz_min"])), mel(float(meta["mel_hz_max"])), bands + 2)
        edges = 700 * (10 ** (edges / 2595) - 1)
        bins = np.arange(size // 2 + 1) * rate / size
        rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
        fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
        self.filters = np.maximum(0, np.minimum(rise, fall)).astype(np.float32)

    def log_mel(self, samples):
        meta = self.meta
        window, hop, size = int(meta["window_samples"]), int(meta["hop_samples"]), int(meta["fft_size"])
        hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)).astype(np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float32), window)[::hop]
        out = np.empty((len(frames), len(self.filters)), np.float32)
        for a in range(0, len(frames), 4096):  # a recording of an hour fits
            power = np.abs(np.fft.rfft(frames[a : a + 4096] * hann, size, axis=1)).astype(np.float32) ** 2
            out[a : a + 4096] = np.log(power @ self.filters.T + float(meta["log_floor"]))
        return (out - float(meta["feature_mean"])) * float(meta["feature_scale"])

    def _norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + float(self.meta["norm_epsilon"]))
        return x * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def _dense(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def __call__(self, samples):
        """embeddings [steps][embedding_dim] of unit length, speech logits [steps]"""
        mel, group, dim = self.log_mel(samples), int(self.meta["frames_per_step"]), self.dim
        steps = len(mel) // group
        h = self._norm(self._dense(mel[: steps * group].reshape(steps, -1), "input.projection"), "input.norm")
        for layer in range(self.layers):
            at = f"layers.{layer}."
            a = self._norm(h, at + "attention.norm")
            heads = (steps, self.heads, dim // self.heads)
            q, k = (self._dense(a, at + "attention." + name) for name in ("query", "key"))
            q, k = (np.where(x > 0, x + 1, np.exp(np.minimum(x, 0))).astype(np.float32).reshape(heads) for x in (q, k))
            v = self._dense(a, at + "attention.value").astype(np.float32).reshape(heads)
            out = np.empty(heads, np.float32)
            _attend(q, k, v, np.exp(self.weights[at + "attention.log_decay"]), out)
            h = h + self._dense(out.reshape(steps, dim), at + "attention.output")
            u = self._dense(self._norm(h, at + "convolution.norm"), at + "convolution.expand")
            u = u[:, :dim] * _sigmoid(u[:, dim:])
            taps = int(self.meta["convolution_kernel"])
            padded = np.concatenate([np.zeros((taps - 1, dim), np.float32), u])
            weight = self.weights[at + "convolution.depthwise.weight"].reshape(dim, taps)
            y = sum(padded[i : i + steps] * weight[:, i] for i in range(taps))
            y = y + self.weights[at + "convolution.depthwise.bias"]
            h = h + self._dense(y * _sigmoid(y), at + "convolution.project")
            u = self._dense(self._norm(h, at + "feed_forward.norm"), at + "feed_forward.expand")
            h = h + self._dense(u * _sigmoid(u), at + "feed_forward.project")
        o = self._norm(h, "output.norm")
        e = self._dense(o, "output.embedding")
        e = e / np.linalg.norm(e, axis=1, keepdims=True)
        return e.astype(np.float32), self._dense(o, "output.speech")[:, 0].astype(np.float32)
