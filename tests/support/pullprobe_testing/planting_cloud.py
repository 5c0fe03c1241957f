"""An AWS, a registry, a resolver and a task endpoint that put planted text where a test selects.

They check nothing: any request gets the healthy answer of its endpoint, or a planted one. Many runs
share one server, each on addresses of its own, 10.9.N.0/24.
"""

import asyncio
import copy
import dataclasses
import datetime
import hashlib
import json
import pathlib
import socket
import ssl
import struct
import threading
import urllib.parse
from xml.sax import saxutils

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type

from pullprobe_testing import canaries
from pullprobe_testing.region import ACCOUNT, REGION, container_metadata, task_metadata

PLACES = json.loads(
    (pathlib.Path(__file__).resolve().parents[2] / "data" / "answer-places.json").read_text()
)
REGISTRY_HOST = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
BUCKET_HOST = f"prod-{REGION}-starport-layer-bucket.s3.{REGION}.amazonaws.com"
ECR_IMAGES = [f"team/app{n}" for n in range(6)]
OTHER_IMAGES = [f"other/app{n}" for n in range(4)]
SECRET_NAMES = [f"app{n}" for n in range(6)]
LOGIN = "registry"
FILES = [f"app{n}.env" for n in range(3)]
LOG_GROUPS = [f"/ecs/app{n}" for n in range(3)]
# Hosts that every run contacts, and hosts that it contacts if others answer.
HOSTS = [f"{name}.{REGION}.amazonaws.com" for name in ("api.ecr", "secretsmanager", "ssm", "logs")]
HOSTS += [REGISTRY_HOST, f"envs.s3.{REGION}.amazonaws.com", "registry.example.com"]
LOGS_HOST = HOSTS[3]
REDIRECT_HOSTS = [BUCKET_HOST, "cdn.example.com"]
TOKEN_HOSTS = ["auth.example.com"]
HOSTS_OF = {"a service": HOSTS, "a redirect": REDIRECT_HOSTS, "a token service": TOKEN_HOSTS}
HEALTHY_ADDRESS, RESOLVER_ADDRESS, TASK_ENDPOINT = 10, 2, 1

# The root type that reads a successful answer of an endpoint, and what the answer is without it.
ROOTS = {
    "credentials": ["aws/credentials::CredentialsResponse"],
    "task metadata": ["vantage::Task"],
    "container metadata": ["vantage::Container"],
    "ecr token": [],
    "ecr index": ["probe/checks/manifest::ManifestJson", "probe/speaker::Members"],
    "ecr manifest": ["probe/checks/manifest::ManifestJson"],
    "ecr config redirect": [],
    "ecr layer redirect": [],
    "s3 config": ["probe/checks/manifest::ImageConfig"],
    "s3 layer": [],
    "registry challenge": [],
    "registry token": ["probe/checks/registry_auth::TokenResponse"],
    "registry manifest": ["probe/checks/manifest::ManifestJson"],
    "registry config redirect": [],
    "cdn config": ["probe/checks/manifest::ImageConfig"],
    "secret": ["probe/secret_shape::SecretValue"],
    "login": ["probe/secret_shape::SecretValue"],
    "parameters": ["probe/aws_call::GetParametersResponse"],
    "create log stream": [],
    "put log events": [],
    "bucket location": ["probe/checks/environment_file::Response"],
    "file head": [],
    "file": [],
    "definition parameter": ["probe/aws_call::GetParametersResponse"],
    "definition object": [],
    **{f"{what} of {who}": [] for what in ("names", "certificate") for who in HOSTS_OF},
}
# Types that are read inside others, or that an error is read with.
ERROR_TYPES = ["aws/error_response::XmlDocument"]
INSIDE = ["probe/secret_shape::LoginJson", "probe/checks/manifest::ImageManifest"]
NOT_OF_A_SERVER = ["aws/credentials::CredentialSource", "vantage::Vantage"]

# Where a value is read: no word of the response may be repeated, whichever secret is in it.
VALUE_ENDPOINTS = ["credentials", "secret", "login", "parameters", "file", "registry token"]

# Which secrets an endpoint hands out. Of an environment file the probe reads nothing.
HANDS_OUT = {
    "credentials": ["secret access key", "session token"],
    "ecr token": ["registry token", "registry password"],
    "login": ["login", "login password"],
    "registry token": ["bearer token"],
    "secret": ["secret value", "secret leaf"],
    "parameters": ["parameter value"],
    "ecr config redirect": ["signature"],
    "ecr layer redirect": ["signature"],
}


def proven(sent):
    """Returns the secrets that a run has read for sure, because it used them."""
    used = {name for name, _ in sent}
    with_key = {"secret access key"} if "session token" in used else set()
    with_token = {"registry password"} if "registry token" in used else set()
    with_login = {"login password"} if "login" in used else set()
    return (used & set(canaries.SECRETS)) | with_key | with_token | with_login


# Headers with a meaning for the connection itself.
FRAMING = [
    "content-length",
    "content-type",
    "location",
    "www-authenticate",
    "host",
    "date",
    "range",
]
MORE_HEADERS = ["server", "via", "x-cache", "x-frame", "set-cookie", "link", "warning"]
S3_ONLY = ["x-amz-bucket-region"]

JSON, AMZ = "application/json", "application/x-amz-json-1.1"


@dataclasses.dataclass
class Answer:
    status: int = 200
    reason: str = "OK"
    headers: dict = dataclasses.field(default_factory=dict)
    body: bytes = b""

    def bytes(self, head_only):
        lines = [f"HTTP/1.1 {self.status} {header_safe(self.reason)}"]
        headers = {"content-length": str(len(self.body)), **self.headers}
        lines += [f"{name}: {header_safe(value)}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
        return head if head_only else head + self.body


def header_safe(text):
    """Returns what may be in a header: one with a control character ends the connection."""
    return "".join(char for char in text if char == "\t" or char >= " " and char != "\x7f")[:3_000]


def members_of(kind, seen=()):
    """Returns the path of each string that a type reads, `[]` for an item of a list."""
    by_name = {name.rsplit("::", 1)[1]: name for name in PLACES["types"]}
    for member, value in sorted(PLACES["types"][kind].items()):
        inner, is_list = value.removesuffix("[]"), value.endswith("[]")
        step = (member, "[]") if is_list else (member,)
        yield step[:1]
        if is_list:
            yield step
        full = f"{kind.split('::')[0]}::{inner}"
        full = full if full in PLACES["types"] else by_name.get(inner)
        if full and full not in seen:
            for path in members_of(full, (*seen, full)):
                yield step + path


def with_member(document, path, value):
    """Returns a copy of a JSON document with another value at a path."""
    document = copy.deepcopy(document)
    at = document
    for step, following in zip(path, [*path[1:], None], strict=True):
        if step == "[]":
            step = 0
            if not at:
                at.append({})
        if following is None:
            at[step] = value
        else:
            missing = [] if following == "[]" else {}
            inner = at[step] if isinstance(at, list) else at.get(step)
            if not isinstance(inner, type(missing)):
                at[step] = missing
            at = at[step]
    return document


# ---- planted answers: name -> function of the healthy answer and the text ----


def plant_headers(healthy, text):
    names = [n for n in PLACES["headers"] if n not in FRAMING + S3_ONLY] + MORE_HEADERS
    headers = dict(healthy.headers) | dict.fromkeys(names, text) | {f"x-{label(text)}": "1"}
    return dataclasses.replace(healthy, reason=text, headers=headers)


def error(status, body, content_type=AMZ, **headers):
    def plant(_, text):
        content = body(text)
        content = content if isinstance(content, str) else json.dumps(content)
        more = {name.replace("_", "-"): value(text) for name, value in headers.items()}
        return Answer(status, "Refused", {"content-type": content_type, **more}, content.encode())

    return plant


def xml_text(text):
    return "".join(
        char if char in "\t" or 0x20 <= ord(char) < 0x7F else f"&#x{ord(char):x};"
        for char in saxutils.escape(text)
    )


def xml_error(code):
    return lambda text: (
        f'<?xml version="1.0"?><Error><Code>{xml_text(code or text)}</Code>'
        f"<Message>{xml_text(text)}</Message><RequestId>{xml_text(text)}</RequestId></Error>"
    )


def xml_members(text):
    """Returns an error with text in each member of the types that read XML."""

    def element(kind):
        parts = []
        for member, value in PLACES["types"][kind].items():
            inner = f"{kind.split('::')[0]}::{value}"
            content = element(inner) if inner in PLACES["types"] else xml_text(text)
            parts.append(f"<{member}>{content}</{member}>")
        return "".join(parts)

    return f"<ErrorResponse>{element(ERROR_TYPES[0])}</ErrorResponse>"


def one_id(_):
    return "11111111-2222-3333-4444-555555555555"


def member_values(text):
    # The probe reads errors of 64 KiB.
    return dict.fromkeys(PLACES["members"], text[:800])


def registry_error(code):
    return lambda text: {"errors": [{"code": code or text, "message": text, "detail": text}]}


def redirect(location, status=307):
    def plant(_, text):
        return Answer(status, "Elsewhere", {"location": location(text)})

    return plant


def letters(text):
    return "".join(char for char in text if char.isalnum() and char.isascii())


def label(text):
    return letters(text)[:60] or "x"


def labels(text):
    """Returns as much of a text as the name of a host has room for."""
    text = letters(text)[:180]
    return ".".join(text[at : at + 60] for at in range(0, len(text), 60)) or "x"


def quoted(text):
    return urllib.parse.quote(text, safe="/+=:,;@!$&'()*~")


ID = {"x_amzn_requestid": one_id}
GENERAL = {
    "headers and status text": plant_headers,
    "400 message": error(400, lambda t: {"__type": "ValidationException", "message": t}, **ID),
    "403 message": error(403, lambda t: {"__type": "AccessDeniedException", "message": t}, **ID),
    "403 denial": error(
        403,
        lambda t: {
            "__type": "AccessDeniedException",
            "message": f"User: {t} is not authorized to perform: {t} on resource: {t} with an "
            f"explicit deny in an identity-based policy: {t}",
        },
        **ID,
    ),
    "404 message": error(404, lambda t: {"__type": "ResourceNotFoundException", "Message": t}),
    "400 members": error(400, member_values, x_amzn_requestid=str),
    "400 error header": error(400, lambda t: "", x_amzn_errortype=str, x_amzn_requestid=str),
    "500 message": error(
        500, lambda t: {"__type": "InternalFailure", "message": t}, retry_after=str
    ),
    "429 headers": error(
        429,
        registry_error("TOOMANYREQUESTS"),
        JSON,
        retry_after=lambda _: "90",
        ratelimit_limit=str,
        ratelimit_remaining=str,
        docker_ratelimit_source=str,
    ),
    "403 registry": error(403, registry_error("DENIED"), JSON),
    "404 registry": error(
        404, registry_error(None), JSON, docker_distribution_api_version=lambda _: "registry/2.0"
    ),
    "401 challenge": error(
        401,
        registry_error("UNAUTHORIZED"),
        JSON,
        www_authenticate=lambda t: (
            f'Bearer realm="https://auth.example.com/{quoted(t)}",'
            f'service="{t}",scope="{t}",error="{t}"'
        ),
    ),
    "401 realm": error(401, str, "text/plain", www_authenticate=lambda t: f'Basic realm="{t}"'),
    "401 host": error(
        401,
        str,
        "text/plain",
        www_authenticate=lambda t: f'Bearer realm="https://{label(t)}.example.com/x",service="s"',
    ),
    "403 XML": error(403, xml_error("AccessDenied"), "application/xml", x_amz_request_id=str),
    "404 XML": error(404, xml_error(None), "application/xml", x_amz_id_2=str),
    "403 XML members": error(403, xml_members, "application/xml"),
    "400 text": error(400, str, "text/plain"),
    "403 page": error(403, lambda t: f"<html><title>{t}</title>{t}</html>", "text/html"),
    "200 page": error(200, lambda t: f"<html><title>{t}</title>{t}</html>", "text/html"),
    "200 text": error(200, str, "text/plain"),
    "200 member names": error(200, lambda t: {t: t}, JSON),
    "200 cut": error(200, lambda t: json.dumps({"message": t})[:-2], JSON),
    "200 members": error(200, member_values, AMZ, x_amzn_requestid=one_id),
    "redirect path": redirect(lambda t: f"https://cdn.example.com/{quoted(t)}"),
    "redirect query": redirect(
        lambda t: (
            f"https://cdn.example.com/x?X-Amz-Signature={canaries.SECRETS['signature']}"
            f"&token={quoted(t)}"
        )
    ),
    "redirect host": redirect(lambda t: f"https://{labels(t)}.example.com/x"),
    "redirect user": redirect(lambda t: f"https://{label(t)}:{label(t)}@cdn.example.com/x"),
    "redirect text": redirect(str),
}


def plant_members(kind):
    """Plants every member of a type at once, with another text in each."""
    paths = list(members_of(kind))
    ends = [path for path in paths if not any(p[: len(path)] == path != p for p in paths)]

    def plant(healthy, text):
        tag, _, own = text.partition(" ")
        texts = canaries.secret_texts()
        first = texts.index(own) if own in texts else 0
        document = json.loads(healthy.body)
        for number, path in enumerate(ends):
            value = f"{tag} {texts[(first + number) % len(texts)]}"
            document = with_member(document, path, value)
        return dataclasses.replace(healthy, body=json.dumps(document).encode())

    plant.every_text = True
    return plant


# ---- planted names and certificates ----


def pieces(text, most):
    return [text[at : at + most] for at in range(0, len(text), most)]


def dns_name(text):
    """Returns the wire form of a name of these bytes: any byte may be in a label."""
    raw = text.encode()[:220]
    inside = b"".join(bytes([len(part)]) + part for part in pieces(raw, 60))
    return inside + b"\x07example\x03com\x00"


QUESTION = b"\xc0\x0c"  # a pointer to the name in the question
A, CNAME, SOA = 1, 5, 6
NXDOMAIN = 3


def aliases(text, ending):
    """Returns CNAMEs from the name in the question to the last alias, and that alias."""
    names = [QUESTION, *(dns_name(piece) for piece in pieces(text, 200))]
    names += [names[1]] if ending == "loop" else []
    records = [(owner, CNAME, name) for owner, name in zip(names, names[1:], strict=False)]
    return records, names[-1]


def plant_aliases(ending):
    def plant(query, text):
        kind, address = query
        records, last = aliases(text, ending)
        has_address = ending == "address" and kind == A
        records += [(last, A, socket.inet_aton(address))] if has_address else []
        return 0, records, []

    return plant


def plant_zone(_, text):
    owner, server, mailbox = (dns_name(piece) for piece in [*pieces(text, 190), "x", "x"][:3])
    numbers = struct.pack(">IIIII", 1, 900, 900, 1800, 60)
    return NXDOMAIN, [], [(owner, SOA, server + mailbox + numbers)]


plant_zone.most = 380

NAMES = {
    "CNAME to an address": plant_aliases("address"),
    "CNAME to nothing": plant_aliases("nothing"),
    "CNAME loop": plant_aliases("loop"),
    "SOA": plant_zone,
}


def plant_certificate(chain):
    def plant(query, text):
        authority, host = query
        return chain(authority, host, text)

    return plant


CERTIFICATES = {
    "trusted chain": plant_certificate(
        lambda authority, host, text: authority.chain([host], ["leaf", *pieces(text, 190)])
    ),
    "untrusted chain": plant_certificate(
        lambda authority, host, text: authority.chain([host], pieces(text, 190), trusted=False)
    ),
    "names": plant_certificate(
        lambda authority, host, text: authority.chain(pieces(ascii_only(text), 190), [])
    ),
    "BMPString": plant_certificate(
        lambda authority, host, text: authority.chain(
            [host], pieces(basic_plane(text), 45), trusted=False, kind=_ASN1Type.BMPString
        )
    ),
}
CERTIFICATES["BMPString"].most = 250
for _plant in (*NAMES.values(), *CERTIFICATES.values()):
    _plant.every_text = True

# The texts that are read of a lookup and of a certificate, and where they are planted.
OBSERVED = {
    "Lookup": {
        "name": "redirect host",
        "aliases": "CNAME to an address",
        "zone": "SOA",
        "zone_server": "SOA",
    },
    "Certificate": {
        "subject": "untrusted chain",
        "issuer": "trusted chain",
        "names": "names",
    },
}
# Words of the probe itself: a record's type, and times in its own form.
OWN_WORDS = {"kind", "not_before", "not_after"}


def ascii_only(text):
    return "".join(char if char.isascii() else "?" for char in text)


def basic_plane(text):
    return "".join(char if ord(char) < 0x10000 else "?" for char in text)


def variants(endpoint):
    """Returns name -> function of the healthy answer and a text, for each place of an endpoint."""
    if endpoint.startswith("names of "):
        return dict(NAMES)
    if endpoint.startswith("certificate of "):
        return dict(CERTIFICATES)
    found = dict(GENERAL)
    for kind in ROOTS[endpoint]:
        if kind not in ("probe/speaker::Members", "probe/checks/environment_file::Response"):
            found[f"{kind.rsplit('::')[1]}, all members"] = plant_members(kind)
        for path in members_of(kind):

            def plant(healthy, text, path=path):
                if path[0] == "LocationConstraint":
                    body = f"<LocationConstraint>{xml_text(text)}</LocationConstraint>".encode()
                else:
                    body = json.dumps(with_member(json.loads(healthy.body), path, text)).encode()
                return dataclasses.replace(healthy, body=body)

            found[f"{kind.rsplit('::')[1]}.{'.'.join(path)}"] = plant
    if endpoint in ("secret", "login"):
        for member in PLACES["types"]["probe/secret_shape::LoginJson"]:

            def plant_leaf(healthy, text, member=member):
                value = json.dumps({"username": "a", "password": "b", member: [text]})
                body = {**json.loads(healthy.body), "SecretString": value}
                return dataclasses.replace(healthy, body=json.dumps(body).encode())

            found[f"LoginJson.{member}"] = plant_leaf
    if endpoint == "put log events":
        rejected = [n for n in PLACES["members"] if n.endswith("Index")]
        for name in rejected:
            found[f"rejectedLogEventsInfo.{name}"] = error(
                200, lambda t, name=name: {"rejectedLogEventsInfo": {name: t}}, AMZ, **ID
            )
    if endpoint in ("credentials", "file", "file head", "s3 layer", "definition object"):
        found["x-amz-bucket-region"] = lambda healthy, text: dataclasses.replace(
            healthy, status=301, headers={"x-amz-bucket-region": text, "location": text}
        )
    return found


# ---- healthy answers ----


def digest(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def image_config(repository):
    return json.dumps({"os": "linux", "architecture": "amd64", "of": repository}).encode()


def layer(repository):
    return repository.encode().ljust(64, b".")


def manifest(repository):
    config, bottom = image_config(repository), layer(repository)
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"digest": digest(config), "size": len(config)},
            "layers": [{"digest": digest(bottom), "size": len(bottom)}],
        }
    ).encode()


def index(repository):
    platform = {"os": "linux", "architecture": "amd64"}
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"digest": digest(manifest(repository)), "platform": platform}],
        }
    ).encode()


S3_HEADERS = {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8"}
REGISTRY_HEADERS = {"docker-distribution-api-version": "registry/2.0"}
AWS_HEADERS = {"content-type": AMZ, "x-amzn-requestid": one_id("")}


def value_of_secret(name):
    secrets = canaries.SECRETS
    if name == LOGIN:
        return json.dumps({"username": canaries.LOGIN_USER, "password": secrets["login password"]})
    return json.dumps(
        {"password": secrets["secret value"], "other": {"in": secrets["secret leaf"]}}
    )


def amz(document):
    return Answer(headers=dict(AWS_HEADERS), body=json.dumps(document).encode())


def blob(content, request_headers):
    answer = Answer(headers=dict(S3_HEADERS), body=content)
    requested = request_headers.get("range", "").removeprefix("bytes=")
    if requested:
        first, _, last = requested.partition("-")
        answer.body = content[int(first) : int(last or len(content)) + 1]
        answer.status, answer.reason = 206, "Partial Content"
        answer.headers["content-range"] = f"bytes {first}-{last}/{len(content)}"
    return answer


def find_answer(host, method, target, headers, body):
    """Returns (endpoint, what carries it, healthy answer)."""
    secrets = canaries.SECRETS
    path, _, query = target.partition("?")
    operation = headers.get("x-amz-target", "").rpartition(".")[2]
    given = json.loads(body) if operation else {}
    if path == "/credentials":
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=6)
        document = {
            "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole",
            "AccessKeyId": "ASIA" + "EXAMPLE000000000",
            "SecretAccessKey": secrets["secret access key"],
            "Token": secrets["session token"],
            "Expiration": soon.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        return "credentials", "", Answer(headers={"content-type": JSON}, body=_json(document))
    if path == "/v4/task":
        return (
            "task metadata",
            "",
            Answer(headers={"content-type": JSON}, body=_json(task_metadata())),
        )
    if path == "/v4":
        return "container metadata", "", Answer(body=_json(container_metadata()))
    if operation == "GetAuthorizationToken":
        data = {"authorizationToken": secrets["registry token"], "expiresAt": 1.9e9}
        data["proxyEndpoint"] = f"https://{REGISTRY_HOST}"
        return "ecr token", "", amz({"authorizationData": [data]})
    if operation == "GetSecretValue":
        arn = given["SecretId"]
        name = arn.split(":secret:")[1].rsplit("-", 1)[0]
        answer = amz({"ARN": arn, "Name": name, "SecretString": value_of_secret(name)})
        return ("login" if name == LOGIN else "secret"), name, answer
    if operation == "GetParameters":
        is_definition = given["Names"] == ["/definition"]
        value = json.dumps(definition()) if is_definition else secrets["parameter value"]
        found = [
            {"Name": n, "ARN": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter{n}", "Value": value}
            for n in given["Names"]
        ]
        answer = amz({"Parameters": found, "InvalidParameters": []})
        return ("definition parameter" if is_definition else "parameters"), "", answer
    if operation == "CreateLogStream":
        return "create log stream", given["logGroupName"], amz({})
    if operation == "PutLogEvents":
        return "put log events", given["logGroupName"], amz({"nextSequenceToken": "1"})
    if host.startswith("envs."):
        if query == "location":
            xml = '<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"/>'
            return "bucket location", "", Answer(headers=dict(S3_HEADERS), body=xml.encode())
        name = path.rpartition("/")[2]
        if name == "definition.json":
            content = json.dumps(definition()).encode()
            return "definition object", "", Answer(headers=dict(S3_HEADERS), body=content)
        answer = blob(secrets["environment file"].encode(), headers)
        return ("file head" if method == "HEAD" else "file"), name, answer
    if host.startswith("auth."):
        return "registry token", "", Answer(body=_json({"token": secrets["bearer token"]}))
    parts = path.split("/")
    if parts[1] == "v2" and len(parts) > 5:
        return _registry_answer(host, "/".join(parts[2:4]), parts[4], parts[5], headers)
    if parts[1] == "blob" and len(parts) > 4:
        repository, kind = "/".join(parts[2:4]), parts[4]
        content = image_config(repository) if kind == "config" else layer(repository)
        where = "cdn" if host.startswith("cdn.") else "s3"
        endpoint = f"{where} {kind}" if (where, kind) != ("cdn", "layer") else "s3 layer"
        return endpoint, repository, blob(content, headers)
    return "elsewhere", "", Answer(404, "Not Found")


def _json(document):
    return json.dumps(document).encode()


def _registry_answer(host, repository, kind, reference, headers):
    of_ecr = host == REGISTRY_HOST
    who = "ecr" if of_ecr else "registry"
    if not of_ecr and "authorization" not in headers:
        challenge = 'Bearer realm="https://auth.example.com/token",service="registry",scope="pull"'
        return (
            "registry challenge",
            repository,
            Answer(401, "Unauthorized", {"www-authenticate": challenge, **REGISTRY_HEADERS}, b"{}"),
        )
    if kind == "manifests":
        is_tag = ":" not in reference
        content = index(repository) if of_ecr and is_tag else manifest(repository)
        media = json.loads(content)["mediaType"]
        endpoint = f"{who} index" if of_ecr and is_tag else f"{who} manifest"
        answer = Answer(headers={"content-type": media, **REGISTRY_HEADERS}, body=content)
        answer.headers["docker-content-digest"] = digest(content)
        return endpoint, repository, answer
    what = "config" if reference == digest(image_config(repository)) else "layer"
    where = BUCKET_HOST if of_ecr else "cdn.example.com"
    location = f"https://{where}/blob/{repository}/{what}"
    location += f"?X-Amz-Signature={canaries.SECRETS['signature']}"
    endpoint = f"{who} {what} redirect" if (of_ecr or what == "config") else "ecr layer redirect"
    return endpoint, repository, Answer(307, "Temporary Redirect", {"location": location})


def secret_arn(name):
    return f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}-AbCdEf"


def definition():
    """Returns the task definition of every run."""
    images = [f"{REGISTRY_HOST}/{name}:1" for name in ECR_IMAGES]
    images += [f"registry.example.com/{name}:1" for name in OTHER_IMAGES]
    containers = []
    for n, image in enumerate(images):
        container = {"name": f"c{n}", "image": image, "essential": True}
        if image.endswith(f"{OTHER_IMAGES[0]}:1"):
            container["repositoryCredentials"] = {"credentialsParameter": secret_arn(LOGIN)}
        containers.append(container)
    for n, group in enumerate(LOG_GROUPS):
        options = {"awslogs-group": group, "awslogs-region": REGION, "awslogs-stream-prefix": "x"}
        containers[n]["logConfiguration"] = {"logDriver": "awslogs", "options": options}
    containers[0]["secrets"] = [
        {"name": f"S{n}", "valueFrom": f"{secret_arn(name)}:password::"}
        for n, name in enumerate(SECRET_NAMES)
    ] + [{"name": f"P{n}", "valueFrom": f"/app/p{n}"} for n in range(2)]
    containers[0]["environmentFiles"] = [
        {"type": "s3", "value": f"arn:aws:s3:::envs/{name}"} for name in FILES
    ]
    role = "arn:aws:iam::123456789012:role/exec"
    return {"family": "app", "executionRoleArn": role, "containerDefinitions": containers}


# ---- servers ----


class Slot:
    """One run's part of the cloud: what is planted where, and what was served."""

    def __init__(self, number):
        self.number = number
        self.reset()

    def reset(self, plan=()):
        """Starts a run. `plan` maps (endpoint, carrier) to a function of the healthy answer."""
        self.plan = dict(plan)
        self.contexts = {}  # host -> its planted TLS context
        self.served, self.held, self.sent, self.events = set(), set(), set(), []

    def answer(self, host, method, target, headers, body):
        # The report itself is an output.
        given = "" if headers.get("x-amz-target", "").endswith("PutLogEvents") else body.decode()
        request = "\n".join([target, *headers.values(), given])
        # A redirect may have planted text in its URL.
        if not canaries.TAG.search(request):
            self.sent.update((name, host) for name in canaries.sent_in(request))
        endpoint, carrier, healthy = find_answer(host, method, target, headers, body)
        if endpoint == "put log events":
            self.events += [e["message"] for e in json.loads(body)["logEvents"]]
        for key in ((endpoint, carrier), (endpoint, "")):
            if key in self.plan:
                self.served.add(key)
                return self.plan[key](healthy)
        self.held.update(HANDS_OUT.get(endpoint, ()))
        return healthy

    def planted(self, what, host):
        """Returns the key of what is planted for the names or the certificate of a host."""
        keys = ((f"{what} of {who}", host) for who in HOSTS_OF)
        return next((key for key in keys if key in self.plan), None)

    def context(self, authority, host):
        """Returns the planted TLS context of a host; `None` without one."""
        key = self.planted("certificate", host)
        if key is None:
            return None
        self.served.add(key)
        if host not in self.contexts:
            self.contexts[host] = self.plan[key]((authority, host))
        return self.contexts[host]

    def address(self, last):
        return f"10.9.{self.number}.{last}"


class Cloud:
    """The servers of all slots, in an event loop on a thread."""

    def __init__(self, directory, slots):
        self.slots = {number: Slot(number) for number in range(1, slots + 1)}
        self.authority = Authority(directory)
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        threading.Thread(target=self._run, args=(started,), daemon=True).start()
        started.wait(10)

    def _run(self, started):
        asyncio.set_event_loop(self.loop)

        async def start():
            await asyncio.start_server(self._serve, "0.0.0.0", 80, backlog=512)
            for slot in self.slots.values():
                address, context = slot.address(HEALTHY_ADDRESS), self._context_of(slot)
                await asyncio.start_server(self._serve, address, 443, ssl=context, backlog=512)
                await self.loop.create_datagram_endpoint(
                    lambda slot=slot: Dns(slot), (slot.address(RESOLVER_ADDRESS), 53)
                )

        self.loop.run_until_complete(start())
        started.set()
        self.loop.run_forever()

    def _context_of(self, slot):
        """Returns a TLS context with the healthy certificate, and each host's planted one."""
        healthy = self.authority.chain(
            [
                "*.amazonaws.com",
                "*.example.com",
                f"*.{REGION}.amazonaws.com",
                f"*.ecr.{REGION}.amazonaws.com",
                f"*.dkr.ecr.{REGION}.amazonaws.com",
                f"*.s3.{REGION}.amazonaws.com",
            ]
        )

        def choose_certificate(connection, host, _):
            planted = slot.context(self.authority, host)
            if planted:
                connection.context = planted

        healthy.sni_callback = choose_certificate
        return healthy

    async def _serve(self, reader, writer):
        address = writer.get_extra_info("sockname")[0].split(".")
        slot = self.slots.get(int(address[2]))
        try:
            while slot:
                head = await reader.readuntil(b"\r\n\r\n")
                request, *lines = head.decode("latin-1").split("\r\n")
                method, target, _ = request.split(" ")
                headers = {
                    name.lower(): value
                    for name, _, value in (line.partition(": ") for line in lines if line)
                }
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                host = headers.get("host", "").partition(":")[0]
                answer = slot.answer(host, method, target, headers, body)
                writer.write(answer.bytes(head_only=method == "HEAD"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


class Dns(asyncio.DatagramProtocol):
    """Answers any A query with the run's address, and a host with planted records with those."""

    def __init__(self, slot):
        self.slot = slot

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, peer):
        name, at = [], 12
        while query[at]:
            name.append(query[at + 1 : at + 1 + query[at]].decode("latin-1"))
            at += 1 + query[at]
        kind = struct.unpack(">H", query[at + 1 : at + 3])[0]
        host = ".".join(name)
        question = query[12 : at + 5]
        address = self.slot.address(HEALTHY_ADDRESS)
        code, authorities = 0, []
        answers = [(QUESTION, A, socket.inet_aton(address))] if kind == A else []
        key = self.slot.planted("names", host)
        if key:
            self.slot.served.add(key)
            code, answers, authorities = self.slot.plan[key]((kind, address))
        counts = struct.pack(">HHHH", 1, len(answers), len(authorities), 0)
        body = b"".join(
            owner + struct.pack(">HHIH", of, 1, 60, len(data)) + data
            for owner, of, data in [*answers, *authorities]
        )
        flags = struct.pack(">H", 0x8180 | code)
        self.transport.sendto(query[:2] + flags + counts + question + body, peer)


class Authority:
    """A root that the probe trusts; chains of certificates with any text in them."""

    def __init__(self, directory):
        self.directory, self.count = directory, 0
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = organization("Simulated")
        self.certificate = self._sign(self.name, self.name, ca=True)
        self.file = directory / "root.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _sign(self, subject, issuer, names=(), ca=False):
        """Returns a certificate. Root, intermediates and leaves have the same key."""
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=30))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            san = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(san, critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def chain(self, names, texts=("Simulated",), trusted=True, kind=None):
        """Returns the TLS context of a certificate for these names, with the texts in the names of
        the leaf and of those above it."""
        above = [organization(text, kind) for text in texts[:6]] or [self.name]
        above += [self.name] if trusted else []
        issued = [
            self._sign(subject, issuer, [] if number else names, ca=number > 0)
            for number, (subject, issuer) in enumerate(
                zip(above, [*above[1:], above[-1]], strict=True)
            )
        ]
        self.count += 1
        file = self.directory / f"leaf-{self.count}.pem"
        # The root itself is not sent.
        sent = issued[:-1] if trusted and len(issued) > 1 else issued
        file.write_bytes(
            b"".join(one.public_bytes(serialization.Encoding.PEM) for one in sent)
            + self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["http/1.1"])
        return context


def organization(text, kind=None):
    options = {} if kind is None else {"_type": kind}
    return x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, text, **options)])


def agent_environment(slot):
    """Returns the environment of a run in this slot."""
    password = canaries.SECRETS["proxy password"]
    return {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.9.{slot.number}.1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": canaries.SECRETS["agent token"],
        "ECS_CONTAINER_METADATA_URI_V4": f"http://127.9.{slot.number}.1/v4",
        "AWS_REGION": REGION,
        "HTTPS_PROXY": f"http://proxy:{password}@10.9.{slot.number}.99:3128",
        "PATH": "/usr/bin:/bin",
    }
