"""Uploads that break off, registries that return wrong digests, throttle, expire or never end."""

import time

import pytest

from pullprobe_testing import ecr_standin, pace
from pullprobe_testing.ecr_standin import (
    REFERENCE,
    VERSION,
    Endless,
    Fault,
    digest_of,
    errors,
    stored,
    tags,
)

PART, COMPLETE, START = "ecr:UploadLayerPart", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload"
EXISTS, READ, WRITE = "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:PutImage"
UNAVAILABLE = ecr_standin.returns(*errors("UNAVAILABLE", "service unavailable", 503))
THROTTLED = ecr_standin.returns(*errors("TOOMANYREQUESTS", "Rate exceeded", 429))
EXPIRED = ecr_standin.returns(*errors("DENIED", ecr_standin.EXPIRED, 403))
NOT_GET = errors("UNSUPPORTED", "The operation is unsupported.", 405)
WRONG_DIGEST = errors("DIGEST_INVALID", "provided digest did not match uploaded content", 400)
OTHER = "sha256:" + "0" * 64


def forgets_offset(standin, request):
    """Reports one byte less than it has, the first time that it is queried."""
    if request.method != "GET":
        return standin.serve(request)
    status, headers, body = standin.serve(request)
    last = int(headers["Range"].split("-")[1])
    return status, {**headers, "Range": f"0-{last // 2}"}, body


def breaks_off_and_does_not_say(standin, request):
    """Receives half of the chunk; a query of its size is answered "not supported"."""
    if request.method == "GET":
        return NOT_GET
    return ecr_standin.breaks_off(standin, request)


def answers_too_late(standin, request):
    time.sleep(25)  # the client waits 20 seconds


def receives_nothing(standin, request):
    status, headers, body = standin.serve(request)
    return status, {**headers, "Range": "0-0"}, body


PASSING = {
    "an upload breaks off": [Fault(PART, ecr_standin.breaks_off, 1)],
    "an upload breaks off twice": [Fault(PART, ecr_standin.breaks_off, 1)] * 2,
    "a registry takes half of a chunk": [Fault(PART, ecr_standin.takes_half, 2)],
    "a wrong offset is corrected by 416": [
        Fault(PART, ecr_standin.breaks_off, 1),
        Fault(PART, forgets_offset, 1),
    ],
    "a registry does not say how much it has": [Fault(PART, breaks_off_and_does_not_say, 2)],
    "the response to a chunk is lost": [Fault(PART, ecr_standin.loses_response, 1)],
    "the response to the end is lost": [Fault(COMPLETE, ecr_standin.loses_response, 1)],
    "the response to a manifest is lost": [Fault(WRITE, ecr_standin.loses_response, 1)],
    "a damaged upload is refused": [Fault(COMPLETE, ecr_standin.returns(*WRONG_DIGEST), 1)],
    "an upload is forgotten": [
        Fault(COMPLETE, ecr_standin.returns(*errors("BLOB_UPLOAD_UNKNOWN", "gone", 404)), 1)
    ],
    "the service fails twice": [Fault(action, UNAVAILABLE, 2) for action in (EXISTS, START, WRITE)],
    "the service throttles": [Fault(EXISTS, THROTTLED, 2), Fault(READ, THROTTLED, 1)],
    "a connection is dropped": [Fault(action, ecr_standin.drops, 1) for action in (READ, START)],
    "a registry answers too late": [Fault(READ, answers_too_late, 1)],
    "the token expires once": [Fault(PART, EXPIRED, 1)],
    "the token expires, and HEAD does not say so": [Fault(EXISTS, EXPIRED, 1)],
}


@pytest.mark.parametrize("faults", PASSING.values(), ids=PASSING)
def test_what_passes_is_overcome(operator, ecr, faults):
    ecr.faults = [Fault(fault.action, fault.answer, fault.times) for fault in faults]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 0, done
    assert all(fault.times == 0 for fault in ecr.faults), "every fault has happened"
    status, index = stored(ecr, "manifests", VERSION)
    assert status == 200 and digest_of(index) in done.stdout, done
    again = operator.install(platforms=["linux/amd64"])
    assert again.returncode == 0 and "already exists" in again.stdout, again


def test_upload_continues_where_it_broke_off(operator, ecr, files):
    ecr.faults = [Fault(PART, ecr_standin.breaks_off, 1)]

    assert operator.install(platforms=["linux/amd64"]).returncode == 0

    chunks = [request for request in ecr.requests_of(PART) if request.method == "PATCH"]
    whole, rest = chunks[0], chunks[1]
    assert rest.body == whole.body[len(whole.body) // 2 :], "only what was missing"
    assert len(ecr.requests_of(START)) == 2, "one upload for the layer, one for the configuration"


def test_wrong_offset_is_corrected(operator, ecr):
    ecr.faults = [Fault(PART, ecr_standin.breaks_off, 1), Fault(PART, forgets_offset, 1)]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 0 and "ecr:UploadLayerPart: RANGE_INVALID" in done.stderr, done
    assert len(ecr.requests_of(START)) == 2


LASTING = {
    "uploads always break off": (
        [Fault(PART, breaks_off_and_does_not_say)],
        ["failed 5 times", "run the command again"],
    ),
    "a registry receives nothing": (
        [Fault(PART, receives_nothing)],
        ["failed 5 times", "none of the bytes"],
    ),
    "uploads never have the right digest": (
        [Fault(COMPLETE, ecr_standin.returns(*WRONG_DIGEST))],
        ["failed 5 times", "DIGEST_INVALID"],
    ),
    "the service always fails": ([Fault(EXISTS, UNAVAILABLE)], ["run the command again"]),
    "the service always throttles": ([Fault(EXISTS, THROTTLED)], ["try again in a minute"]),
    "the token is always expired": ([Fault(READ, EXPIRED)], ["log in again"]),
    "connections are always dropped": ([Fault(READ, ecr_standin.drops)], ["ecr:BatchGetImage"]),
    "no place to upload to": (
        [Fault(START, ecr_standin.returns(202, {}, b""))],
        ["Location", "AWS_ENDPOINT_URL"],
    ),
    "an upload is not allowed here": (
        [Fault(START, ecr_standin.returns(*NOT_GET))],
        ["unsupported", "was not written"],
    ),
    "a blob with another digest": (
        [Fault(COMPLETE, ecr_standin.names_digest(OTHER))],
        [OTHER, "do not use"],
    ),
    "a manifest with another digest": (
        [Fault(WRITE, ecr_standin.names_digest(OTHER))],
        [OTHER, "do not use"],
    ),
    "a blob of another size": (
        [Fault(EXISTS, ecr_standin.returns(200, {"Content-Length": "7"}, b""))],
        ["7 bytes", "--repository"],
    ),
    "a blob that is not kept": (
        [Fault(EXISTS, ecr_standin.returns(*errors("BLOB_UNKNOWN", "unknown", 404)))],
        ["then does not have it"],
    ),
    "a manifest that is not kept": (
        [Fault(WRITE, ecr_standin.returns(201, {}, b""))],
        ["then does not have it"],
    ),
    "a web page instead of a registry": (
        [Fault(READ, ecr_standin.returns(404, {}, b"<html><title>Blocked</title></html>"))],
        ["Blocked", "was not written"],
    ),
    "a tag that never ends": (
        [Fault(READ, lambda standin, request: Endless())],
        ["sends more than", "HTTPS_PROXY"],
    ),
    "an error that never ends": (
        [Fault(START, lambda standin, request: Endless(500))],
        ["sends more than", "HTTPS_PROXY"],
    ),
}


@pytest.mark.parametrize("faults, texts", LASTING.values(), ids=LASTING)
def test_what_lasts_is_reported_and_nothing_is_tagged(operator, ecr, faults, texts):
    ecr.faults = [Fault(fault.action, fault.answer, fault.times) for fault in faults]
    began = time.monotonic()

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 1 and done.stdout == "", done
    last = done.stderr.splitlines()[-1]
    assert all(text in last for text in texts), done
    assert "panicked" not in done.stderr and len(last) < 1_000, done
    assert tags(ecr) == []
    assert time.monotonic() - began < pace.limit(40)
    ecr.faults = []
    again = operator.install(platforms=["linux/amd64"])
    assert again.returncode == 0 and tags(ecr) == [VERSION], again


def test_manifest_that_comes_back_changed_is_reported(operator, ecr):
    def changed(standin, request):
        status, headers, body = standin.serve(request)
        return status, headers, body.replace(b"amd64", b"amd65")

    ecr.faults = [Fault(READ, changed)]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 1 and "do not use this image" in done.stderr, done
    assert tags(ecr) == []


def test_tag_that_then_names_another_index_is_reported(operator, ecr):
    def changed(standin, request):
        status, headers, body = standin.serve(request)
        if status == 200 and request.path.endswith(f"/{VERSION}"):
            # No digest in the headers shows it.
            return status, {"Content-Type": headers["Content-Type"]}, body + b" "
        return status, headers, body

    ecr.faults = [Fault(READ, changed)]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 2 and done.stdout == "", done
    assert f"{REFERENCE} already exists with another digest" in done.stderr, done


def test_expired_token_is_renewed(operator, ecr):
    def expire(standin, request):
        standin.expire_tokens()
        return standin.refuse(request)

    ecr.faults = [Fault(COMPLETE, expire, 1)]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 0 and ecr.issued == 2, done


def test_token_that_is_never_accepted_is_reported(operator, ecr):
    unauthorized = 401, {"Www-Authenticate": 'Basic realm="x"'}, b"Not Authorized\n"
    ecr.faults = [Fault(READ, ecr_standin.returns(*unauthorized))]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 1 and "does not accept the token" in done.stderr, done
    assert "AWS_PROFILE" in done.stderr and ecr.issued == 2, done


def test_tag_that_another_process_writes_meanwhile_is_kept(operator, ecr, files):
    def other_first(standin, request):
        if request.path.endswith(f"/{VERSION}"):
            other = operator.install(platforms=["linux/arm64"])
            assert other.returncode == 0, other
            return standin.refuse(request)
        return standin.serve(request)

    ecr.faults = [Fault(WRITE, other_first, 3)]

    done = operator.install(platforms=["linux/amd64"])

    assert done.returncode == 2, done
    assert f"{REFERENCE} already exists with another digest" in done.stderr, done


def test_token_goes_to_the_registry_only(operator, ecr):
    """An upload to another host works without the token, as containerd does it."""
    elsewhere = ecr_standin.EcrStandin(ecr.registry, ecr.upstream)
    seen = []

    def stores(method, path, headers, body):
        seen.append(headers)
        if method == "PATCH":
            return 202, {"Range": f"0-{len(body) - 1}"}, b""
        return 500, {}, b""

    elsewhere.answer = stores

    def away(standin, request):
        return 202, {"Location": f"{elsewhere.url}/v2/x/blobs/uploads/1"}, b""

    ecr.faults = [Fault(START, away, 1)]
    done = operator.install(platforms=["linux/amd64"])
    elsewhere.close()

    assert done.returncode == 0 and seen, done
    assert all("Authorization" not in headers for headers in seen)
