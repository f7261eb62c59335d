# SPDX-License-Identifier: MIT
"""Bootstrap intervals: the units (speakers, files) are drawn again with replacement, a thousand times."""
import numpy as np

DRAWS = 1000


def draws(units, seed=1):
    """[DRAWS][units] how often each unit was drawn"""
    rng = np.random.default_rng(seed)
    return np.array([np.bincount(rng.integers(units, size=units), minlength=units) for _ in range(DRAWS)])


def interval(values):
    return tuple(np.nanpercentile(values, (2.5, 97.5)))


def ratio(numerator, denominator):
    """Σ numerator / Σ denominator over units, with its 95 % interval"""
    numerator, denominator = np.asarray(numerator, float), np.asarray(denominator, float)
    counts = draws(len(numerator))
    below = counts @ denominator
    values = np.divide(counts @ numerator, below, out=np.full(len(below), np.nan), where=below > 0)
    return numerator.sum() / denominator.sum(), *interval(values)


def show(figure, digits=1):
    """'4.5 (3.9 … 5.2)' of a fraction in per cent"""
    value, low, high = (100 * x for x in figure)
    return f"{value:.{digits}f} ({low:.{digits}f} … {high:.{digits}f})"


def table(title, head, rows):
    print(f"\n### {title}\n")
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head))
    for row in rows:
        print("| " + " | ".join(str(cell) for cell in row) + " |")
