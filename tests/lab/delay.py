"""Latency without netem: packets are routed into a TUN device, held for a while in user space, and handed back."""
import collections
import contextlib
import fcntl
import os
import select
import struct
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


@contextlib.contextmanager
def forwarder(namespace, milliseconds):
    """A device `delay` in `namespace`: what is sent into it comes out of it `milliseconds` later."""
    with namespace.entered():
        tun = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH', b'delay', IFF_TUN | IFF_NO_PI))
    namespace.ip('link set delay up')
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
        wait = max(0, held[0][0] - time.monotonic()) if held else 0.05
        if select.select([tun], [], [], min(wait, 0.05))[0]:
            with contextlib.suppress(BlockingIOError):
                while True:
                    held.append((time.monotonic() + seconds, os.read(tun, 65536)))
        while held and held[0][0] <= time.monotonic():
            os.write(tun, held.popleft()[1])
