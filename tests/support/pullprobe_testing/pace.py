"""What this machine gives the tests: how long to wait, and how much to do at once.

A limit in a test is meant for an idle machine as fast as the one it was written on. This module
measures the difference, at the start and all the time: how long a fixed piece of work takes, and
how long a thread that could run waits for a processor. `limit` stretches a number of seconds by
both, and `concurrent` shrinks a number of processes, so that a busy machine makes a suite slower
and not red.
"""

import collections
import contextlib
import functools
import hashlib
import os
import threading
import time

# Thread seconds that `_work` takes on the machine for which the limits were written.
REFERENCE_WORK = 0.008
WORK_SIZE = 8_000_000  # bytes
INTERVAL = 0.25  # seconds between two samples of the wait for a processor
WINDOW = 120  # seconds for which a sample counts
SPELL = 8  # samples of which the mean is a spell: one alone may be a matter of luck
# Above this, what runs now says more about the machine than about pullprobe.
STARVED = 2.5
MAX_STRETCH = 20
PATIENCE = 0.5  # seconds between two looks at the machine
WARM_UP = 2  # seconds after which the load of a new process shows


def _work():
    """Returns the seconds that a fixed piece of work computes."""
    began = time.thread_time()
    hashlib.sha256(bytes(WORK_SIZE)).digest()
    return time.thread_time() - began


def _sample():
    """Returns how many times longer a thread takes than it computes: 1 on an idle machine."""
    wall, computed = time.monotonic(), time.thread_time()
    total = 0
    for number in range(60_000):
        total += number
    computed = time.thread_time() - computed
    return max(1.0, (time.monotonic() - wall) / max(computed, 1e-4))


class Pace:
    """Samples the wait for a processor as long as the process lives."""

    def __init__(self):
        self.cores = len(os.sched_getaffinity(0))
        self.slowness = max(1.0, min(_work() for _ in range(3)) / REFERENCE_WORK)
        # Before any sample, the load of the last minute is what is known.
        load = os.getloadavg()[0] / self.cores
        self.samples = collections.deque([(time.monotonic(), max(1.0, load))])
        threading.Thread(target=self._run, daemon=True, name="pace").start()

    def _run(self):
        while True:
            time.sleep(INTERVAL)
            now = time.monotonic()
            self.samples.append((now, _sample()))
            while self.samples[0][0] < now - WINDOW:
                self.samples.popleft()

    def waits(self, since):
        return [wait for at, wait in list(self.samples) if at >= since] or [1.0]

    def mean(self, since):
        """Returns the mean wait for a processor since then."""
        waits = self.waits(since)
        return sum(waits) / len(waits)

    def worst(self, since):
        """Returns the mean wait in the worst spell since then."""
        waits = self.waits(since)
        spells = [waits[at : at + SPELL] for at in range(max(1, len(waits) - SPELL + 1))]
        return max(sum(spell) / len(spell) for spell in spells)


@functools.cache
def machine():
    return Pace()


def stretch():
    """Returns how many times longer things take here and now than on an idle, fast machine."""
    worst = machine().worst(time.monotonic() - WINDOW)
    return min(MAX_STRETCH, machine().slowness * worst)


def limit(seconds):
    """Returns the seconds to allow for what takes at most `seconds` on an idle, fast machine."""
    return seconds * stretch()


def mean_limit(seconds, since):
    """Returns the same for what ran since then and took long enough for a mean to count."""
    return seconds * min(MAX_STRETCH, machine().slowness * machine().mean(since))


def starved(since):
    """Whether what ran since then was kept from running."""
    return machine().worst(since) > STARVED


def concurrent(per_core, most):
    """Returns how many of something to run at once: at least one, at most `most`."""
    return max(1, min(most, round(machine().cores * per_core / stretch())))


class Gate:
    """Lets callers in as long as the machine keeps up; one is always let in."""

    def __init__(self, most):
        self.most, self.inside = most, 0
        self.alone = 0  # callers that are inside alone, or wait for that
        self.changed = threading.Condition()

    def _may_enter(self, alone):
        if alone:
            return self.inside == 0
        if self.alone:
            return False
        keeps_up = self.inside < self.most and not starved(time.monotonic() - WARM_UP)
        return self.inside == 0 or keeps_up

    @contextlib.contextmanager
    def enter(self, alone=False):
        with self.changed:
            self.alone += alone
            while not self._may_enter(alone):
                self.changed.wait(PATIENCE)
            self.inside += 1
        try:
            yield
        finally:
            with self.changed:
                self.inside -= 1
                self.alone -= alone
                self.changed.notify_all()
