"""Latency without netem: a TUN device whose packets are held in user space and then handed back."""

import collections
import contextlib
import fcntl
import os
import select
import struct
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
POLL_INTERVAL = 0.05  # seconds
PACKET_SIZE = 65536  # bytes


@contextlib.contextmanager
def delaying_device(namespace, milliseconds):
    """Adds a device `delay` to `namespace` that returns every packet `milliseconds` later."""
    with namespace.entered():
        tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"delay", IFF_TUN | IFF_NO_PI))
    namespace.ip("link set delay up")
    end = threading.Event()
    thread = threading.Thread(target=_forward, args=(tun, milliseconds / 1000, end), daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
        os.close(tun)


def _forward(tun, seconds, end):
    held = collections.deque()
    while not end.is_set():
        wait = max(0, held[0][0] - time.monotonic()) if held else POLL_INTERVAL
        if select.select([tun], [], [], min(wait, POLL_INTERVAL))[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    held.append((time.monotonic() + seconds, os.read(tun, PACKET_SIZE)))
        while held and held[0][0] <= time.monotonic():
            os.write(tun, held.popleft()[1])
