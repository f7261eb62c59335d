# SPDX-License-Identifier: MIT
"""What a long stage says of itself while it works."""
import sys
import time

EVERY = 20.0  # seconds


def told(items, what, count=None):
    """the items, one by one; on standard error every 20 s how many are done"""
    count, said = len(items) if count is None else count, time.time()
    for done, item in enumerate(items):
        if time.time() - said > EVERY:
            said = time.time()
            print(f"{what}: {done} of {count}", file=sys.stderr, flush=True)
        yield item
