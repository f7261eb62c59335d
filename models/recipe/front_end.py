# SPDX-License-Identifier: MIT
"""Samples to log-mel frames, as the program's front end makes them (docs/model-format.md)."""
import numpy as np
from scipy.signal import lfilter

SETTINGS = {
    "sample_rate_hz": 16000,
    "window_samples": 400,
    "hop_samples": 160,
    "fft_size": 512,
    "window": "hann_periodic",
    "mel_bands": 80,
    "mel_kind": "htk",
    "mel_hz_min": 20,
    "mel_hz_max": 7600,
    "log_floor": 1e-6,
    "high_pass_hz": 5,
    "feature_mean": -8.0,
    "feature_scale": 0.25,
    "frames_per_step": 4,
}
PRIOR = 160  # samples of silence that high_pass begins with
RATE, WINDOW, HOP = SETTINGS["sample_rate_hz"], SETTINGS["window_samples"], SETTINGS["hop_samples"]


def mel_filters():
    """[mel_bands][fft_size / 2 + 1], triangles of unit peak on the HTK mel scale"""

    def mel(hz):
        return 2595 * np.log10(1 + hz / 700)

    low, high = mel(SETTINGS["mel_hz_min"]), mel(SETTINGS["mel_hz_max"])
    edges = 700 * (10 ** (np.linspace(low, high, SETTINGS["mel_bands"] + 2) / 2595) - 1)
    bins = np.arange(SETTINGS["fft_size"] // 2 + 1) * RATE / SETTINGS["fft_size"]
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)


_filters = mel_filters().T.copy()
_window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)


def high_pass(samples):
    """a recording without the constant that electronics add: y = x − m, m = m + a (x − m), where a is 1 / (n + 160) of sample
    n until that is less than 1 − exp(−2π f / rate)"""
    least = -np.expm1(-2 * np.pi * SETTINGS["high_pass_hz"] / RATE)
    soon = min(len(samples), max(0, int(np.ceil(1 / least)) - PRIOR))
    mean = np.empty(len(samples))
    mean[:soon] = np.cumsum(samples[:soon], dtype=np.float64) / (np.arange(soon) + PRIOR)
    before = mean[soon - 1] if soon else 0.0
    mean[soon:] = lfilter([least], [1, least - 1], samples[soon:].astype(np.float64), zi=[(1 - least) * before])[0]
    return (samples - mean).astype(np.float32)


def log_mel(samples):
    """ln(power + log_floor) [frames][mel_bands] of samples that have passed high_pass; frame t sees [160 t, 160 t + 400)"""
    if len(samples) < WINDOW:
        samples = np.pad(samples, (0, WINDOW - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(np.asarray(samples, np.float32), WINDOW)[::HOP]
    out = np.empty((len(frames), SETTINGS["mel_bands"]), np.float32)
    for a in range(0, len(frames), 2048):
        spectrum = np.fft.rfft(frames[a : a + 2048] * _window, SETTINGS["fft_size"], axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
        out[a : a + 2048] = np.log(power @ _filters + SETTINGS["log_floor"])
    return out


def normalised(log_mels):
    return (log_mels - SETTINGS["feature_mean"]) * SETTINGS["feature_scale"]
