# SPDX-License-Identifier: MIT
"""What lies between a voice and a recording of it: rooms, telephones, codecs, and what a microphone hears that nobody says."""
import subprocess

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

RATE = 16000

CODECS = [  # container, encoder's options, sample rate
    ("gsm", ["-c:a", "libgsm"], 8000),
    ("mulaw", ["-c:a", "pcm_mulaw"], 8000),
    ("ogg", ["-c:a", "libopus", "-b:a", "8k"], 16000),
    ("ogg", ["-c:a", "libopus", "-b:a", "16k"], 16000),
    ("mp3", ["-c:a", "libmp3lame", "-b:a", "24k"], 16000),
    ("mp3", ["-c:a", "libmp3lame", "-b:a", "48k"], 16000),
    ("g722", ["-c:a", "g722"], 16000),
    ("ogg", ["-c:a", "libspeex", "-b:a", "8k"], 8000),
]
GSM = CODECS[0]


def made_room(rng):
    """A direct path, a few early reflections and a tail of decaying noise: T60 0.15 to 1 s, darker as it decays."""
    t60, length = rng.uniform(0.15, 1.0), 12000
    t = np.arange(length) / RATE
    bright = rng.normal(0, 1, length) * 10 ** (-3 * t / t60)
    dark = np.convolve(bright, np.ones(6) / 2.5, "same")
    mix = np.clip(t / (0.3 * t60), 0, 1)
    tail = (bright * (1 - mix) + dark * mix) * (t > 0.003)
    for _ in range(rng.integers(3, 8)):
        tail[rng.integers(20, 500)] += rng.normal(0, 3)
    ratio = 10 ** (rng.uniform(-4, 14) / 20)  # direct to reverberant
    h = tail / np.sqrt((tail**2).sum()) / ratio
    h[0] += 1
    return h.astype(np.float32)


def room_response(corpus, rng, longest=12016):
    """of a made room or of a real one, [longest], of energy 1"""
    if rng.random() < 0.5:
        h = made_room(rng)
    else:
        h = corpus.audio(corpus.rooms[rng.integers(len(corpus.rooms))])
        peak = int(np.argmax(abs(h)))
        h = h[max(0, peak - 16) :][:longest]
    return np.pad(h / np.sqrt((h**2).sum()), (0, longest - len(h))).astype(np.float32)


def in_room(x, corpus, rng):
    return fftconvolve(x, room_response(corpus, rng))[: len(x)].astype(np.float32)


def through_codec(x, codec):
    container, options, rate = codec
    raw = ["-f", "s16le", "-ac", "1"]
    quiet = ["ffmpeg", "-nostdin", "-v", "error"]
    pcm = (np.clip(x, -1, 1) * 32767).astype("<i2").tobytes()
    # -nostdin closes the terminal only: standard input is the pipe
    coded = subprocess.run(
        quiet + raw + ["-ar", str(RATE), "-i", "pipe:0", "-ar", str(rate)] + options + ["-f", container, "pipe:1"],
        input=pcm, stdout=subprocess.PIPE, check=True).stdout
    again = ["-ar", str(rate)] if container in ("mulaw",) else []
    decoded = subprocess.run(
        quiet + ["-f", container] + again + ["-i", "pipe:0", "-ar", str(RATE)] + raw + ["pipe:1"],
        input=coded, stdout=subprocess.PIPE, check=True).stdout
    y = np.frombuffer(decoded, "<i2").astype(np.float32) / 32768
    lag = best_lag(x, y)
    y = y[lag:] if lag >= 0 else np.pad(y, (-lag, 0))
    return np.pad(y, (0, max(0, len(x) - len(y))))[: len(x)]


def best_lag(x, y):
    """how many samples y comes later than x"""
    n = 1 << 19
    x, y = (np.pad(v[:n], (0, max(0, n - len(v)))) for v in (x, y))
    correlation = np.fft.irfft(np.fft.rfft(y, 2 * n) * np.conj(np.fft.rfft(x, 2 * n)))
    correlation[8000:-8000] = 0
    lag = int(np.argmax(abs(correlation)))
    return lag if lag < n else lag - 2 * n


def knocks(corpus, samples, rng):
    """Adds short noises, about one in six seconds, as loud as what is said."""
    loud = np.sqrt((samples[abs(samples) > 1e-3] ** 2).mean())
    for _ in range(rng.poisson(len(samples) / RATE / 6)):
        noise = corpus.audio(corpus.noises[rng.integers(len(corpus.noises))])
        length = int(rng.uniform(0.05, 0.8) * RATE)
        begin, at = rng.integers(max(1, len(noise) - length)), rng.integers(len(samples) - length)
        x = noise[begin : begin + length] * np.hanning(len(noise[begin : begin + length]))
        level = 10 ** (rng.uniform(-15, 5) / 20) * loud / max(1e-6, np.sqrt((x**2).mean()))
        samples[at : at + len(x)] += (x * level).astype(np.float32)


def over_telephone(samples, rng):
    """About 300 to 3400 Hz through a microphone that is not flat, and 8 bits of µ-law."""
    band = butter(4, [rng.uniform(150, 400), rng.uniform(2800, 3700)], "bandpass", fs=RATE, output="sos")
    hertz = np.linspace(0, RATE / 2, 65)
    curve = sum(rng.normal(0, 4 / k) * np.cos(np.pi * k * hertz / 4000 + rng.uniform(0, 6.3)) for k in range(1, 5))
    filter = np.roll(np.fft.irfft(10 ** (curve / 20)), 64) * np.hanning(128)
    x = sosfilt(band, fftconvolve(samples, filter, "same"))
    scale = max(1e-6, np.percentile(abs(x), 99.9))
    coded = np.rint(127 * np.sign(x) * np.log1p(255 * np.minimum(1, abs(x) / scale)) / np.log(256))
    return (np.sign(coded) * np.expm1(abs(coded) / 127 * np.log(256)) / 255 * scale).astype(np.float32)


def breaths(samples, rng):
    """Adds noises of a headset: breaths and rustles, about one in three seconds, 10 to 35 dB below what is said."""
    loud = np.sqrt((samples[abs(samples) > 1e-3] ** 2).mean())
    for _ in range(rng.poisson(len(samples) / RATE / 3)):
        length = int(rng.uniform(0.1, 0.8) * RATE)
        low = 10 ** rng.uniform(1.7, 3.3)
        band = butter(1, [low, min(7500, low * rng.uniform(2, 12))], "bandpass", fs=RATE, output="sos")
        x, at = sosfilt(band, rng.normal(0, 1, length)) * np.hanning(length), rng.integers(len(samples) - length)
        x *= 10 ** (-rng.uniform(10, 35) / 20) * loud / np.sqrt((x**2).mean())
        samples[at : at + length] += x.astype(np.float32)


def hum(length, rng):
    """what mains and machines leave in a recording: harmonics of 50 or 60 Hz, or one whine, over a little hiss; its mean
    square is 1"""
    time = np.arange(length) / RATE
    x = rng.normal(0, 10 ** (-rng.uniform(1, 3)), length)
    if rng.random() < 0.8:
        lowest, tilt, highest = rng.choice([50, 60]) * (1 + rng.normal(0, 1e-3)), rng.uniform(0.02, 0.8), rng.uniform(60, 4000)
    else:
        lowest, tilt, highest = 100 * np.exp(rng.uniform(0, 4)), 1, 7000
    for k in range(1, max(2, 1 + int(highest / lowest))):
        x += np.exp(-tilt * k) * rng.gamma(1) * np.cos(2 * np.pi * (k * lowest * time + rng.random()))
    return x / np.sqrt((x**2).mean())


def call(length, rng):
    """what machines call with: one to three tones that stand, glide or warble, in bursts or without end; its mean square is 1"""
    time, x = np.arange(length) / RATE, np.zeros(length)
    glide = rng.random() < 0.4
    swing, rate = rng.uniform(0.1, 1) * glide, 10 ** rng.uniform(-1, 1)
    for _ in range(rng.integers(1, 4)):
        hertz = 80 * np.exp(rng.uniform(0, 4.3)) * 2 ** (swing * np.sin(2 * np.pi * rate * time))
        wave = np.sin(2 * np.pi * np.cumsum(hertz) / RATE)
        x += rng.gamma(2) * (np.sign(wave) if rng.random() < 0.2 else wave)
    if rng.random() < 0.6:
        period, share = 10 ** rng.uniform(-0.8, 0.6), rng.uniform(0.2, 0.8)
        x *= (time + rng.uniform(0, period)) % period < share * period
    x += rng.normal(0, 10 ** (-rng.uniform(2, 4)), length)
    return x / np.sqrt((x**2).mean())
