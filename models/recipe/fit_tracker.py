# SPDX-License-Identifier: MIT
"""Everything the tracker needs, for a new model: fit_tracker.py MODEL CONVERSATIONS DATA OUT.safetensors
        [--keys KEYS.json] [--seconds 400] [--encoded]

CONVERSATIONS was written by conversations.py (train, dev). Encodes them, makes the tracker's tensors (tracker_backend.py),
tunes its numbers and calibrates its scores (tune_tracker.py, calibrate_voices.py), and stamps all of it, with KEYS.json (the numbers
to start from; model_id, licence), onto MODEL. Writes OUT.safetensors and OUT.json. One core; --encoded takes the steps
that are there. Needs numpy, scipy, and the program and cached_tracker built (BUILD)."""
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
    print(f"{os.path.basename(str(command[1 if command[0] == sys.executable else 0]))}: {time.time() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("conversations")
    parser.add_argument("data")
    parser.add_argument("out")
    parser.add_argument("--keys", default=os.path.join(HERE, "..", "speaker-v0.json"))
    parser.add_argument("--seconds", type=float, default=400)
    parser.add_argument("--encoded", action="store_true")
    parser.add_argument("--build", default=os.path.join(ROOT, "build", "release"))
    parser.add_argument("--extra", nargs="*", default=[], help="further folders of dev conversations")
    chosen = parser.parse_args()
    tracker, rill = (os.path.join(chosen.build, *of) for of in (("models", "cached_tracker"), ("demos", "rill")))
    train, dev = (os.path.join(chosen.conversations, name) for name in ("train", "dev"))
    stem = os.path.splitext(chosen.out)[0]
    backend, length, voices, tuned, keys = (
        stem + end for end in (".backend.npz", ".length.json", ".voices.json", ".tuned.json", ".json")
    )
    if not chosen.encoded:
        for folder in (train, dev, *chosen.extra):
            run(tracker, "encode", chosen.model, folder)
    run(sys.executable, os.path.join(HERE, "tracker_backend.py"), train, backend, length)
    run(sys.executable, os.path.join(HERE, "calibrate_voices.py"), rill, chosen.model, chosen.data, voices)
    stamp = os.path.join(HERE, "..", "stamp.py")
    run(sys.executable, stamp, chosen.model, chosen.out, chosen.keys, length, voices, backend)
    tune = (sys.executable, os.path.join(HERE, "tune_tracker.py"), tracker, chosen.out, dev, *chosen.extra, tuned)
    run(*tune, "--seconds", chosen.seconds)
    merged = {}
    for path in (chosen.keys, length, voices, tuned):
        with open(path) as file:
            for key, value in json.load(file).items():
                merged[key] = {**merged.get(key, {}), **value} if isinstance(value, dict) else value
    merged["tracker"].update(json.load(open(voices))["tracker"] | json.load(open(length))["tracker"])
    with open(keys, "w") as file:
        json.dump(merged, file, indent=2)
        file.write("\n")
    run(sys.executable, stamp, chosen.model, chosen.out, keys, backend)
