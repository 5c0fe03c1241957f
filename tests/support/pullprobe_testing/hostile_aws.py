"""An AWS that answers an operator's command with hostile text in one place of one answer.

    command ──▶ HostileAws ──▶ moto, a stand-in, or answers that were recorded

Places are the texts of a healthy answer, the members that pullprobe's types read besides, and what
any service can say instead: errors, pages, headers.
"""

import collections
import copy
import http.client
import json
import pathlib
import re
import threading
import urllib.parse

from pullprobe_testing import canaries, pace, planting_cloud
from pullprobe_testing.loopback_http import Handler, LoopbackServer

PLACES = json.loads(
    (
        pathlib.Path(__file__).resolve().parents[2] / "data" / "operator-answer-places.json"
    ).read_text()
)
TYPES, FLATTENED = PLACES["types"], "..."
TEXTS = ("String", "SafeText", "Value", "str")
# Answers that are also read by name, or passed on whole.
READ_BY_NAME = ("DescribeTasks", "RunTask", "DescribeTaskDefinition")
# What any endpoint may say instead of its answer. A throttled call is repeated for a minute.
INSTEAD = [
    "headers and status text",
    "400 message",
    "403 message",
    "403 denial",
    "400 error header",
    "403 registry",
    "403 XML",
    "403 XML members",
    "400 text",
    "403 page",
    "200 page",
    "redirect text",
]
XML_TEXT = re.compile(r"<(\w+)>([^<]*)</\1>")
# Answers that are planted: what is polled until it is right would be asked for for minutes.
MAX_PLANTED = 3
MAX_OUTPUT = 512 * 1024  # characters of all that a command prints and writes


def inner_type(kind, value):
    """Returns the full name of the type of a member of `kind`; `None` for one of the language."""
    own = f"{kind.split('::')[0]}::{value}"
    by_name = {name.rsplit("::", 1)[1]: name for name in TYPES}
    return own if own in TYPES else by_name.get(value)


def members_of(kind):
    """Returns member -> (its type, type of its value), with those of a flattened member."""
    found = {}
    for member, value in TYPES[kind].items():
        if member.startswith(FLATTENED):
            found |= members_of(inner_type(kind, value))
        else:
            found[member] = kind, value
    return found


def paths_of(kind, seen=()):
    """Returns (path, type, member) of each text in a type, with 0 for the first item of a list."""
    for member, (owner, value) in members_of(kind).items():
        name = value.replace("[]", "")
        step = (member, *[0] * value.count("[]"))
        inner = inner_type(kind, name)
        if inner and inner not in seen:
            for path, *what in paths_of(inner, (*seen, inner)):
                yield (*step, *path), *what
        elif name in TEXTS:
            yield step, owner, member


def objects_of(document, path=()):
    """Returns (path, object) of each object in a document, of lists the first item."""
    if isinstance(document, dict):
        yield path, document
        for name, value in document.items():
            yield from objects_of(value, (*path, name))
    elif isinstance(document, list) and document:
        yield from objects_of(document[0], (*path, 0))


def texts_of(document, path=()):
    """Returns the path of each text in a document, of lists the first item."""
    if isinstance(document, str):
        yield path
    elif isinstance(document, dict):
        for name, value in document.items():
            yield from texts_of(value, (*path, name))
    elif isinstance(document, list) and document:
        yield from texts_of(document[0], (*path, 0))


def types_of(found):
    """Returns the types that have most of an object's members, and fewest others."""
    shared = {}
    for kind in TYPES:
        members = set(members_of(kind))
        shared[kind] = (len(members & set(found)), -len(members))
    most = max(shared.values())
    return [kind for kind, number in shared.items() if number == most and most[0] > 0]


def places_of(document, every_text):
    """Returns path -> {(type, member)} of each text in an answer, and of each that it lacks."""
    places = {path: set() for path in texts_of(document)} if every_text else {}
    for path, found in objects_of(document):
        for kind in types_of(found):
            for inside, *what in paths_of(kind):
                places.setdefault((*path, *inside), set()).add(tuple(what))
    return places


def with_members(document, text):
    """Returns a copy of a document in which every object has every member that is read by name."""
    document = copy.deepcopy(document)
    for _, found in list(objects_of(document)):
        found.update({name: text for name in PLACES["members"] if name not in found})
    return document


def with_text(document, path, text):
    """Returns a copy of a document with a text at a path, which is made if it is missing."""
    document = copy.deepcopy(document)
    at = document
    for step, following in zip(path, [*path[1:], None], strict=True):
        value = text if following is None else [] if following == 0 else {}
        if isinstance(at, list):
            while len(at) <= step:
                at.append(copy.deepcopy(value))
        if following is None:
            at[step] = text
        else:
            there = at[step] if isinstance(at, list) else at.get(step)
            if not isinstance(there, type(value)):
                at[step] = value
            at = at[step]
    return document


def xml_places(content):
    """Returns the number and name of each element with text in an XML document."""
    return {
        (number, match[1]): {(kind, match[1]) for kind in TYPES if match[1] in TYPES[kind]}
        for number, match in enumerate(XML_TEXT.finditer(content))
    }


def with_xml_text(content, place, text):
    number, name = place
    match = list(XML_TEXT.finditer(content))[number]
    element = f"<{name}>{planting_cloud.xml_text(text)}</{name}>"
    return content[: match.start()] + element + content[match.end() :]


def operation_of(method, path, headers, body):
    """Returns the name of an operation in any of AWS's protocols and in that of registries."""
    if "x-amz-target" in headers:
        return headers["x-amz-target"].partition(".")[2]
    if body.startswith(b"Action="):
        return urllib.parse.parse_qs(body.decode())["Action"][0]
    parts = urllib.parse.urlsplit(path).path.strip("/").split("/")
    kind = next((part for part in parts if part in ("blobs", "manifests")), str(len(parts)))
    return f"{method} /{parts[0]} {kind}"


class Stubbed:
    """Servers some of whose operations have answers of their own."""

    def __init__(self, peer, answers):
        self.peer, self.answers = peer, answers

    def __call__(self, method, path, headers, body, forward):
        answer = self.answers.get(operation_of(method, path, headers, body))
        return forward(self.peer) if answer is None else answer


def json_answer(document, status=200):
    body = json.dumps(document).encode()
    return planting_cloud.Answer(status, "OK", {"content-type": planting_cloud.AMZ}, body)


def xml_answer(content):
    return planting_cloud.Answer(headers={"content-type": "text/xml"}, body=content.encode())


class HostileAws:
    """Listens on loopback. Without a recording it forwards to `upstream` and records.

    plant   operation -> function of the healthy answer, a `planting_cloud.Answer`
    """

    def __init__(self, upstream, recording=None, plant=None):
        self.upstream, self.recording, self.plant = upstream, recording, plant or {}
        self.answers, self.served = collections.defaultdict(list), set()
        self.lock = threading.Lock()
        aws = self

        class HostileHandler(Handler):
            def do_GET(self):
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = self.read_body()
                answer = aws.answer(self.command, self.path, headers, body)
                self.wfile.write(answer.bytes(head_only=self.command == "HEAD"))

            do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET

        self._server = LoopbackServer(HostileHandler)
        self.url = self._server.url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.close()

    def answer(self, method, path, headers, body):
        operation = operation_of(method, path, headers, body)
        with self.lock:
            self.served.add(operation)
            number = len(self.answers[operation])
            self.answers[operation].append(None)
        if self.recording is None:
            answer = self.forward(method, path, headers, body)
            self.answers[operation][number] = answer
        elif self.recording.get(operation):
            known = self.recording[operation]
            answer = known[min(number, len(known) - 1)]
        else:
            answer = planting_cloud.Answer(404, "Not Found")
        plant = self.plant.get(operation) if number < MAX_PLANTED else None
        return plant(answer) if plant else answer

    def forward(self, method, path, headers, body):
        if isinstance(self.upstream, Stubbed):
            return self.upstream(
                *(method, path, headers, body),
                lambda peer: self.forward_to(peer, method, path, headers, body),
            )
        return self.forward_to(self.upstream, method, path, headers, body)

    def forward_to(self, peer, method, path, headers, body):
        connection = http.client.HTTPConnection(*peer, timeout=pace.limit(60))
        kept = {name: value for name, value in headers.items() if name != "connection"}
        connection.request(method, path, body, kept)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        hop = ("connection", "transfer-encoding", "date", "server")
        hop += () if method == "HEAD" else ("content-length",)
        headers = {name.lower(): value for name, value in response.getheaders()}
        headers = {name: value for name, value in headers.items() if name not in hop}
        return planting_cloud.Answer(response.status, response.reason, headers, content)


class Case:
    """A hostile text in one place of one operation's answer."""

    def __init__(self, operation, place, plant, kind, covers=()):
        self.operation, self.place, self.kind, self.covers = operation, place, kind, covers
        hostile = " ".join(text for name, text in canaries.HOSTILE.items() if name != "long")
        self.text = hostile + (canaries.HOSTILE["long"] if kind == "long" else "")
        self.plant = lambda healthy: plant(healthy, self.text)

    def __repr__(self):
        return f"{self.operation}, {self.place}, {self.kind}"


def cases(command, output, answers, known):
    """Returns a case for each place of the recorded answers of a command.

    `known` are those that other runs have: hostile text goes into each place once for each command
    and output, what is said instead of an answer once for each command, a long text once.
    """

    def is_new(*case):
        number = len(known)
        known.add(case)
        return len(known) > number

    for operation, healthy in answers.items():
        for name in INSTEAD:
            if is_new(command, operation, name):
                yield Case(operation, name, planting_cloud.GENERAL[name], "hostile")
        places = {"400 message": (planting_cloud.GENERAL["400 message"], set())}
        # The answers of a list differ: the first that has a place stands for all.
        for answer in healthy:
            for place, plant, covers in answer_places(operation, answer):
                places.setdefault(place, (plant, set()))[1].update(covers)
        for place, (plant, covers) in places.items():
            if is_new(command, output, operation, place):
                yield Case(operation, place, plant, "hostile", covers)
            if is_new(operation, place, "long"):
                yield Case(operation, place, plant, "long", covers)


def answer_places(operation, answer):
    content = answer.body.decode("utf-8", "replace")
    if content.lstrip().startswith("<"):
        for place, covers in xml_places(content).items():

            def plant_element(healthy, text, place=place):
                content = healthy.body.decode()
                if len(XML_TEXT.findall(content)) <= place[0]:
                    return healthy
                return replaced(healthy, with_xml_text(content, place, text))

            yield place, plant_element, covers
        return
    try:
        document = json.loads(content or "{}")
    except ValueError:
        return
    if not isinstance(document, dict):
        return

    def plant_members(healthy, text):
        return replaced(healthy, json.dumps(with_members(json.loads(healthy.body or b"{}"), text)))

    yield "members read by name", plant_members, ()
    for path, covers in places_of(document, operation in READ_BY_NAME).items():

        def plant_text(healthy, text, path=path):
            try:
                planted = with_text(json.loads(healthy.body or b"{}"), path, text)
            except (ValueError, TypeError):
                return healthy
            return replaced(healthy, json.dumps(planted))

        yield path, plant_text, covers


def replaced(healthy, content):
    return planting_cloud.Answer(healthy.status, healthy.reason, healthy.headers, content.encode())


def find_hostile(outputs):
    """Returns what is wrong with the outputs of a command, as (output, what, around it)."""
    found = []
    if sum(map(len, outputs.values())) > MAX_OUTPUT:
        found.append(("all", f"{sum(map(len, outputs.values()))} characters", ""))
    for output, text in outputs.items():
        documents = [text.replace("\n", "")]
        for line in text.splitlines() if output in ("stdout", "json", "json-file") else ():
            if line.startswith('{"'):
                try:
                    documents += canaries.strings(json.loads(line))
                except json.JSONDecodeError as error:
                    if not line.endswith("…"):  # which says that it was cut
                        found.append((output, f"no JSON: {error}", ascii(line[:200])))
        for part in documents:
            hit = canaries.INVISIBLE.search(part)
            if hit:
                around = ascii(part[max(0, hit.start() - 100) : hit.end() + 20])
                found.append((output, f"U+{ord(hit.group()):04X}", around))
        for markup in canaries.MARKUP.get(output, ()):
            at = text.find(markup)
            if at >= 0:
                found.append((output, markup, ascii(text[max(0, at - 100) : at + 40])))
    return found
