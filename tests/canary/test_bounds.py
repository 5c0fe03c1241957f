"""The largest answers that servers can give, all at once: the report still fits one log event."""

import hashlib
import json
import socket

import pytest

from pullprobe_testing import planting, planting_cloud
from pullprobe_testing.planting_cloud import CNAME, QUESTION, ROOTS, A, dns_name

MAX_BODY = 900_000  # bytes: the probe reads at most 1 MiB of most answers
HUGE = "Ä" * 20_000
MAX_AGENT_BODY = 60_000  # of the metadata endpoint: 64 KiB
LAYERS = 120  # of each image: the probe checks at most 128


def huge_member(kind, room):
    """Returns a value of a type with every text huge and every list long, in about `room` bytes."""
    types, by_name = planting_cloud.PLACES["types"], {}
    for name in types:
        by_name[name.rsplit("::", 1)[1]] = name
    members = types[kind]
    share = room // max(1, len(members))
    value = {}
    for member, of in members.items():
        inner = by_name.get(of.removesuffix("[]"))
        if of.endswith("[]"):
            one = huge_member(inner, share // 50) if inner else "Ä" * 100
            value[member] = [one] * max(1, share // len(json.dumps(one)))
        else:
            value[member] = huge_member(inner, share) if inner else "Ä" * (share // 12)
    return value


def huge_answer(endpoint):
    """Returns a function of the healthy answer that makes every list and text of it huge."""

    def plant(healthy):
        document = {}
        room = MAX_AGENT_BODY if "metadata" in endpoint else MAX_BODY
        for kind in ROOTS[endpoint]:
            document |= huge_member(kind, room)
        if room == MAX_BODY:
            document |= dict.fromkeys(planting_cloud.PLACES["members"], HUGE[:200])
            rejected = {"tooOldLogEventEndIndex": HUGE, "more": [HUGE] * 20}
            document["rejectedLogEventsInfo"] = rejected
        body = json.dumps(document, ensure_ascii=False).encode()
        headers = {**healthy.headers, **dict.fromkeys(planting_cloud.MORE_HEADERS, HUGE)}
        return planting_cloud.Answer(200, HUGE, headers, body)

    return plant


def huge_error(_):
    body = dict.fromkeys(planting_cloud.PLACES["members"], HUGE)
    body |= {"__type": "AccessDeniedException", "message": HUGE}
    body["errors"] = [{"code": "DENIED", "message": HUGE, "detail": HUGE}] * 20
    content = json.dumps(body, ensure_ascii=False).encode()[:64_000]
    headers = {"content-type": planting_cloud.AMZ, "x-amzn-errortype": HUGE, "retry-after": HUGE}
    return planting_cloud.Answer(403, HUGE, headers, content)


def many_layers(healthy):
    document = json.loads(healthy.body)
    if "layers" in document:
        document["layers"] += [
            {"digest": f"sha256:{hashlib.sha256(str(n).encode()).hexdigest()}", "size": 10**9}
            for n in range(LAYERS)
        ]
    body = json.dumps(document).encode()
    return planting_cloud.Answer(200, "OK", healthy.headers, body)


def long_error(_):
    message = "the layer is not here, and the reason is long: " + "because " * 200
    body = {"errors": [{"code": "BLOB_UNKNOWN", "message": message}]}
    headers = {"docker-distribution-api-version": "registry/2.0"}
    return planting_cloud.Answer(404, "Not Found", headers, json.dumps(body).encode())


def many_records(query):
    kind, address = query
    names = [QUESTION, *(dns_name(f"{n:02}" + "x" * 210) for n in range(16))]
    records = [(owner, CNAME, name) for owner, name in zip(names, names[1:], strict=False)]
    records += [(names[-1], A, socket.inet_aton(address))] * 200 if kind == A else []
    return 0, records, []


def large_certificate(query):
    authority, host = query
    # A handshake message has at most 64 KiB.
    names = [host, *(f"{'x' * 60}.{'y' * 60}.{n}.example.com" for n in range(200))]
    return authority.chain(names, [f"{n} " + "Ä" * 1_000 for n in range(6)])


LARGE = {
    **{f"names of {who}": many_records for who in planting_cloud.HOSTS_OF},
    **{f"certificate of {who}": large_certificate for who in planting_cloud.HOSTS_OF},
}
# Without these there is no run at all, or one that ends early.
NEEDED = ("definition parameter", "definition object", "credentials")
KEPT = (*NEEDED, "task metadata", "container metadata", "ecr token", "registry token")
PLANS = {
    "answers": {endpoint: huge_answer(endpoint) for endpoint in ROOTS if endpoint not in NEEDED},
    "errors": dict.fromkeys([e for e in ROOTS if e not in KEPT], huge_error),
    "layers": {
        **dict.fromkeys(["ecr manifest", "registry manifest"], many_layers),
        **dict.fromkeys(["ecr layer redirect", "s3 layer", "cdn config"], long_error),
        **dict.fromkeys(["create log stream", "secret", "file", "file head"], huge_error),
    },
}


class Bound:
    """A planted answer with the members of a `planting.Planting` that a run needs."""

    def __init__(self, plant):
        self.plant = plant


@pytest.mark.parametrize("what", PLANS)
@pytest.mark.parametrize("output", [0, 1], ids=["text", "json"])
def test_the_report_fits_one_log_event_and_says_what_is_left_out(cloud, what, output):
    chosen = {(endpoint, ""): Bound(plant) for endpoint, plant in PLANS[what].items()}
    for endpoint, plant in LARGE.items():
        for host in planting.CARRIERS[endpoint]:
            chosen[endpoint, host] = Bound(plant)
    labels = {f"label-{n}": "x" * 256 for n in range(60)} if what == "layers" else {}
    run = planting.run_one(
        cloud, cloud.slots[1], chosen, planting.binaries.OPERATOR, output, labels=labels
    )

    assert run.reports or not output and "prob" in run.outputs["text"], (run.exit_code, run.outputs)
    for name, text in run.outputs.items():
        size = len(text.encode("utf-8", "surrogateescape"))
        assert size <= planting.MAX_REPORT, (name, size)
    assert run.outputs["stderr"].count("\n") < 20, run.outputs["stderr"][:2_000]
    for text in run.reports:
        report = json.loads(text)
        known = {o["id"] for o in report["observations"]}
        cited = {of for finding in report["findings"] for of in finding["because"]}
        assert cited <= known
        if what == "layers":
            assert report["run"]["shortened"], "what was left out is not said"
            assert "left out" in report["run"]["shortened"]
