# SPDX-License-Identifier: MIT
"""Prints the model card's tables: evaluate.py DATA [--rill PROGRAM] [--model FILE] [--only PART ...]

DATA holds the recordings and lists that ../../README.md names. Parts: verification, identification, conversations, made,
returns, conditions, teacher. made needs --made FOLDER, conversations written by ../recipe/conversations.py; teacher, which is left out
unless asked for, what the recipe needs: verification and identification by the recipe's teacher. Brackets hold 95 %
bootstrap intervals over speakers (pairs, identification) or recordings. Needs numpy, scipy, soundfile."""
import argparse
import os
import sys

import conditions
import diarization
import identification
import returns
import verification
from program import Program

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
PARTS = ("verification", "identification", "conversations", "made", "returns", "conditions")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--rill", default=os.path.join(ROOT, "build", "release", "demos", "rill"))
    parser.add_argument("--model")
    parser.add_argument("--made")
    parser.add_argument("--only", nargs="+", choices=(*PARTS, "teacher"), default=PARTS)
    chosen = parser.parse_args()
    if not os.path.isdir(chosen.data):
        parser.error(f"{chosen.data} is no folder")
    program = Program(chosen.rill, chosen.model)
    if "verification" in chosen.only:
        verification.report(program, chosen.data)
    if "identification" in chosen.only:
        identification.report(program, chosen.data)
    if "conversations" in chosen.only:
        diarization.report(program, os.path.join(chosen.data, "conv", "test"))
    if "made" in chosen.only and chosen.made:
        diarization.report(program, chosen.made, (1.0,))
    if "returns" in chosen.only:
        returns.report(program, chosen.data)
    if "conditions" in chosen.only:
        conditions.report(program, chosen.data)
    if "teacher" in chosen.only:
        from as_teacher import AsTeacher

        verification.report(AsTeacher(), chosen.data)
        identification.report(AsTeacher(), chosen.data)


if __name__ == "__main__":
    try:
        main()
    except (OSError, RuntimeError) as why:  # a file that is not there, or what the program says of one
        sys.exit(f"evaluate: {why}")
