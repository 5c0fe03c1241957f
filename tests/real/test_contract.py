"""The contract checks, which every report passes, find violations."""

import json

from pullprobe_testing import report_contract

FINDING = {
    "cause": "s3-gateway-missing",
    "family": "network",
    "confidence": "likely",
    "summary": "s",
    "remedy": "r",
    "because": ["s3/connect/198.18.0.10"],
}
OBSERVATION = {
    "id": "s3/connect/198.18.0.10",
    "dependency": "s3",
    "phase": "connect",
    "outcome": "failed",
    "failure": "timed-out",
}
VALID = {
    **dict.fromkeys(["run", "vantage", "identity", "plan", "delivery", "_aws"], {}),
    "schema": "pullprobe/report/v1",
    "ruled_out": [],
    "verdict": {"status": "fail", "exit_code": 11},
    "findings": [FINDING],
    "observations": [OBSERVATION],
}


def violations(**changed):
    return report_contract.violations(json.dumps({**VALID, **changed}))


def test_valid_report_has_no_violation():
    assert violations() == []


def test_every_violation_is_reported():
    assert violations(verdict={"status": "fail", "exit_code": 12}) == [
        "exit code 12 does not belong to the family of the first finding"
    ]
    assert violations(verdict={"status": "pass", "exit_code": 11}) == [
        "status pass with exit code 11"
    ]
    assert violations(findings=[]) == ["fail without a finding"]
    assert violations(findings=[{**FINDING, "because": ["logs/resolve"]}]) == [
        "s3-gateway-missing rests on 'logs/resolve', which was not observed"
    ]
    assert violations(findings=[{**FINDING, "cause": "s3-missing"}]) == [
        "cause 's3-missing' is not in the contract"
    ]
    assert violations(observations=[{**OBSERVATION, "dependency": "s4"}]) == [
        f"observation {OBSERVATION['id']}: unknown dependency s4"
    ]
    assert violations(observations=[OBSERVATION] * 2) == [
        f"observation id occurs twice: {OBSERVATION['id']}"
    ]
    assert violations(ruled_out=[{"cause": "network-acl", "because": []}]) == [
        "ruled_out network-acl: unknown, or without a reason"
    ]
    assert violations(vantage="https://bucket/layer?X-Amz-Signature=1f") == [
        "contains what looks like a secret: X-Amz-Signature="
    ]
    assert report_contract.violations(json.dumps(VALID, indent=1)) == ["is not exactly one line"]
