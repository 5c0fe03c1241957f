"""Secrets to plant, in every encoding, and how to find them again; hostile strings and the same.

A leak is not a whole secret but any part of one from which eight of its characters can be read.
"""

import base64
import collections
import functools
import json
import random
import re
import string
import urllib.parse

KNOWN_CHARS = 8  # characters of a secret that no output may contain
# Characters of an encoding that contain as many characters of the secret.
KNOWN_BASE64, KNOWN_HEX, KNOWN_URL, KNOWN_UTF16, KNOWN_JSON = 12, 16, 24, 32, 48
MAX_TEXT = 780  # characters: a message keeps 1,000, and hostile text may come before

_chance = random.Random(13)


def _word(length, alphabet=string.ascii_letters + string.digits):
    return "".join(_chance.choice(alphabet) for _ in range(length))


REGISTRY_PASSWORD = "ecr" + _word(29)
LOGIN_USER, LOGIN_PASSWORD = "deploy" + _word(6), _word(20) + '+/="%' + _word(6)

# What a run reads or is given, by name.
SECRETS = {
    "secret access key": _word(36) + "/+x9",
    "session token": "IQoJb3JpZ2lu" + _word(48),
    "agent token": _word(32),
    "registry token": base64.b64encode(f"AWS:{REGISTRY_PASSWORD}".encode()).decode(),
    "registry password": REGISTRY_PASSWORD,
    "login": f"{LOGIN_USER}:{LOGIN_PASSWORD}",
    "login password": LOGIN_PASSWORD,
    "bearer token": "dckr_" + _word(40),
    "secret value": _word(26) + "ü&<" + _word(8),
    "secret leaf": _word(24),
    "parameter value": _word(30),
    "environment file": "DATABASE_URL=" + _word(28),
    "signature": _word(64, "0123456789abcdef"),
    "proxy password": _word(24),
}


def _base64(secret):
    """Returns Base64 of the secret behind 0, 1 and 2 other bytes."""
    return [base64.b64encode(b"xy"[:n] + secret.encode()).decode() for n in range(3)]


def encodings(secret):
    """Returns name -> the secret in this encoding, as a server may repeat it."""
    middle = len(secret) // 2
    found = {
        "raw": secret,
        **{f"Base64 at {n}": text for n, text in enumerate(_base64(secret))},
        "Base64 for URLs": base64.urlsafe_b64encode(secret.encode()).decode().rstrip("="),
        "URL": "".join(f"%{byte:02X}" for byte in secret.encode()),
        "URL, only what must be": urllib.parse.quote(secret, safe=""),
        "JSON escapes": "".join(f"\\u{ord(char):04x}" for char in secret),
        "JSON": json.dumps(secret)[1:-1],
        "hex": secret.encode().hex(),
        "upper-case hex": secret.encode().hex().upper(),
        # As a BMPString in a certificate is shown.
        "hex of UTF-16": secret.encode("utf-16-be").hex(),
        # As in the name of a host.
        "Base64 in lower case": _base64(secret)[0].lower(),
        "first half": secret[:middle],
        "second half": secret[middle:],
        "part": secret[4 : 4 + KNOWN_CHARS + 2],
    }
    if ":" in secret:
        user, password = secret.split(":", 1)
        found["reversed"] = f"{password}:{user}"
        found["reversed in Base64"] = base64.b64encode(found["reversed"].encode()).decode()
    return found


# A signature is a part of its encoding, and `DATABASE_URL=` is no secret.
PUBLIC = {"environment file": "DATABASE_URL=", "session token": "IQoJb3JpZ2lu"}


def _windows(text, length):
    return (text[at : at + length] for at in range(len(text) - length + 1))


@functools.cache
def fingerprints():
    """Returns length -> part of a secret in an encoding -> {(secret, encoding)}."""
    found = collections.defaultdict(lambda: collections.defaultdict(set))
    for name, secret in SECRETS.items():
        for encoding, text in encodings(secret.removeprefix(PUBLIC.get(name, ""))).items():
            length = KNOWN_CHARS
            if "Base64" in encoding:
                length = KNOWN_BASE64
            elif encoding == "hex of UTF-16":
                length = KNOWN_UTF16
            elif "hex" in encoding:
                length = KNOWN_HEX
            elif encoding == "URL":
                length = KNOWN_URL
            elif encoding == "JSON escapes":
                length = KNOWN_JSON
            for part in _windows(text, length):
                found[length][part].add((name, encoding))
    return found


def leaks(text, names):
    """Returns (secret, encoding, position) of the first leak of each secret and encoding."""
    seen = {}
    for length, parts in fingerprints().items():
        windows = _windows(text, length)
        for part in parts.keys() & set(windows):
            for name, encoding in parts[part]:
                if name in names:
                    at = text.find(part)
                    seen[name, encoding] = min(at, seen.get((name, encoding), at))
    return [(name, encoding, at) for (name, encoding), at in seen.items()]


def sent_in(request):
    """Returns the names of the secrets that a request carries: as they are, or in a Basic login."""
    return [
        name
        for name, secret in SECRETS.items()
        if secret in request or base64.b64encode(secret.encode()).decode() in request
    ]


# Marks planted text, so that what is found can be traced to its place.
TAG = re.compile(r"pl(\d{5})ce")

# What must not be in any output as it is.
INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)
_TAGS = ("<script>canary", "<img src=canary", "-->canary")
MARKUP = {
    "html": _TAGS,
    "junit": (*_TAGS, "]]>canary"),
    "markdown": (*_TAGS, "](javascript:canary"),
}

HOSTILE = {
    "terminal": "a\x1b]52;c;Y2FuYXJ5\x07b\x1b[2Jc\x9b31md\x00e\rf\x7fg",
    "bidi": "a\u202eb\u2066c\u200bd\u200fe\u2028f\ufeffg\u00adh\u061ci\U000e0041j",
    "markup": "<script>canary</script>](javascript:canary)]]>canary-->canary<img src=canary>'\"&`|",
    "long": "A" * 1_000_000,
}


@functools.cache
def secret_texts(most=MAX_TEXT):
    """Returns texts of at most so many characters that together plant every encoding.

    A longer encoding is in several texts, and what shows eight characters of the secret is in one.
    """
    parts = []
    for secret in SECRETS.values():
        for text in encodings(secret).values():
            starts = range(0, max(1, len(text) - KNOWN_JSON), most - KNOWN_JSON)
            parts += [text[start : start + most] for start in starts]
    texts = [parts.pop(0)]
    for part in parts:
        if len(texts[-1]) + 1 + len(part) > most:
            texts.append(part)
        else:
            texts[-1] += f" {part}"
    return texts


def strings(document):
    """Yields every text of a JSON document, names of members as well."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for name, value in document.items():
            yield name
            yield from strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from strings(value)
