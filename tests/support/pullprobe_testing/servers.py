"""Real servers as child processes: unbound, nginx, moto_server, docker-registry and nfs-ganesha.

The only server written here is the task's metadata and credentials endpoint, for which there is no
package.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from pullprobe_testing import pace
from pullprobe_testing.loopback_http import Handler, LoopbackServer
from pullprobe_testing.namespace import die_with_parent

START_TIMEOUT = 60  # seconds; the slowest, moto on a busy machine, takes about ten
REQUIRED_PROGRAMS = "unbound nginx docker-registry ganesha.nfsd ip nft openssl unshare".split()


def is_late(began):
    return time.monotonic() - began > pace.limit(START_TIMEOUT)


class Server:
    """A child process that listens on `peer` and logs to `<name>.log`.

    It can be stopped and restarted.
    """

    begin = staticmethod(die_with_parent)  # called in the child

    def __init__(self, directory, name, peer):
        self.directory, self.name, self.peer = directory, name, peer
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        """Returns only what the server needs: no proxy or CA bundle of the machine may reach it."""
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory),
            "LANG": "C.UTF-8",
        }

    def start(self):
        log = (self.directory / f"{self.name}.log").open("ab")
        self.process = subprocess.Popen(
            self.command(),
            env=self.environment(),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=self.begin,
        )
        return self

    def ready(self):
        """Waits until the server listens, or raises with the end of its log if it ended instead."""
        began = time.monotonic()
        while not self._listens():
            if self.process.poll() is not None or is_late(began):
                log = (self.directory / f"{self.name}.log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.name} does not listen on {self.peer}:\n{log}")
            time.sleep(0.01)
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    close = stop

    def restart(self):
        self.stop()
        self.start().ready()

    @contextlib.contextmanager
    def stopped(self):
        """Stops the server for a while: connections are refused."""
        self.stop()
        try:
            yield
        finally:
            self.start().ready()

    def _listens(self):
        with socket.socket() as trial:
            trial.settimeout(1)
            return trial.connect_ex(self.peer) == 0


class Unbound(Server):
    """unbound as a resolver that only knows the zones of `configuration()`."""

    def __init__(self, directory, address):
        super().__init__(directory, "unbound", (address, 53))
        self.config = directory / "unbound.conf"

    def interfaces(self):
        return [self.peer[0]]

    def configuration(self):
        """Returns further lines of the `server` clause, and clauses after it."""
        raise NotImplementedError

    def command(self):
        interfaces = "".join(f"    interface: {address}\n" for address in self.interfaces())
        self.config.write_text(f"""server:
{interfaces}\
    access-control: 0.0.0.0/0 allow
    access-control: ::/0 allow
    do-daemonize: no
    use-syslog: no
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{self.directory}"
    module-config: "iterator"
    do-not-query-localhost: no
    num-threads: 1
{self.configuration()}
""")
        return ["unbound", "-d", "-c", self.config]


class Dns(Unbound):
    """The VPC's resolver. It answers NXDOMAIN for every name outside the zones it is given.

    Each service has its own zone that answers for the name and everything under it, as the private
    zone of an interface VPC endpoint does. A zone with no address (`[]`) is a private zone without
    records.
    """

    PUBLIC_SOA = "SOA dns-external-master.amazon.com. root.amazon.com. 2026112301 180 60 3024000 60"
    PRIVATE_SOA = "SOA ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 60"

    def __init__(self, directory, address, zones):
        super().__init__(directory, address)
        self.zones = zones  # name -> its addresses

    def configuration(self):
        zones = [zone(".", "static"), zone("amazonaws.com.", "static", self.PUBLIC_SOA)]
        for name, addresses in self.zones.items():
            kind = "redirect" if addresses else "static"
            records = [f"A {address}" for address in addresses]
            zones.append(zone(f"{name}.", kind, self.PRIVATE_SOA, *records))
        return "\n".join(zones)

    @contextlib.contextmanager
    def with_zones(self, changes):
        """Changes zones for a while: name -> addresses; `[]` has no records, `None` removes it."""
        before = self.zones
        changed = {**before, **changes}
        self.zones = {name: found for name, found in changed.items() if found is not None}
        self.restart()
        try:
            yield
        finally:
            self.zones = before
            self.restart()


def zone(name, kind, *records):
    """Returns unbound's lines for a local zone and the records at its apex."""
    data = [f'    local-data: "{name} 60 IN {record}"' for record in records]
    return "\n".join([f'    local-zone: "{name}" {kind}', *data])


class Nginx(Server):
    """nginx with the `http` clauses of `configuration()`."""

    def __init__(self, directory, name, peer):
        super().__init__(directory, f"nginx-{name}", peer)
        self.root = directory / f"{self.name}.d"
        self.root.mkdir(exist_ok=True)
        self.access_log = self.root / "access.log"

    def configuration(self):
        raise NotImplementedError

    def command(self):
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"    {kind}_temp_path {self.root}/{kind};" for kind in kinds)
        (self.root / "nginx.conf").write_text(f"""
daemon off;
master_process off;
pid {self.root}/pid;
events {{}}
http {{
{temporary}
    log_format requests '$status $request_method $host $uri';
    access_log {self.access_log} requests;
    client_max_body_size 0;
    server_names_hash_bucket_size 128;
    keepalive_timeout 60s;
{self.configuration()}
}}
""")
        return ["nginx", "-p", self.root, "-e", "stderr", "-c", self.root / "nginx.conf"]


class TlsServer(Nginx):
    """nginx in front of one service: its address, its certificate, and its `location` clauses."""

    def __init__(self, directory, name, listen, certificate, locations):
        super().__init__(directory, name, (listen, 443))
        self.certificate, self.locations = certificate, locations

    def configuration(self):
        chain, key = self.certificate
        return f"""
    server {{
        listen {self.peer[0]}:443 ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto https;
        proxy_buffering off;
{self.locations}
    }}"""

    def requests(self):
        """Returns the requests so far, each as `status method host path`."""
        return self.access_log.read_text().splitlines()

    @contextlib.contextmanager
    def replaced_by(self, certificate=None, locations=None):
        """Gives the server another certificate or other `location` clauses for a while."""
        before = self.certificate, self.locations
        self.certificate = certificate or self.certificate
        self.locations = locations or self.locations
        self.restart()
        try:
            yield
        finally:
            self.certificate, self.locations = before
            self.restart()


class Moto(Server):
    """moto_server: ECR, Logs, Secrets Manager, SSM, IAM, STS, S3 and more."""

    def __init__(self, directory, name, port):
        super().__init__(directory, f"moto-{name}", ("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{port}"

    def command(self):
        port = str(self.peer[1])
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory):
        """Runs one on a free port for as long as the block lasts."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = cls(directory, "aws", port)
        try:
            yield server.start().ready()
        finally:
            server.stop()

    def reset(self):
        """Empties every account."""
        self.post("reset")

    def post(self, path, content=b"", headers=None):
        """Sends a request to moto's own API."""
        request = urllib.request.Request(f"{self.url}/moto-api/{path}", content, headers or {})
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()


class Registry(Server):
    """Debian's docker-registry with its layers in S3: it redirects a blob to a pre-signed S3 URL.

    It signs for the public S3 name but connects to S3 privately (`s3_address` in its own
    /etc/hosts), as ECR does: what a test does to the subnet's path to S3 must not reach the
    registry.
    """

    def __init__(self, directory, port, bucket, s3_host, s3_address, trust, name="docker-registry"):
        super().__init__(directory, name, ("127.0.0.1", port))
        self.trust = trust
        self.url = f"http://127.0.0.1:{port}"
        self.hosts = directory / f"{name}.hosts"
        self.hosts.write_text(f"127.0.0.1 localhost\n{s3_address} {bucket}.{s3_host} {s3_host}\n")
        self.config = directory / f"{name}.config.json"
        # No `regionendpoint`: with one the driver puts the bucket into the path of its URLs, and
        # ECR has it in the host name.
        s3 = {
            "region": "us-east-1",
            "bucket": bucket,
            "accesskey": "registry",
            "secretkey": "registry",
        }
        storage = {"cache": {"blobdescriptor": "inmemory"}, "s3": s3}
        self.config.write_text(registry_configuration(port, storage))

    def command(self):
        script = 'mount --bind "$1" /etc/hosts && exec docker-registry serve "$2"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", self.hosts, self.config]

    def environment(self):
        return {
            **super().environment(),
            "SSL_CERT_FILE": str(self.trust),
            "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional",
        }


def registry_configuration(port, storage, **more):
    """Returns the configuration of docker-registry: YAML, of which JSON is a part."""
    base = {"version": 0.1, "log": {"level": "info"}, "http": {"addr": f"127.0.0.1:{port}"}}
    return json.dumps({**base, "storage": storage, **more})


class NfsServer(Server):
    """nfs-ganesha, speaking NFS version 4 as an EFS mount target does.

    It exports nothing: whether NFS answers does not depend on exports.
    """

    def __init__(self, directory, address):
        super().__init__(directory, "nfs-ganesha", (address, 2049))

    def command(self):
        recovery, config = self.directory / "ganesha", self.directory / "ganesha.conf"
        recovery.mkdir(exist_ok=True)
        config.write_text(f"""
NFS_CORE_PARAM {{
    NFS_Port = 2049;
    Bind_addr = {self.peer[0]};
    Protocols = 4;
    Enable_UDP = false;
    Enable_NLM = false;
    Enable_RQUOTA = false;
}}
NFSv4 {{ Graceless = true; RecoveryBackend = "fs"; RecoveryRoot = "{recovery}"; }}
LOG {{ Default_Log_Level = EVENT; }}
""")
        pid = self.directory / "ganesha.pid"
        return ["ganesha.nfsd", "-F", "-L", "/dev/stderr", "-f", config, "-p", pid]


# An RPC reply that refuses the caller, after the call's own id: MSG_DENIED, AUTH_ERROR,
# AUTH_TOOWEAK (RFC 5531, section 9).
RPC_AUTH_TOO_WEAK = bytes.fromhex("00000001 00000001 00000001 00000005")
RPC_LAST_FRAGMENT = bytes.fromhex("80000014")
RPC_NULL_CALL_LENGTH = 44  # bytes


def rpc_denial(call):
    """Returns the reply of an RPC server that refuses this call."""
    return RPC_LAST_FRAGMENT + call[4:8] + RPC_AUTH_TOO_WEAK


class TaskEndpoint:
    """169.254.170.2 as a task sees it: its credentials and its metadata (version 4).

    `documents` maps paths to JSON values; requests under a path of `hanging` are never answered.
    """

    def __init__(self, address, documents):
        self.documents = documents
        self.hanging = set()
        self._release = threading.Event()
        endpoint = self

        class TaskEndpointHandler(Handler):
            def do_GET(self):
                if any(self.path.startswith(prefix) for prefix in endpoint.hanging):
                    endpoint._release.wait(60)
                    self.close_connection = True
                    return
                document = endpoint.documents.get(self.path)
                if document is None:
                    error = {"code": "InvalidIdInRequest", "message": "Credentials not found"}
                    self.respond(400, json.dumps(error).encode())
                else:
                    self.respond(200, json.dumps(document).encode())

        self._server = LoopbackServer(TaskEndpointHandler, (address, 80))

    def release(self):
        """Ends the requests that hang."""
        self._release.set()

    def replace(self, documents, hanging):
        """Serves other documents from now on, and ends the requests that hang."""
        self.release()
        self.documents, self.hanging = documents, hanging
        self._release.clear()

    @contextlib.contextmanager
    def hangs(self, prefix):
        """Reads requests under `prefix` and never answers them, for a while."""
        self.hanging.add(prefix)
        self._release.clear()
        try:
            yield
        finally:
            self.hanging.discard(prefix)
            self.release()

    @contextlib.contextmanager
    def returns(self, path, document):
        """Serves another document at `path` for a while; `None` is what an unknown path gets."""
        before = self.documents[path]
        self.documents[path] = document
        try:
            yield
        finally:
            self.documents[path] = before

    def stop(self):
        self.release()
        self._server.close()


def missing_programs():
    """Returns the programs that have to be installed before a region can start."""
    return [name for name in REQUIRED_PROGRAMS if not shutil.which(name)]
