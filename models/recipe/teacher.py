# SPDX-License-Identifier: MIT
"""The teacher: the speaker encoder that the Python package Resemblyzer 0.1.4 carries (Apache-2.0; GE2E, 1710.10467,
trained by its authors on VoxCeleb and LibriSpeech). Three LSTMs of 256 over 40 mel powers, then a linear layer and relu;
windows of 1.6 s, means of unit vectors. Only the weights are read: the package's own dependencies are not needed."""
import importlib.util
import os

import numpy as np
import torch

DIM, BANDS, FRAMES = 256, 40, 160


def weights_path():
    spec = importlib.util.find_spec("resemblyzer")
    if not spec:
        raise SystemExit("teacher: the package Resemblyzer is missing: pip install --no-deps Resemblyzer==0.1.4")
    return os.path.join(spec.submodule_search_locations[0], "pretrained.pt")


def mel_filters(rate=16000, size=400):
    """[BANDS][size / 2 + 1] on Slaney's mel scale, each of unit area"""

    def mel(hz):
        hz = np.asarray(hz, float)
        return np.where(hz >= 1000, 15 + np.log(np.maximum(hz, 1) / 1000) / (np.log(6.4) / 27), hz * 3 / 200)

    def hertz(mels):
        return np.where(mels >= 15, 1000 * np.exp((np.log(6.4) / 27) * (mels - 15)), mels * 200 / 3)

    edges, bins = hertz(np.linspace(mel(0), mel(rate / 2), BANDS + 2)), np.arange(size // 2 + 1) * rate / size
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall)) * (2 / (edges[2:] - edges[:-2]))[:, None]


class Teacher(torch.nn.Module):
    def __init__(self, path=None):
        super().__init__()
        self.lstm = torch.nn.LSTM(BANDS, DIM, 3, batch_first=True)
        self.linear = torch.nn.Linear(DIM, DIM)
        state = torch.load(path or weights_path(), map_location="cpu", weights_only=False)["model_state"]
        self.load_state_dict(state, strict=False)
        self.filters = torch.tensor(mel_filters(), dtype=torch.float32)
        self.window = torch.hann_window(400)
        self.eval()

    @torch.no_grad()
    def embed(self, samples, hop=40):
        """unit vector [DIM] of one voice: samples at 16 kHz, silence left out; hop in frames of 10 ms"""
        x = torch.as_tensor(np.asarray(samples, np.float32))
        decibel = 10 * torch.log10((x**2).mean() + 1e-12)
        x = x * 10 ** (torch.clamp(-30 - decibel, min=0) / 20)
        spectrum = torch.stft(x, 400, 160, 400, self.window, pad_mode="constant", return_complex=True)
        mel = (self.filters @ spectrum.abs() ** 2).T
        length = min(FRAMES, len(mel))
        starts = list(range(0, len(mel) - length + 1, hop))
        if starts[-1] != len(mel) - length:
            starts.append(len(mel) - length)
        hidden = self.lstm(torch.stack([mel[a : a + length] for a in starts]))[1][0][-1]
        e = torch.nn.functional.normalize(torch.relu(self.linear(hidden)), dim=1).mean(0)
        return torch.nn.functional.normalize(e, dim=0).numpy()
