"""Polling for a condition."""

import time

POLL_INTERVAL = 0.02  # seconds


def wait_for(condition, seconds=30):
    """Returns the first true value of `condition()`; raises after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise TimeoutError(f"condition not met within {seconds} s")
        time.sleep(POLL_INTERVAL)
