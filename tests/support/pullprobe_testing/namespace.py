"""Linux network namespaces: a private network for this process, or one as an object.

`enter` moves the calling process into a new network and mount namespace. Everything it starts
follows, so tests can own 10.0.0.2:53 or 169.254.170.2:80 while the machine keeps its own network
unchanged.
"""

import contextlib
import ctypes
import os
import pathlib
import socket
import struct
import subprocess
import threading

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, SIGKILL = 1, 9
_libc = ctypes.CDLL(None, use_errno=True)
os.environ["PATH"] += ":/usr/sbin:/sbin"  # nft, nginx, unbound: not in a Debian user's PATH

FILTER = """
table inet lab {
    set silent { type ipv4_addr; }
    chain input { type filter hook input priority 0; ip daddr @silent drop; }
}
"""


class Namespace:
    """A network namespace that exists as long as this object or a process in it."""

    def __init__(self):
        def unshare():
            _call(_libc.unshare, CLONE_NEWNET)
            self.fd = _current_namespace()

        thread = threading.Thread(target=unshare)
        thread.start()
        thread.join()
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"
        with self.entered():
            sysctl("net/ipv4/conf/all/rp_filter", 0)
            sysctl("net/ipv4/conf/default/rp_filter", 0)
            sysctl("net/ipv6/conf/default/accept_dad", 0)
            # Each run stands for a new task: no port may stay in TIME_WAIT from the run before.
            sysctl("net/ipv4/tcp_max_tw_buckets", 0)
            run("ip", "link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self):
        """Puts the calling thread, and what it starts, into this namespace."""
        outside = _current_namespace()
        try:
            _call(_libc.setns, self.fd, CLONE_NEWNET)
            yield
        finally:
            _call(_libc.setns, outside, CLONE_NEWNET)
            os.close(outside)

    def ip(self, *lines, force=False):
        """Runs commands of `ip`, one per line. `force` goes on after one that fails."""
        batch = "\n".join(lines) + "\n"
        with self.entered():
            if force:
                command = ["ip", "-force", "-batch", "-"]
                subprocess.run(command, input=batch, text=True, capture_output=True)
            else:
                run("ip", "-batch", "-", stdin=batch)

    def nft(self, rules):
        """Replaces all rules."""
        with self.entered():
            run("nft", "-f", "-", stdin="flush ruleset\n" + rules)


def enter(addresses, resolv_conf):
    """Moves this process into an empty network: `addresses` on loopback, its own resolv.conf."""
    if os.geteuid() != 0:
        raise PermissionError("a network namespace needs root: run this with sudo")
    _call(_libc.unshare, CLONE_NEWNET | CLONE_NEWNS)
    _call(_libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    bind(resolv_conf, "/etc/resolv.conf")
    run("ip", "link", "set", "lo", "up")
    for address in addresses:
        run("ip", "address", "add", f"{address}/32", "dev", "lo")
    run("nft", "-f", "-", stdin=FILTER)


def bind(source, over):
    """Shows `source` in place of `over`, in this mount namespace only."""
    target = os.path.realpath(over)
    _call(_libc.mount, os.fsencode(source), os.fsencode(target), None, MS_BIND, None)


@contextlib.contextmanager
def extra_address(address):
    """Adds one more address to loopback."""
    run("ip", "address", "add", f"{address}/32", "dev", "lo")
    try:
        yield
    finally:
        run("ip", "address", "delete", f"{address}/32", "dev", "lo")


@contextlib.contextmanager
def silent(*addresses):
    """Drops packets to `addresses` silently, as a security group does."""
    elements = "{ " + ", ".join(addresses) + " }"
    run("nft", "add", "element", "inet", "lab", "silent", elements)
    try:
        yield
    finally:
        run("nft", "delete", "element", "inet", "lab", "silent", elements)


def sysctl(name, value):
    """Sets a kernel parameter if this kernel has it."""
    path = pathlib.Path("/proc/sys") / name
    if path.exists():
        path.write_text(str(value))


def forget_connections():
    """Empties the connection tracking of the current namespace (ctnetlink, as `conntrack -F` does).

    A connection that a fault cut stays established for days, and a stateful filter would let a
    later one from the same port pass.
    """
    netfilter, delete, request_and_acknowledge = 12, (1 << 8) | 2, 0x5
    body = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    size = 16 + len(body)
    message = struct.pack("=IHHII", size, delete, request_and_acknowledge, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter) as netlink:
        netlink.send(message)
        _, kind, *_, error = struct.unpack_from("=IHHIIi", netlink.recv(4096))
    assert (kind, error) == (2, 0), f"ctnetlink refused: {error}"  # NLMSG_ERROR 0 acknowledges


def die_with_parent():
    """Ends this process when its parent ends. For `preexec_fn`: a killed run leaves no server."""
    _libc.prctl(PR_SET_PDEATHSIG, SIGKILL)


def run(*command, stdin=None):
    """Runs a command that has to succeed and returns its output; raises with its error text."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode != 0:
        words = done.stderr.strip() or done.stdout.strip()
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}: {words}")
    return done.stdout


def _current_namespace():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _call(function, *arguments):
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")
