"""The real servers: unbound, nginx, moto_server and docker-registry, each a child process that can be stopped and started.

The one server of our own is the task's metadata and credentials endpoint, for which there is no package.
"""
import contextlib
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

from namespace import die_with_parent

START_DEADLINE = 60  # seconds; the slowest, moto on a busy machine, takes about ten


class Server:
    """A child process that listens on `peer`. Everything it says goes to `<name>.log`."""

    def __init__(self, directory, name, peer):
        self.directory, self.name, self.peer = directory, name, peer
        self.process = None

    def command(self):
        raise NotImplementedError

    def environment(self):
        """Only what the server needs: a proxy or a CA bundle of the machine must not reach it."""
        return {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': str(self.directory), 'LANG': 'C.UTF-8'}

    def start(self):
        log = (self.directory / f'{self.name}.log').open('ab')
        self.process = subprocess.Popen(self.command(), env=self.environment(), cwd=self.directory, stdin=subprocess.DEVNULL,
                                        stdout=log, stderr=log, preexec_fn=die_with_parent)
        return self

    def ready(self):
        """Wait until it answers; fail with its last words if it ended instead."""
        until = time.monotonic() + START_DEADLINE
        while not self._listens():
            if self.process.poll() is not None or time.monotonic() > until:
                words = (self.directory / f'{self.name}.log').read_text(errors='replace')[-2000:]
                raise RuntimeError(f'{self.name} does not listen on {self.peer}:\n{words}')
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

    @contextlib.contextmanager
    def stopped(self):
        """Nobody listens: a connection is refused."""
        self.stop()
        try:
            yield
        finally:
            self.start().ready()

    def _listens(self):
        with socket.socket() as trial:
            trial.settimeout(1)
            return trial.connect_ex(self.peer) == 0


class Dns(Server):
    """unbound as the VPC's resolver. It knows the zones it is given; of all other names it knows that they do not exist.

    Each service has a zone of its own that answers for the name and everything under it, as the private zone of an
    interface endpoint does. A zone with no address (`[]`) is a private zone that somebody forgot to fill.
    """

    PUBLIC_SOA = 'SOA dns-external-master.amazon.com. root.amazon.com. 2026112301 180 60 3024000 60'
    PRIVATE_SOA = 'SOA ns-1536.awsdns-00.co.uk. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 60'

    def __init__(self, directory, address, zones):
        super().__init__(directory, 'unbound', (address, 53))
        self.zones = zones  # name -> its addresses
        self.config = directory / 'unbound.conf'

    def command(self):
        zones = [zone('.', 'static'), zone('amazonaws.com.', 'static', self.PUBLIC_SOA)]
        for name, addresses in self.zones.items():
            kind = 'redirect' if addresses else 'static'
            zones.append(zone(f'{name}.', kind, self.PRIVATE_SOA, *(f'A {address}' for address in addresses)))
        self.config.write_text('\n'.join([f"""server:
    interface: {self.peer[0]}
    access-control: 0.0.0.0/0 allow
    do-daemonize: no
    use-syslog: no
    chroot: ""
    username: ""
    pidfile: ""
    directory: "{self.directory}"
    module-config: "iterator"
""", *zones]))
        return ['unbound', '-d', '-c', self.config]

    @contextlib.contextmanager
    def knows(self, changed):
        """Other zones: `{name: [addresses]}`, `[]` for a zone without records, `None` for no zone."""
        before = self.zones
        self.zones = {name: addresses for name, addresses in {**before, **changed}.items() if addresses is not None}
        self._restart()
        try:
            yield
        finally:
            self.zones = before
            self._restart()

    def _restart(self):
        self.stop()
        self.start().ready()


def zone(name, kind, *records):
    return '\n'.join([f'    local-zone: "{name}" {kind}', *(f'    local-data: "{name} 60 IN {record}"' for record in records)])


class Tls(Server):
    """nginx in front of one service: its address, its certificate, and what it does with a request (`locations`)."""

    def __init__(self, directory, name, listen, certificate, locations):
        super().__init__(directory, f'nginx-{name}', (listen, 443))
        self.certificate, self.locations = certificate, locations
        self.root = directory / self.name
        self.root.mkdir(exist_ok=True)
        self.access_log = self.root / 'access.log'

    def command(self):
        chain, key = self.certificate
        temporary = '\n'.join(f'    {kind}_temp_path {self.root}/{kind};'
                              for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
        (self.root / 'nginx.conf').write_text(f"""
daemon off;
master_process off;
pid {self.root}/pid;
events {{}}
http {{
{temporary}
    log_format who '$status $request_method $host $uri';
    access_log {self.access_log} who;
    client_max_body_size 0;
    keepalive_timeout 60s;
    server {{
        listen {self.peer[0]}:443 ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        proxy_http_version 1.1;
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-Proto https;
        proxy_buffering off;
{self.locations}
    }}
}}
""")
        return ['nginx', '-p', self.root, '-e', 'stderr', '-c', self.root / 'nginx.conf']

    def requests(self):
        """What was asked of it so far, one `status method host path` a line."""
        return self.access_log.read_text().splitlines()

    @contextlib.contextmanager
    def instead(self, certificate=None, locations=None):
        """The same server with another certificate, or doing something else with requests."""
        before = self.certificate, self.locations
        self.stop()
        self.certificate, self.locations = certificate or self.certificate, locations or self.locations
        self.start().ready()
        try:
            yield
        finally:
            self.stop()
            self.certificate, self.locations = before
            self.start().ready()


class Moto(Server):
    """moto_server: ECR, Logs, Secrets Manager, SSM, IAM, STS and S3 as the AWS SDKs know them."""

    def __init__(self, directory, name, port):
        super().__init__(directory, f'moto-{name}', ('127.0.0.1', port))
        self.url = f'http://127.0.0.1:{port}'

    def command(self):
        return [sys.executable, '-m', 'moto.server', '-H', '127.0.0.1', '-p', str(self.peer[1])]

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory, name):
        """One on a port of its own, for as long as the block lasts."""
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        server = cls(directory, name, port)
        try:
            yield server.start().ready()
        finally:
            server.stop()

    def reset(self):
        """Every account is empty again."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(urllib.request.Request(f'{self.url}/moto-api/reset', b'')).close()


class Registry(Server):
    """Debian's docker-registry with its layers in S3: it answers a blob with a redirect to a signed S3 URL.

    It signs for the public S3 name but asks S3 by a private way (`s3_address` in its own /etc/hosts), as ECR does:
    what a test does to the subnet's path to S3 must not reach the registry.
    """

    def __init__(self, directory, port, bucket, s3_host, s3_address, trust, name='docker-registry'):
        super().__init__(directory, name, ('127.0.0.1', port))
        self.trust = trust
        self.url = f'http://127.0.0.1:{port}'
        self.hosts = directory / f'{name}.hosts'
        self.hosts.write_text(f'127.0.0.1 localhost\n{s3_address} {bucket}.{s3_host} {s3_host}\n')
        self.config = directory / f'{name}.config.json'
        # JSON is YAML. No `regionendpoint`: with one the driver would put the bucket into the path of its URLs,
        # and ECR has it in the host name.
        self.config.write_text(json.dumps({
            'version': 0.1, 'log': {'level': 'info'}, 'http': {'addr': f'127.0.0.1:{port}'},
            'storage': {'cache': {'blobdescriptor': 'inmemory'},
                        's3': {'region': 'us-east-1', 'bucket': bucket, 'accesskey': 'registry', 'secretkey': 'registry'}}}))

    def command(self):
        return ['unshare', '--mount', 'sh', '-c', 'mount --bind "$1" /etc/hosts && exec docker-registry serve "$2"',
                'sh', self.hosts, self.config]

    def environment(self):
        return {**super().environment(), 'SSL_CERT_FILE': str(self.trust), 'AWS_S3_US_EAST_1_REGIONAL_ENDPOINT': 'regional'}


class TaskEndpoint:
    """169.254.170.2 as a task sees it: its credentials and its metadata (version 4). `hanging` names those that never answer."""

    def __init__(self, address, documents):
        self.documents = documents  # path -> JSON value
        self.hanging = set()
        self.asked = []
        self._release = threading.Event()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                endpoint.asked.append(self.path)
                if any(self.path.startswith(prefix) for prefix in endpoint.hanging):
                    endpoint._release.wait(60)
                    self.close_connection = True
                    return
                document = endpoint.documents.get(self.path)
                body = json.dumps(document if document is not None else
                                  {'code': 'InvalidIdInRequest', 'message': 'Credentials not found'}).encode()
                self.send_response(200 if document is not None else 400)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer((address, 80), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @contextlib.contextmanager
    def hangs(self, prefix):
        """Requests under `prefix` are read and never answered."""
        self.hanging.add(prefix)
        self._release.clear()
        try:
            yield
        finally:
            self.hanging.discard(prefix)
            self._release.set()

    @contextlib.contextmanager
    def says(self, path, document):
        """Another answer for `path` (`None`: what an unknown path gets)."""
        before = self.documents[path]
        self.documents[path] = document
        try:
            yield
        finally:
            self.documents[path] = before

    def stop(self):
        self._release.set()
        self._server.shutdown()
        self._server.server_close()


def missing_programs():
    """What has to be installed before any of this can run."""
    return [name for name in ('unbound', 'nginx', 'docker-registry', 'ganesha.nfsd', 'ip', 'nft', 'openssl', 'unshare')
            if not shutil.which(name)]
