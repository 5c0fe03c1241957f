"""Rules that every report follows: the fixed names of report/v1 and its inner consistency.

The names are repeated here on purpose: a test that took the list of causes from the binary would
not notice a renamed cause.
"""

import json
import re

# family -> exit code, and family -> causes
FAMILIES = {
    "resolve": 10,
    "network": 11,
    "tls": 12,
    "credentials": 13,
    "permission": 14,
    "image": 15,
    "secret": 16,
    "logs": 17,
    "storage": 18,
    "limit": 19,
    "placement": 20,
}
CAUSES = {
    "resolve": """
        resolver-unreachable resolver-failure name-not-found private-zone-shadows-name
        name-points-elsewhere public-answer-where-private-expected
    """,
    "network": """
        no-egress-route interface-endpoint-missing s3-gateway-missing endpoint-security-group
        task-security-group-egress network-acl endpoint-address-unreachable connection-refused
        connection-reset answered-by-intermediary mtu-black-hole service-unresponsive service-slow
        pull-through-upstream-unreachable host-without-ipv6 private-dns-disabled public-ip-missing
        nat-gateway-unhealthy route-table-differs vpc-block-public-access
    """,
    "tls": "tls-intercepted tls-untrusted tls-wrong-name tls-expired tls-stalled",
    "credentials": "no-credentials credentials-expired credentials-invalid clock-skew",
    "permission": """
        identity-policy-missing-action identity-policy-denies permissions-boundary-denies
        session-policy-denies service-control-policy-denies resource-control-policy-denies
        endpoint-policy-denies s3-endpoint-policy-denies resource-policy-denies kms-key-denies
        permission-denied
    """,
    "image": """
        repository-not-found image-not-found platform-mismatch too-many-layers layer-unavailable
        registry-login-failed invalid-image-reference
    """,
    "secret": """
        secret-not-found secret-json-key-missing secret-is-binary secret-not-json
        secret-version-missing parameter-not-found invalid-value-from
    """,
    "logs": "log-group-missing log-stream-missing",
    "storage": "file-system-unreachable file-system-denied environment-file-missing disk-full",
    "limit": "registry-rate-limited throttled",
    "placement": """
        network-interface-unavailable no-free-address role-not-assumable capacity-unavailable
    """,
}
FAMILY = {code: family for family, codes in CAUSES.items() for code in codes.split()}
FAMILY["unknown"] = None
DEPENDENCIES = set(
    """
    ecr.api ecr.dkr s3 logs secretsmanager ssm registry efs environment-file credentials metadata
    clock kms ssmmessages log-router splunk service-connect
    """.split()
)
PHASES = set("resolve connect handshake authorize manifest blob fetch write read mount".split())
OUTCOMES = {"passed", "failed", "not-reached", "not-checked"}
EXIT_CODES = {"pass": {0}, "warn": {4}, "inconclusive": {3}, "fail": set(FAMILIES.values())}
SECTIONS = set(
    "run vantage identity verdict findings ruled_out observations plan delivery _aws".split()
)
MAX_EVENT_SIZE = 256 * 1024  # bytes in one event of CloudWatch Logs
SECRET = re.compile(
    r'X-Amz-(Signature|Security-Token|Credential)=|"?Authorization"?\s*:\s*"'
    r"|\bBasic [A-Za-z0-9+/=]{40,}|AKIA[0-9A-Z]{16}|ASIA[0-9A-Z]{16}"
)


def violations(text):
    """Returns every way in which a report violates the contract, one sentence each."""
    found = []
    secret = SECRET.search(text)
    if secret:
        found.append(f"contains what looks like a secret: {secret[0][:40]}")
    if len(text.encode()) > MAX_EVENT_SIZE:
        found.append(f"{len(text.encode())} bytes do not fit one log event")
    if len([line for line in text.splitlines() if line.strip()]) != 1:
        return [*found, "is not exactly one line"]
    report = json.loads(text)
    if report.get("schema") != "pullprobe/report/v1":
        found.append(f"has schema {report.get('schema')!r}")
    found += [f"has no {section!r}" for section in sorted(SECTIONS - set(report))]
    observed = [observation.get("id") for observation in report.get("observations", [])]
    repeated = sorted({name for name in observed if observed.count(name) > 1})
    found += [f"observation id occurs twice: {name}" for name in repeated]
    for observation in report.get("observations", []):
        found += _observation(observation)
    for finding in report.get("findings", []):
        found += _finding(finding, observed)
    for excluded in report.get("ruled_out", []):
        if excluded.get("cause") not in FAMILY or not excluded.get("because"):
            found.append(f"ruled_out {excluded.get('cause')}: unknown, or without a reason")
    return found + list(_verdict(report.get("verdict", {}), report.get("findings", [])))


def _observation(observation):
    name, outcome = f"observation {observation.get('id')}", observation.get("outcome")
    for key, known in (("dependency", DEPENDENCIES), ("phase", PHASES), ("outcome", OUTCOMES)):
        if observation.get(key) not in known:
            yield f"{name}: unknown {key} {observation.get(key)}"
    required = {"failed": "failure", "not-reached": "blocked_by", "not-checked": "why"}.get(outcome)
    if required and not observation.get(required):
        yield f"{name}: {outcome} without {required!r}"


def _finding(finding, observed):
    cause = finding.get("cause")
    if cause not in FAMILY:
        yield f"cause {cause!r} is not in the contract"
    elif FAMILY[cause] and FAMILY[cause] != finding.get("family"):
        yield f"{cause}: family {finding.get('family')} instead of {FAMILY[cause]}"
    if finding.get("confidence") not in ("certain", "likely", "possible"):
        yield f"{cause}: unknown confidence {finding.get('confidence')}"
    if not finding.get("summary") or not finding.get("remedy") or not finding.get("because"):
        yield f"{cause}: summary, remedy or because is empty"
    for name in finding.get("because", []):
        if name not in observed:
            yield f"{cause} rests on {name!r}, which was not observed"


def _verdict(verdict, findings):
    status, code = verdict.get("status"), verdict.get("exit_code")
    if code not in EXIT_CODES.get(status, ()):
        yield f"status {status} with exit code {code}"
    if status == "fail" and not findings:
        yield "fail without a finding"
    if status == "fail" and findings and code != FAMILIES.get(findings[0].get("family")):
        yield f"exit code {code} does not belong to the family of the first finding"
