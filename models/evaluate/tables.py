# SPDX-License-Identifier: MIT
"""Tables of DATA: UTF-8, separated by tabs, the columns' names first."""
import csv


def read_table(path, *columns):
    """a table's rows by column; RuntimeError names the columns that it lacks of those that are asked for"""
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        lacking = [name for name in columns if name not in (reader.fieldnames or [])]
        if lacking:
            raise RuntimeError(f"{path} has no column {', '.join(lacking)}: its first line has {', '.join(reader.fieldnames or ['nothing'])}")
        out = list(reader)
    short = next((number for number, row in enumerate(out, 2) if any(row[name] is None for name in columns)), None)
    if short:
        raise RuntimeError(f"{path}, row {short}: columns are missing")
    return out
