# SPDX-License-Identifier: MIT
"""Further voices of a speaker, as many as wanted: pitch by the speed of a tape, formants by a warp of the spectrum's envelope,
both by chance. A teacher finds one voice in all that is warped alike, as in what was recorded, and another one than the
speaker's. And what rooms and codecs do to them. All on batches of padded utterances [utterances][samples] on any device;
real [utterances] are their lengths. On a GPU an hour of speech takes about half a second."""
import math

import numpy as np
import torch
from torch.nn import functional as F

from front_end import HOP, RATE, SETTINGS, WINDOW, mel_filters

FORMANTS = (480, 1500, 3000, 5600)  # Hz: about where the first four are; each is moved on its own
AT_ONCE = 12_000_000  # samples that are turned into spectra at once


class Warp:
    """of every speaker: how much faster the tape runs, and natural logarithms of how much higher formants lie before that"""

    def __init__(self, number, speakers):
        rng = np.random.default_rng([number, speakers])
        self.tape = np.exp(rng.uniform(-0.19, 0.19, speakers)).astype(np.float32)
        self.formants = (rng.uniform(-0.1, 0.1, (speakers, 1)) + rng.normal(0, 0.035, (speakers, len(FORMANTS)))).astype(np.float32)
        if number == 0:  # as recorded
            self.tape[:], self.formants[:] = 1, 0

    def lengths(self, samples, speaker):
        return np.maximum(1, (samples / self.tape[speaker]).astype(int))

    def apply(self, x, speaker):
        tape, knots = (torch.from_numpy(v[speaker]).to(x.device) for v in (self.tape, self.formants))
        if (knots != 0).any():
            x = moved_formants(x, knots)
        return x if (tape == 1).all() else faster_tape(x, tape)


def parts(x):
    """slices of a batch that are turned into spectra at once"""
    size = max(1, AT_ONCE // x.shape[1])
    return [slice(a, a + size) for a in range(0, len(x), size)]


def moved_formants(x, knots, size=512, hop=128, quefrencies=26):
    """the envelope, what lies below so many quefrencies of the cepstrum, is read elsewhere; harmonics stay where they are"""
    device, bins = x.device, size // 2 + 1
    window = torch.hann_window(size, device=device)
    place, at = torch.linspace(0, RATE / 2, bins, device=device), torch.tensor(FORMANTS, dtype=torch.float32, device=device)
    right = torch.searchsorted(at, place).clamp(1, len(FORMANTS) - 1)
    share = ((place - at[right - 1]) / (at[right] - at[right - 1])).clamp(0, 1)
    lifter = torch.zeros(size, device=device)
    lifter[:quefrencies] = lifter[-quefrencies + 1 :] = 1
    out = torch.empty_like(x)
    for few in parts(x):
        factor = torch.exp(knots[few][:, right - 1] * (1 - share) + knots[few][:, right] * share)
        source = (torch.arange(bins, device=device) / factor).clamp(0, bins - 1)
        low = source.floor().long().clamp(max=bins - 2)
        mix = (source - low)[..., None]
        spectrum = torch.stft(x[few], size, hop, window=window, return_complex=True)
        envelope = torch.fft.rfft(torch.fft.irfft(torch.log(spectrum.abs() + 1e-5), dim=1) * lifter[:, None], dim=1).real
        low = low[..., None].expand_as(envelope)
        moved = torch.gather(envelope, 1, low) * (1 - mix) + torch.gather(envelope, 1, low + 1) * mix
        spectrum = spectrum * torch.exp((moved - envelope).clamp(-3.5, 3.5))
        out[few] = torch.istft(spectrum, size, hop, window=window, length=x.shape[1])
    return out


def faster_tape(x, factor, reach=8):
    """x at the times factor · t, by a windowed sinc that leaves out what would fold"""
    length = math.ceil(x.shape[1] / float(factor.min()))
    time = torch.arange(length, device=x.device, dtype=torch.float64) * factor[:, None].double()
    whole = time.floor()
    between, whole = (time - whole).float(), whole.long()
    cut = 0.97 * (1 / factor).clamp(max=1)[:, None]
    out = torch.zeros_like(between)
    for tap in range(1 - reach, reach + 1):
        away, at = between - tap, whole + tap
        weight = cut * torch.sinc(cut * away) * (0.5 + 0.5 * torch.cos(math.pi * away / (reach + 0.5)))
        out += weight * torch.gather(x, 1, at.clamp(0, x.shape[1] - 1)) * ((at >= 0) & (at < x.shape[1]))
    return out


def levelled(x, real):
    """of one loudness, and silent behind the end"""
    x = x * (torch.arange(x.shape[1], device=x.device) < real[:, None])
    return x * (0.05 / ((x.square().sum(1) / real.clamp(min=1)).sqrt() + 1e-9))[:, None]


def in_rooms(x, rooms):
    """each in one of the responses [rooms][samples]"""
    size, out = 1 << (x.shape[1] + rooms.shape[1]).bit_length(), torch.empty_like(x)
    for few in parts(x):
        h = rooms[torch.randint(len(rooms), (len(x[few]),), device=x.device)]
        out[few] = torch.fft.irfft(torch.fft.rfft(x[few], size) * torch.fft.rfft(h, size), size)[:, : x.shape[1]]
    return out


def imitated_codec(x, size=400, hop=160):
    """what codecs do, roughly: a narrow or a wide band, in it companded steps of eight bits, or noise that follows the
    spectrum, with what is weak left out; a quarter of the utterances have the band alone"""
    def between(a, b):
        return a + (b - a) * torch.rand(len(x), 1, device=x.device)

    kind, window = torch.randint(4, (len(x), 1), device=x.device), torch.hann_window(size, device=x.device)
    high = torch.where(kind < 2, between(3200, 3900), between(4500, 8500))
    low = torch.where(kind < 2, between(60, 330), between(0, 60))
    depth, weak = between(0.1, 0.5)[..., None], between(4, 8)[..., None]
    out = torch.empty_like(x)
    for few in parts(x):
        y = x[few]
        wide = 1 << (y.shape[1] + size).bit_length()
        hertz = torch.fft.rfftfreq(wide, 1 / RATE, device=x.device)
        band = torch.sigmoid((high[few] - hertz) / 60) * torch.sigmoid((hertz - low[few]) / 25)
        y = torch.fft.irfft(torch.fft.rfft(y, wide) * band, wide)[:, : x.shape[1] + size]
        y = y / (y.square().mean(1, keepdim=True).sqrt() + 1e-9) * 0.1
        law = torch.sign(y) * torch.log1p(255 * y.abs().clamp(max=1)) / math.log(256)
        law = torch.sign(y) * torch.expm1((law.abs() * 127).round() / 127 * math.log(256)) / 255
        spectrum = torch.stft(y, size, hop, window=window, return_complex=True)
        level = torch.log(spectrum.abs() + 1e-5)
        around = F.avg_pool2d(level[:, None], (31, 1), 1, (15, 0), count_include_pad=False)[:, 0]
        noise = torch.complex(*(torch.randn_like(level) for _ in range(2))) * torch.exp(around)
        kept = level > level.amax(1, keepdim=True) - weak[few]
        noisy = torch.istft((spectrum + 0.7 * depth[few] * noise) * kept, size, hop, window=window, length=y.shape[1])
        out[few] = torch.where(kind[few] == 0, law, torch.where(kind[few] == 3, y, noisy))[:, : x.shape[1]]
    return out


def log_mels(x):
    """front_end.log_mel of a batch"""
    filters = torch.from_numpy(mel_filters().T.copy()).to(x.device)
    window, out = torch.hann_window(WINDOW, device=x.device), []
    x = F.pad(x, (0, max(0, WINDOW - x.shape[1])))
    for few in parts(x):
        spectrum = torch.fft.rfft(x[few].unfold(1, WINDOW, HOP) * window, SETTINGS["fft_size"])
        out.append(torch.log(spectrum.abs().square() @ filters + SETTINGS["log_floor"]))
    return torch.cat(out)
