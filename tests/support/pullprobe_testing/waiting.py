"""Polling for a condition."""

import time

from pullprobe_testing import pace

POLL_INTERVAL = 0.02  # seconds


def wait_for(condition, seconds=30):
    """Returns the first true value of `condition()`; raises after `seconds` of an idle machine."""
    began = time.monotonic()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() - began > pace.limit(seconds):
            raise TimeoutError(f"condition not met within {seconds} s")
        time.sleep(POLL_INTERVAL)
