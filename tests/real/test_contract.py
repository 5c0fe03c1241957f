"""The checks that every report goes through do find what they look for."""

import json

from pullprobe_testing import report_contract as contract

SOUND = {
    "schema": "pullprobe/report/v1",
    "run": {},
    "vantage": {},
    "identity": {},
    "ruled_out": [],
    "plan": {},
    "delivery": {},
    "_aws": {},
    "verdict": {"status": "fail", "exit_code": 11},
    "findings": [
        {
            "cause": "s3-gateway-missing",
            "family": "network",
            "confidence": "likely",
            "summary": "s",
            "remedy": "r",
            "because": ["s3/connect/198.18.0.10"],
        }
    ],
    "observations": [
        {
            "id": "s3/connect/198.18.0.10",
            "role": "s3",
            "phase": "connect",
            "outcome": "failed",
            "failure": "timed-out",
        }
    ],
}


def departures(**changed):
    return contract.departures(json.dumps({**SOUND, **changed}))


def test_a_sound_report_has_no_departures():
    assert departures() == []


def test_each_departure_is_named():
    assert departures(verdict={"status": "fail", "exit_code": 12}) == [
        "exit code 12 is not that of the first finding's family"
    ]
    assert departures(verdict={"status": "pass", "exit_code": 11}) == [
        "status pass with exit code 11"
    ]
    assert departures(findings=[]) == ["fail without a finding"]
    assert departures(findings=[{**SOUND["findings"][0], "because": ["logs/resolve"]}]) == [
        "s3-gateway-missing rests on 'logs/resolve', which was not observed"
    ]
    assert departures(findings=[{**SOUND["findings"][0], "cause": "s3-missing"}]) == [
        "cause 's3-missing' is not in the contract"
    ]
    assert departures(observations=SOUND["observations"] * 2) == [
        "observation id twice: s3/connect/198.18.0.10"
    ]
    assert departures(ruled_out=[{"cause": "network-acl", "because": []}]) == [
        "ruled_out network-acl: unknown, or without a reason"
    ]
    assert departures(vantage="https://bucket/layer?X-Amz-Signature=1f") == [
        "something that looks like a secret: X-Amz-Signature="
    ]
    assert contract.departures(json.dumps(SOUND, indent=1)) == ["not exactly one line"]
