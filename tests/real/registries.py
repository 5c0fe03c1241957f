"""Registries that are not Amazon's: docker-registry behind a token service of its own, or behind user name and password."""
import base64
import contextlib
import http.server
import json
import threading
import time
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from servers import Server

REGISTRY, TOKENS, PASSWORDS = 'registry.example.com', 'auth.example.com', 'passwords.example.com'
ADDRESS = {REGISTRY: '203.0.113.20', TOKENS: '203.0.113.21', PASSWORDS: '203.0.113.22'}
SERVICE = 'registry of example.com'
USER = 'deploy'

# Docker Hub's headers, as it sends them with a manifest.
LIMITED = """
        location / {{
            add_header ratelimit-limit "100;w=21600" always;
            add_header ratelimit-remaining "{left};w=21600" always;
            add_header docker-ratelimit-source "203.0.113.99" always;
            {then}
        }}
"""
TOO_MANY = """default_type application/json;
            add_header retry-after 60 always;
            if ($uri ~ "/manifests/") { return 429 '{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'; }"""


class Distribution(Server):
    """docker-registry over a directory, with one way to log in."""

    def __init__(self, directory, name, port, auth):
        super().__init__(directory, name, ('127.0.0.1', port))
        self.url = f'http://127.0.0.1:{port}'
        self.config = directory / f'{name}.json'
        self.config.write_text(json.dumps({
            'version': 0.1, 'log': {'level': 'info'}, 'http': {'addr': f'127.0.0.1:{port}'},
            'storage': {'filesystem': {'rootdirectory': str(directory / 'distribution')}}, **auth}))

    def command(self):
        return ['docker-registry', 'serve', self.config]


def token_auth(root):
    """docker-registry's `auth: token`: it believes tokens that somebody under `root` has signed."""
    return {'auth': {'token': {'realm': f'https://{TOKENS}/token', 'service': SERVICE, 'issuer': TOKENS,
                               'rootcertbundle': str(root)}}}


def password_auth(file):
    return {'auth': {'htpasswd': {'realm': 'example.com', 'path': str(file)}}}


class TokenService:
    """`GET /token` of the distribution specification: signed JWTs, for `public/` to anybody, for the rest with a password."""

    def __init__(self, port, certificate, password):
        chain, key = certificate
        self.url = f'http://127.0.0.1:{port}'
        self.password, self.asked = password, []
        self._key = serialization.load_pem_private_key(key.read_bytes(), None)
        self._chain = [base64.b64encode(one.public_bytes(serialization.Encoding.DER)).decode()
                       for one in x509.load_pem_x509_certificates(chain.read_bytes())]
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'

            def do_GET(self):
                status, document = service.answer(urllib.parse.urlsplit(self.path), self.headers.get('Authorization'))
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header('Content-Type', 'application/json')
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(('127.0.0.1', port), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, url, authorization):
        query = dict(urllib.parse.parse_qsl(url.query))
        kind, name, actions = query.get('scope', '::').split(':')
        known = base64.b64encode(f'{USER}:{self.password}'.encode()).decode()
        self.asked.append((url.path, name, bool(authorization)))
        if query.get('service') != SERVICE or url.path != '/token':
            return 400, {'errors': [{'code': 'UNKNOWN', 'message': 'no such service'}]}
        if authorization and authorization != f'Basic {known}':
            return 401, {'errors': [{'code': 'UNAUTHORIZED', 'message': 'incorrect username or password'}]}
        granted = actions.split(',') if authorization or name.startswith('public/') else []
        return 200, {'token': self._sign([{'type': kind, 'name': name, 'actions': granted}] if granted else []), 'expires_in': 300}

    def _sign(self, access):
        now = int(time.time())
        claims = {'iss': TOKENS, 'sub': USER, 'aud': SERVICE, 'iat': now, 'nbf': now - 5, 'exp': now + 300,
                  'jti': str(uuid.uuid4()), 'access': access}
        signed = '.'.join(map(_part, ({'typ': 'JWT', 'alg': 'ES256', 'x5c': self._chain}, claims)))
        r, s = utils.decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        return f'{signed}.{_base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))}'


def _part(document):
    return _base64url(json.dumps(document).encode())


def _base64url(content):
    return base64.urlsafe_b64encode(content).decode().rstrip('=')


@contextlib.contextmanager
def front(region, host, url):
    """nginx with TLS in front of one of them."""
    with region.serves(host, ADDRESS[host], f'location / {{ proxy_pass {url}; }}') as server:
        yield server
