"""Registries other than Amazon ECR: docker-registry with a token service or a password."""

import base64
import contextlib
import json
import time
import urllib.parse
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils

from pullprobe_testing.loopback_http import Handler, LoopbackServer
from pullprobe_testing.servers import Server, registry_configuration

REGISTRY, TOKENS, PASSWORDS = "registry.example.com", "auth.example.com", "passwords.example.com"
ADDRESS = {REGISTRY: "203.0.113.20", TOKENS: "203.0.113.21", PASSWORDS: "203.0.113.22"}
SERVICE = "registry of example.com"
USER = "deploy"

# Docker Hub's headers, as it sends them with a manifest.
LIMITED = """
        location / {{
            add_header ratelimit-limit "100;w=21600" always;
            add_header ratelimit-remaining "{left};w=21600" always;
            add_header docker-ratelimit-source "203.0.113.99" always;
            {then}
        }}
"""
_TOO_MANY_REQUESTS = {
    "errors": [{"code": "TOOMANYREQUESTS", "message": "You have reached your pull rate limit."}]
}
TOO_MANY = f"""default_type application/json;
            add_header retry-after 60 always;
            if ($uri ~ "/manifests/") {{ return 429 '{json.dumps(_TOO_MANY_REQUESTS)}'; }}"""


class Distribution(Server):
    """docker-registry over a directory, with one way to log in."""

    def __init__(self, directory, name, port, auth):
        super().__init__(directory, name, ("127.0.0.1", port))
        self.url = f"http://127.0.0.1:{port}"
        self.config = directory / f"{name}.json"
        storage = {"filesystem": {"rootdirectory": str(directory / "distribution")}}
        self.config.write_text(registry_configuration(port, storage, **auth))

    def command(self):
        return ["docker-registry", "serve", self.config]


def token_auth(root):
    """Returns docker-registry's `auth: token`, which trusts signers under `root`."""
    realm = f"https://{TOKENS}/token"
    token = {"realm": realm, "service": SERVICE, "issuer": TOKENS, "rootcertbundle": str(root)}
    return {"auth": {"token": token}}


def password_auth(file):
    return {"auth": {"htpasswd": {"realm": "example.com", "path": str(file)}}}


class TokenService:
    """`GET /token` of the distribution specification, which returns signed JWTs.

    Tokens for repositories under `public/` need no login, the others need user name and password.
    """

    def __init__(self, port, certificate, password):
        chain, key = certificate
        self.password, self.requests = password, []
        self._key = serialization.load_pem_private_key(key.read_bytes(), None)
        self._chain = [
            base64.b64encode(one.public_bytes(serialization.Encoding.DER)).decode()
            for one in x509.load_pem_x509_certificates(chain.read_bytes())
        ]
        service = self

        class TokenHandler(Handler):
            def do_GET(self):
                url = urllib.parse.urlsplit(self.path)
                status, document = service.answer(url, self.headers.get("Authorization"))
                self.respond(status, json.dumps(document).encode())

        self._server = LoopbackServer(TokenHandler, ("127.0.0.1", port))
        self.url, self.close = self._server.url, self._server.close

    def answer(self, url, authorization):
        query = dict(urllib.parse.parse_qsl(url.query))
        kind, name, actions = query.get("scope", "::").split(":")
        known = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        self.requests.append((url.path, name, bool(authorization)))
        if query.get("service") != SERVICE or url.path != "/token":
            return 400, error("UNKNOWN", "no such service")
        if authorization and authorization != f"Basic {known}":
            return 401, error("UNAUTHORIZED", "incorrect username or password")
        granted = actions.split(",") if authorization or name.startswith("public/") else []
        access = [{"type": kind, "name": name, "actions": granted}] if granted else []
        return 200, {"token": self._sign(access), "expires_in": 300}

    def _sign(self, access):
        now = int(time.time())
        claims = {
            "iss": TOKENS,
            "sub": USER,
            "aud": SERVICE,
            "iat": now,
            "nbf": now - 5,
            "exp": now + 300,
            "jti": str(uuid.uuid4()),
            "access": access,
        }
        header = {"typ": "JWT", "alg": "ES256", "x5c": self._chain}
        signed = ".".join(
            _base64url(json.dumps(document).encode()) for document in (header, claims)
        )
        signature = self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(signature)
        return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def error(code, message):
    return {"errors": [{"code": code, "message": message}]}


def _base64url(content):
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@contextlib.contextmanager
def tls_front(region, host, url):
    """Puts nginx with TLS in front of one of them."""
    locations = f"location / {{ proxy_pass {url}; }}"
    with region.serves(host, ADDRESS[host], locations) as server:
        yield server
