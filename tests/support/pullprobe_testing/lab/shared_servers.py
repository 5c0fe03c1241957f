"""Servers of a VPC of the lab.

They keep running while faults change, as long as their configuration does not.
"""

import contextlib
import json
import socket
import struct
import sys
import threading

from pullprobe_testing import servers
from pullprobe_testing.binaries import ROOT
from pullprobe_testing.lab import lying_resolver, middlebox
from pullprobe_testing.lab.subnet import RESOLVER_IPV6

RESOLVER_LINK_LOCAL = "169.254.169.253"


class SharedNginx(servers.Nginx):
    """One nginx for all the addresses of a namespace."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, name, None)
        self.text = text

    def configuration(self):
        return self.text

    def command(self):
        (self.root / "pid").unlink(missing_ok=True)
        return super().command()

    def _listens(self):
        pid = self.root / "pid"
        return pid.exists() and pid.read_text().strip() != ""


class VpcResolver(servers.Unbound):
    """unbound as the VPC's resolver, at base + 2 and at 169.254.169.253."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(
            directory, lying_resolver.UPSTREAM if subnet.lie else subnet.resolver_address
        )
        self.text, self.more = text, [] if subnet.lie else [RESOLVER_LINK_LOCAL]
        if subnet.ipv6 == "only":
            self.more.append(RESOLVER_IPV6)

    def interfaces(self):
        return super().interfaces() + self.more

    def configuration(self):
        return self.text


class Dnsmasq(servers.Server):
    """dnsmasq as the VPC's resolver."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, "dnsmasq", (subnet.resolver_address, 53))
        self.text, self.config = text, directory / "dnsmasq.conf"

    def command(self):
        lines = [
            "no-resolv",
            "no-hosts",
            "no-poll",
            "bind-interfaces",
            f"listen-address={self.peer[0]},{RESOLVER_LINK_LOCAL}",
            "user=root",
            "pid-file=",
        ]
        self.config.write_text("\n".join(lines) + "\n" + self.text)
        return ["dnsmasq", "--keep-in-foreground", f"--conf-file={self.config}"]


class PythonServer(servers.Server):
    """A server of this package, as a process of its own."""

    def environment(self):
        return {**super().environment(), "PYTHONPATH": str(ROOT / "tests" / "support")}

    def module(self, module, *arguments):
        return [sys.executable, "-B", "-m", f"pullprobe_testing.lab.{module}", *arguments]


class MiddleboxServer(PythonServer):
    """middlebox.py in the router."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, name, ("127.0.0.1", middlebox.PORT))
        self.text = text

    def command(self):
        return self.module("middlebox", json.dumps(json.loads(self.text)[1]))


class ResolverInFront(PythonServer):
    """lying_resolver.py at the resolver's addresses, in front of unbound."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, name, (subnet.resolver_address, 53))
        self.text = text

    def command(self):
        lie, address, names = self.text.split("|")
        addresses = f"{address},{RESOLVER_LINK_LOCAL}"
        return self.module("lying_resolver", lie.split()[1], addresses, names)


class MountTarget(servers.NfsServer):
    """An EFS mount target where NFS answers."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, subnet.mount_target)
        self.text = text


class UnexpectedListener:
    """Another server in place of the expected one, on one port of an address.

    mute     does not accept connections from its short queue
    closes   resets every connection at once
    http     answers as a web server without TLS
    denies   is an NFS server that refuses every caller
    """

    def __init__(self, address, manner, port=443):
        self.manner = manner
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        self._socket.listen(5 if manner == "mute" else 128)
        if manner != "mute":
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    self._answer(connection)

    def _answer(self, connection):
        if self.manner == "http":
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        elif self.manner == "denies":
            call = connection.recv(servers.RPC_NULL_CALL_LENGTH)
            connection.sendall(servers.rpc_denial(call))
        else:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def stop(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
