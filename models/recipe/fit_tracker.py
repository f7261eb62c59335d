# SPDX-License-Identifier: MIT
"""Everything the tracker needs, for a new model: fit_tracker.py MODEL CONVERSATIONS DATA OUT.safetensors
        [--keys KEYS.json] [--name NAME] [--licence TEXT] [--seconds 400] [--real NAME ...]

CONVERSATIONS was written by conversations.py (train, dev). Encodes them, and of those of
dev a copy each at 48 kHz and 16 bits, so that no number is chosen that tells a copy otherwise; makes the
tracker's tensors (tracker_backend.py), tunes its numbers and calibrates its scores (tune_tracker.py, calibrate_voices.py), and stamps
all of it, with KEYS.json (the numbers to start from; model_id, licence, unless --name gives others), onto MODEL. --real names recordings of
DATA/conv/test that are given up for this, as one more style. Writes OUT.safetensors and OUT.json, and leaves what it worked with in
OUT.work: what is encoded there is not encoded again, unless MODEL is newer. One core. Needs numpy, scipy, ffmpeg, and rill and cached_tracker
built."""
import argparse
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.join(HERE, "..", "..")


def run(*command):
    begin = time.time()
    subprocess.run([str(part) for part in command], check=True)
    name = command[1] if command[0] == sys.executable else command[0]
    print(f"{os.path.basename(str(name))}: {time.time() - begin:.0f} s", flush=True)


def link(source, name, folder, as_name):
    for ending in (".wav", ".flac", ".rttm"):
        at, to = os.path.join(source, name + ending), os.path.join(folder, as_name + ending)
        if os.path.exists(at) and not os.path.exists(to):
            os.symlink(os.path.abspath(at), to)


def copy(folder):
    """folder/copies/NAME.wav: what a player or an editor makes of each recording, another rate, other rounding"""
    copies = os.path.join(folder, "copies")
    os.makedirs(copies, exist_ok=True)
    for name in sorted(os.listdir(folder)):
        stem, ending = os.path.splitext(name)
        made = os.path.join(copies, stem + ".wav")
        if ending in (".wav", ".flac") and not os.path.exists(made):
            command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", os.path.join(folder, name), "-ar", "48000"]
            subprocess.run([*command, "-c:a", "pcm_s16le", made], check=True)
    return copies


def merge(*paths):
    """the objects of several files, an inner object's keys put together, the last one wins"""
    out = {}
    for path in paths:
        with open(path) as file:
            for key, value in json.load(file).items():
                out[key] = {**out.get(key, {}), **value} if isinstance(value, dict) else value
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("conversations")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--keys", default=os.path.join(HERE, "..", "speaker-v1.json"))
    parser.add_argument("--name", help="model_id, in place of that in KEYS.json, and of its licence")
    parser.add_argument("--licence", default="not stated", help="with --name")
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--real", nargs="*", default=[])
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    chosen = parser.parse_args()
    tracker, rill = (os.path.join(chosen.build, *of) for of in (("models", "cached_tracker"), ("demos", "rill")))
    stem = os.path.splitext(chosen.out)[0]
    work, stamp = stem + ".work", os.path.join(HERE, "..", "stamp.py")
    train, dev = (os.path.join(work, name) for name in ("train", "dev"))
    backend, length, voices, tuned = (
        os.path.join(work, name) for name in ("backend.npz", "length.json", "voices.json", "tuned.json")
    )
    for source, folder in (("train", train), ("dev", dev)):
        os.makedirs(folder, exist_ok=True)
        for name in sorted(os.listdir(os.path.join(chosen.conversations, source))):
            if name.endswith(".rttm"):
                link(os.path.join(chosen.conversations, source), name[:-5], folder, name[:-5])
    for number, name in enumerate(chosen.real):
        link(os.path.join(chosen.data, "conv", "test"), name, dev, f"real{number}")
    for folder in (dev, train, copy(dev)):
        run(tracker, "encode", chosen.model, folder)
    if chosen.name:
        named, chosen.keys = {**merge(chosen.keys), "model_id": chosen.name, "licence": chosen.licence}, os.path.join(work, "keys.json")
        with open(chosen.keys, "w") as file:
            json.dump(named, file)
    run(sys.executable, os.path.join(HERE, "tracker_backend.py"), train, backend, length)
    run(sys.executable, os.path.join(HERE, "calibrate_voices.py"), rill, chosen.model, chosen.data, voices)
    run(sys.executable, stamp, chosen.model, chosen.out, chosen.keys, length, voices, backend)
    run(sys.executable, os.path.join(HERE, "tune_tracker.py"), tracker, chosen.out, dev, tuned, "--seconds", chosen.seconds)
    keys = merge(chosen.keys, tuned, length, voices)
    with open(stem + ".json", "w") as file:
        json.dump(keys, file, indent=2)
        file.write("\n")
    run(sys.executable, stamp, chosen.model, chosen.out, stem + ".json", backend)
