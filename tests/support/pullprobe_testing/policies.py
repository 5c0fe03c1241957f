"""IAM policies: those that the documentation shows, and their actions."""

import json

from pullprobe_testing.binaries import ROOT


def documented_policy(sid):
    """Returns the documented policy that has a statement with this Sid."""
    for file in sorted((ROOT / "docs/policies").glob("*.json")):
        text = file.read_text()
        if f'"{sid}"' in text:
            return json.loads(text)
    raise LookupError(f"no documented policy has a statement {sid}")


def actions_of(statements):
    """Returns the actions of all statements as a set."""
    return {action for statement in statements for action in as_list(statement["Action"])}


def as_list(value):
    """Returns a policy element as a list, whether it is a list or a single value."""
    return value if isinstance(value, list) else [value]


def policy(action, resource="*", effect="Allow", **more):
    """Returns a policy document with one statement."""
    statement = {"Effect": effect, "Action": action, "Resource": resource, **more}
    return {"Version": "2012-10-17", "Statement": [statement]}


def trust_policy(service):
    """Returns the trust policy of a role that one AWS service assumes."""
    principal = {"Service": f"{service}.amazonaws.com"}
    statement = {"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"}
    return {"Version": "2012-10-17", "Statement": [statement]}
