# SPDX-License-Identifier: MIT
"""check_data.py DATA: is the folder what the recipe needs (models/README.md, "The data")?

Prints what is in it, or everything that is wrong with it, a line each, and exits with 2. Reads tables, heads and ends of
the recordings, the whole of rooms alone: seconds."""
import collections
import csv
import math
import os
import sys

import soundfile

from conversations import RATE, Corpus
from corpora import SHARE
from prepare import SHORTEST, training_rows
from progress import told

TABLES = {
    "manifest.tsv": ("path", "corpus", "speaker", "speech", "split", "licence"),
    "segments.tsv": ("path", "start", "dur"),
    "aug.tsv": ("path", "kind", "licence"),
    "trials_dev.tsv": ("label", "path1", "start1", "dur1", "path2", "start2", "dur2", "cond", "corpus"),
}
NUMBERS = ("speech", "start", "dur", "start1", "dur1", "start2", "dur2")
LEAST = 2  # voices that a split needs
SLACK = 0.05  # seconds that an utterance may go beyond its recording


def table(data, name, wrong):
    """the rows of a table; what is missing in it goes to wrong"""
    try:
        with open(os.path.join(data, name), newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, delimiter="\t")
            missing = [column for column in TABLES[name] if column not in (reader.fieldnames or [])]
            if missing:
                wrong.append(f"{name}: no column {', '.join(missing)} (its first line has: {', '.join(reader.fieldnames or ['nothing'])})")
                return []
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as why:
        wrong.append(f"{name}: {getattr(why, 'strerror', None) or why}")
        return []
    for line, row in enumerate(rows, 2):
        for column in TABLES[name]:
            text = row[column]
            if text is None or text == "":
                wrong.append(f"{name}, line {line}: {column} is empty")
            elif column in NUMBERS and not good(text):
                wrong.append(f"{name}, line {line}: {column} is {text!r}, not a number of seconds")
    if not rows:
        wrong.append(f"{name}: has no lines")
    return rows


def good(text):
    try:
        return math.isfinite(float(text)) and float(text) >= 0
    except ValueError:
        return False


def has_end(file, frames):
    """can so many frames before its end be read? A recording that was cut off promises more in its head than it has"""
    try:
        file.seek(file.frames - frames)
        return len(file.read(frames)) == frames
    except RuntimeError:
        return False


def seconds_of(data, path, wrong, rate=RATE):
    """how long a recording is; 0 when it cannot be used, which goes to wrong"""
    try:
        with soundfile.SoundFile(os.path.join(data, path)) as file:
            if file.frames == 0:
                wrong.append(f"{path}: is empty")
                return 0.0
            if file.samplerate != rate:
                wrong.append(f"{path}: {file.samplerate} Hz; it must be {rate}")
                return 0.0
            if not has_end(file, min(file.frames, rate // 10)):
                wrong.append(f"{path}: breaks off before its end")
                return 0.0
            return file.frames / file.samplerate
    except (OSError, RuntimeError) as why:  # soundfile's errors are RuntimeErrors
        at = os.path.join(data, path)
        wrong.append(f"{path}: {'is not there' if not os.path.exists(at) else 'is empty' if not os.path.getsize(at) else why}")
        return 0.0


def check(data):
    """(what is in DATA, what is wrong with it), lines each"""
    wrong = []
    if not os.path.isdir(data):
        return [], [f"{data}: is no folder"]
    manifest, segments, aug, trials = (table(data, name, wrong) for name in TABLES)
    if wrong:
        return [], wrong
    used = [row for row in manifest if row["split"] in ("train", "dev")]
    paths = [row["path"] for row in used]
    for path, count in collections.Counter(paths).items():
        if count > 1:
            wrong.append(f"manifest.tsv: {path}: {count} lines; a recording holds one speaker, a speaker one recording")
    corpus = Corpus(data)
    length = {path: seconds_of(data, path, wrong) for path in told(list(dict.fromkeys(paths)), "check_data: recordings")}
    for path in corpus.rooms + corpus.noises:
        if seconds_of(data, path, wrong) and path in corpus.rooms and not corpus.audio(path).any():
            wrong.append(f"{path}: is silent: nothing would be left of what is said in this room")
    for path in (path for path in length if length[path]):
        mine = corpus.utterances[path]
        if not any(duration >= SHORTEST for _, duration in mine):
            wrong.append(f"segments.tsv: {path}: no utterance of {SHORTEST} s or more")
        for start, duration in mine:
            if start + duration > length[path] + SLACK:
                wrong.append(f"segments.tsv: {path}: {start} + {duration} s is beyond its end at {length[path]:.2f} s: cut off?")
                break
    known = set(paths) | {row["path"] for row in manifest}
    for side in "12":
        for path in sorted({row["path" + side] for row in trials} - known):
            wrong.append(f"trials_dev.tsv: {path}: not in manifest.tsv")
    if {row["label"] for row in trials if row["cond"] == "3s"} != {"0", "1"}:
        wrong.append("trials_dev.tsv: of cond 3s, pairs of one speaker (label 1) and of two (0) are needed")
    train = training_rows(corpus)
    drawn = [row for row in train if row["corpus"] in SHARE]
    if train and not drawn:
        wrong.append(f"manifest.tsv: no voice of train is of a corpus that batches.py draws from: {', '.join(SHARE)}")
    for split, rows in (("train", drawn), ("dev", [row for row in used if row["split"] == "dev"])):
        long = [row for row in rows if float(row["speech"]) >= 4.5]
        if len(long) < LEAST:
            wrong.append(f"manifest.tsv: {split}: {len(long)} voice{'s' * (len(long) != 1)} of 4.5 s of speech or more; {LEAST} are the least, hundreds are wanted")
    for kind, of in (("noise", corpus.noises), ("rir", corpus.rooms)):
        if not of:
            wrong.append(f"aug.tsv: nothing of kind {kind} whose licence is free (neither NC nor none)")
    found = [f"{split}: {len(rows)} voices, {sum(float(row['speech']) for row in rows) / 3600:.2f} h of speech"
             for split, rows in (("train", drawn), ("dev", [row for row in used if row["split"] == "dev"]))]
    found.append(f"{len(corpus.noises)} noises, {len(corpus.rooms)} rooms, {len(trials)} pairs")
    left = len([row for row in used if row["split"] == "train"]) - len(drawn)
    if left:
        found.append(f"left out of train: {left} voices, by their licence or because batches.py does not draw from their corpus")
    return found, wrong


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    found, wrong = check(sys.argv[1])
    for line in wrong[:20]:
        print("check_data:", line, file=sys.stderr)
    if len(wrong) > 20:
        print(f"check_data: and {len(wrong) - 20} more", file=sys.stderr)
    if wrong:
        print('check_data: models/README.md, "The data", says how the folder is laid out; collect.py makes one', file=sys.stderr)
        sys.exit(2)
    print("check_data:", "; ".join(found), file=sys.stderr)


if __name__ == "__main__":
    main()
