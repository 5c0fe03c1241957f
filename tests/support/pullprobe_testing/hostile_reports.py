"""Reports with hostile text in every place where the schema has a text."""

import copy
import json

from pullprobe_testing import binaries, canaries

SCHEMA = json.loads((binaries.ROOT / "schemas/report-v1.json").read_text())
# Texts that have a form, with an example.
FORMS = {
    "schema": "pullprobe/report/v1",
    "started_at": "2026-11-24T10:00:00Z",
    "expires_at": "2026-11-24T16:00:00Z",
    "not_before": "2026-01-01T00:00:00Z",
    "not_after": "2027-01-01T00:00:00Z",
    "address": "10.0.1.10",
    "addresses": "10.0.9.1",
    "resolver": "10.0.0.2:53",
    "unanswered": "10.0.0.3:53",
    "peer": "10.0.9.1:443",
    "subnet_cidr": "10.0.1.0/24",
    "source": "task-role",
    "id": "ecr.api/authorize",
    "because": "ecr.api/authorize",
    "superseded_by": "ecr.api/connect",
    "status": "fail",
    "outcome": "failed",
}
# Members of any form.
FREE = [("plan", "images", 0, "image"), ("plan", "x"), ("_aws", "x"), ("Another",)]


def resolved(node):
    while "$ref" in node:
        node = SCHEMA["$defs"][node["$ref"].rsplit("/", 1)[1]]
    for alternative in node.get("anyOf", []):
        if alternative.get("type") != "null":
            return resolved(alternative)
    return node


def members_of(node, choice):
    """Returns name -> schema of each member; of alternatives, those of one."""
    found = dict(node.get("properties", {}))
    alternatives = [one for one in node.get("oneOf", []) if one.get("type") == "object"]
    if alternatives:
        found |= alternatives[min(choice, len(alternatives) - 1)].get("properties", {})
    return found


def sample(node, name="", choice=1):
    """Returns a value of a schema with every member that it may have."""
    node = resolved(node)
    kinds = node.get("type", "any")
    kind = next(k for k in ([kinds] if isinstance(kinds, str) else kinds) if k != "null")
    members = members_of(node, choice)
    if members:
        return {member: sample(inner, member, choice) for member, inner in members.items()}
    if "const" in node:
        return node["const"]
    if "oneOf" in node:
        words = [one["const"] for one in node["oneOf"]]
        return FORMS[name] if FORMS.get(name) in words else words[min(1, len(words) - 1)]
    if kind == "array":
        return [sample(node["items"], name, choice)]
    if kind == "object":
        inner = node.get("additionalProperties")
        return {"label": sample(inner, "label")} if isinstance(inner, dict) else {}
    return {"string": FORMS.get(name, "text"), "boolean": True, "any": {}}.get(kind, 11)


def texts_of(node, path=(), choice=1):
    """Returns the path of each text of a schema that is not one of a few words."""
    node = resolved(node)
    kinds = node.get("type", "any")
    for member, inner in members_of(node, choice).items():
        yield from texts_of(inner, (*path, member), choice)
    if "items" in node:
        yield from texts_of(node["items"], (*path, 0), choice)
    if isinstance(node.get("additionalProperties"), dict):
        yield from texts_of(node["additionalProperties"], (*path, "label"), choice)
    if "string" in kinds and "const" not in node:
        yield path


def with_text(document, path, text):
    document = copy.deepcopy(document)
    at = document
    for step, following in zip(path[:-1], path[1:], strict=True):
        if isinstance(at, dict):
            at.setdefault(step, [{}] if following == 0 else {})
        at = at[step]
    at[path[-1]] = text
    return document


def reports(more=""):
    """Returns (path, report) with hostile text at each path, and in a name of each map."""
    hostile = " ".join(text for name, text in canaries.HOSTILE.items() if name != "long") + more
    found = {}
    # Passed, failed, not reached, not checked: each has members of its own.
    for choice in range(4):
        whole = sample(SCHEMA, choice=choice)
        for path in [*texts_of(SCHEMA, choice=choice), *FREE]:
            found.setdefault(path, with_text(whole, path, f"tag{len(found):04}s {hostile}"))
    whole = sample(SCHEMA)
    for path in (("run", "labels"), ("plan",), ("_aws",), ()):
        found[*path, "name"] = with_text(whole, (*path, f"tag{len(found):04}s {hostile}"), "value")
    for number, ((path, report)) in enumerate(found.items()):
        # Each is a vantage of its own.
        if path[:2] != ("run", "labels"):
            report["run"]["labels"] = {"subnet": f"subnet-{number}"}
        if path != ("vantage", "subnet_cidr"):
            report["vantage"]["subnet_cidr"] = f"10.0.{number}.0/24"
    return found
