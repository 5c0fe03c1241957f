"""Servers of the lab that keep standing while faults change: one nginx a namespace, the VPC's resolver, strange listeners."""
import contextlib
import socket
import struct
import threading

from servers import Server
from storage import FileServer

RESOLVER_LINK_LOCAL = '169.254.169.253'


class Nginx(Server):
    """One nginx for all the addresses of a namespace."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, f'nginx-{name}', None)
        self.text, self.root = text, directory / f'nginx-{name}.d'
        self.root.mkdir(exist_ok=True)

    def command(self):
        temporary = '\n'.join(f'    {kind}_temp_path {self.root}/{kind};' for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        (self.root / 'pid').unlink(missing_ok=True)
        (self.root / 'nginx.conf').write_text(f"""
daemon off;
master_process off;
pid {self.root}/pid;
events {{}}
http {{
{temporary}
    access_log {self.root}/access.log;
    client_max_body_size 0;
    server_names_hash_bucket_size 128;
{self.text}
}}
""")
        return ['nginx', '-p', self.root, '-e', 'stderr', '-c', self.root / 'nginx.conf']

    def _listens(self):
        return (self.root / 'pid').exists() and (self.root / 'pid').read_text().strip() != ''


class Unbound(Server):
    """The VPC's resolver, at base + 2 and at 169.254.169.253."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, 'unbound', (subnet.resolver_address, 53))
        self.text, self.config = text, directory / 'unbound.conf'

    def command(self):
        self.config.write_text(f"""server:
    interface: {RESOLVER_LINK_LOCAL}
    access-control: 0.0.0.0/0 allow
    do-daemonize: no
    use-syslog: no
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{self.directory}"
    module-config: "iterator"
    do-not-query-localhost: no
    num-threads: 1
{self.text}""")
        return ['unbound', '-d', '-c', self.config]


class Dnsmasq(Server):
    """The same in dnsmasq's way."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, 'dnsmasq', (subnet.resolver_address, 53))
        self.text, self.config = text, directory / 'dnsmasq.conf'

    def command(self):
        self.config.write_text(f'no-resolv\nno-hosts\nno-poll\nbind-interfaces\nlisten-address={self.peer[0]},{RESOLVER_LINK_LOCAL}\n'
                               f'user=root\npid-file=\n{self.text}')
        return ['dnsmasq', '--keep-in-foreground', f'--conf-file={self.config}']


class MountTarget(FileServer):
    """A mount target of the file system, where NFS answers."""

    def __init__(self, directory, name, text, subnet):
        super().__init__(directory, subnet.mount_target)
        self.text = text


# RFC 5531 section 9, after the call's own id: MSG_DENIED, AUTH_ERROR, AUTH_TOOWEAK.
TOO_WEAK = bytes.fromhex('00000001 00000001 00000001 00000005')


class Listener:
    """Somebody else on a port of an address: `mute` takes no connection off its short queue, `closes` every one at once,
    `http` answers as a web server without TLS, `denies` is an NFS server that admits nobody."""

    def __init__(self, address, manner, port=443):
        self.manner = manner
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((address, port))
        self._socket.listen(5 if manner == 'mute' else 128)
        if manner != 'mute':
            threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                with connection, contextlib.suppress(OSError):
                    if self.manner == 'http':
                        connection.recv(4096)
                        connection.sendall(b'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n')
                    elif self.manner == 'denies':
                        call = connection.recv(44)
                        connection.sendall(bytes.fromhex('80000014') + call[4:8] + TOO_WEAK)
                    else:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))

    def stop(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
