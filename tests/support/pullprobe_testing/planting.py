"""Plans runs so that every place of every endpoint is served every kind of text; checks outputs.

Most places can be planted side by side: each image, secret, log group and file of the task has an
answer of its own. What fails hides what comes after it, so an image has one planted answer per run.
"""

import collections
import json
import queue
import re
import subprocess
import threading
import time

from pullprobe_testing import binaries, canaries, pace, planting_cloud

MAX_REPORT = 256 * 1024  # bytes: what CloudWatch Logs accepts as one event
MAX_RUN = 60  # seconds on an idle machine; the probe's own deadline is 30
MAX_TRIES = 3
# A run that takes longer was starved: what it was sent it may not have read.
MAX_UNDISTURBED = 20  # seconds
MAX_STARVED_TRIES = 20

IMAGES = ["ecr index", "ecr manifest", "ecr config redirect", "ecr layer redirect", "s3 config"]
IMAGES += ["s3 layer"]
OTHERS = ["registry challenge", "registry manifest", "registry config redirect", "cdn config"]
CARRIERS = {
    **dict.fromkeys(IMAGES, planting_cloud.ECR_IMAGES),
    **dict.fromkeys(OTHERS, planting_cloud.OTHER_IMAGES),
    "secret": planting_cloud.SECRET_NAMES,
    "login": [planting_cloud.LOGIN],
    **dict.fromkeys(["create log stream", "put log events"], planting_cloud.LOG_GROUPS),
    **dict.fromkeys(["file", "file head"], planting_cloud.FILES),
    **{
        f"{what} of {who}": hosts
        for what in ("names", "certificate")
        for who, hosts in planting_cloud.HOSTS_OF.items()
    },
}
# What reads these is what reads the same of a service, and one run has few of them.
SAME_CODE = [
    f"{what} of {who}"
    for what in ("names", "certificate")
    for who in ("a redirect", "a token service")
]
LONG_PLACES = ["400 message", "404 registry", "403 XML", "200 member names", "400 text", "403 page"]
# What a run may plant besides: nothing that another of them hides.
KINDS_OF_RUN = [
    [*IMAGES, *OTHERS, "secret", "parameters", "create log stream", "bucket location", "file head"],
    ["ecr token", "registry token", "login", "task metadata", "put log events", "file"],
    ["credentials", "container metadata"],
    ["definition parameter"],
    ["definition object"],
    *([f"{what} of {who}"] for what in ("names", "certificate") for who in planting_cloud.HOSTS_OF),
]


class Planting:
    """A text for a place: an endpoint and a way to plant it there."""

    def __init__(self, number, endpoint, place, plant, kind, text):
        self.endpoint, self.place, self.kind = endpoint, place, kind
        self.tries = self.starved_tries = 0
        self.tag = f"pl{number:05}ce"
        self.text = f"{self.tag} {text}"
        self.plant = lambda healthy: plant(healthy, self.text)

    def __repr__(self):
        return f"{self.endpoint}: {self.place}: {self.kind}"


def rotated(words, by):
    by %= len(words)
    return words[by:] + words[:by]


def plantings():
    """Returns what is planted in every place of every endpoint.

    Every place gets all secrets as they are, hostile text, and some encodings. A place of every
    endpoint gets the other encodings at the others, and a place of one endpoint gets all of them.
    `long` goes into some bodies only.
    """
    raw = list(canaries.SECRETS.values())
    hostile = " ".join(text for name, text in canaries.HOSTILE.items() if name != "long")
    made = []

    def add(endpoint, place, plant, kind, text):
        made.append(Planting(len(made), endpoint, place, plant, kind, text))

    for endpoint_number, endpoint in enumerate(planting_cloud.ROOTS):
        for place_number, (place, plant) in enumerate(planting_cloud.variants(endpoint).items()):
            number = endpoint_number + place_number
            texts = canaries.secret_texts(getattr(plant, "most", canaries.MAX_TEXT))
            some = texts[number % len(texts)]
            parts = (hostile, some) if number // len(texts) % 2 else (some, hostile)
            add(endpoint, place, plant, "hostile", " ".join(parts))
            if getattr(plant, "every_text", False) and endpoint not in SAME_CODE:
                for text in texts:
                    add(endpoint, place, plant, "encodings", text)
            else:
                add(endpoint, place, plant, "secrets", " ".join(rotated(raw, number)))
            if place in LONG_PLACES:
                add(endpoint, place, plant, "long", canaries.HOSTILE["long"])
    return made


class Plan:
    """What is still to be planted."""

    def __init__(self, plantings):
        self.queues = collections.defaultdict(collections.deque)
        for planting in plantings:
            self.queues[planting.endpoint].append(planting)
        self.never_served = []
        self.lock = threading.Lock()

    def next(self):
        """Returns the plantings of the next run by (endpoint, carrier); empty at the end."""
        with self.lock:
            pending = [
                sum(len(self.queues[e]) / len(CARRIERS.get(e, [""])) for e in kind)
                for kind in KINDS_OF_RUN
            ]
            kind = KINDS_OF_RUN[pending.index(max(pending))]
            chosen, used = {}, set()
            for endpoint in sorted(kind, key=lambda e: -len(self.queues[e])):
                for carrier in CARRIERS.get(endpoint, [""]):
                    group = (endpoint in OTHERS, carrier) if carrier else endpoint
                    if group not in used and self.queues[endpoint] and self._fits(endpoint, chosen):
                        used.add(group)
                        chosen[endpoint, carrier] = self.queues[endpoint].popleft()
            return chosen

    def _fits(self, endpoint, chosen):
        # The images of a run share the chain's stages evenly.
        stages = IMAGES if endpoint in IMAGES else OTHERS if endpoint in OTHERS else [endpoint]
        busy = [stage for stage in stages if self.queues[stage]]
        mine = sum(1 for key in chosen if key[0] == endpoint)
        carriers = len(CARRIERS.get(endpoint, [""]))
        return mine < max(1, -(-carriers // max(1, len(busy))))

    def conclude(self, chosen, run):
        with self.lock:
            for planting in chosen.values():
                if planting not in run.planted:
                    planting.tries += not run.starved
                    planting.starved_tries += run.starved
                    if planting.tries < MAX_TRIES and planting.starved_tries < MAX_STARVED_TRIES:
                        self.queues[planting.endpoint].append(planting)
                    else:
                        self.never_served.append(planting)


class Finished:
    """A run: what was planted and held, and each output."""

    def __init__(self, slot, chosen, text_output, done, seconds):
        self.planted = [chosen[key] for key in chosen if key in slot.served]
        self.starved = seconds > MAX_UNDISTURBED
        self.sent = set(slot.sent)  # (secret, host)
        self.exit_code = done.returncode
        self.outputs = {
            "text" if text_output else "JSON": done.stdout,
            "stderr": done.stderr,
            **{f"log event {n}": event for n, event in enumerate(slot.events)},
        }
        self.reports = [
            text
            for name, text in self.outputs.items()
            if text.startswith('{"schema":"pullprobe/rep')
        ]
        self.held = self._held(slot) | {"agent token", "proxy password"}

    def _held(self, slot):
        """Returns the secrets that the run has read, and not only been sent."""
        proven = planting_cloud.proven(slot.sent)
        if self.starved:
            return proven
        has_keys = any(
            seen["id"] == "credentials/read" and seen["outcome"] == "passed"
            for report in self.reports
            for seen in json.loads(report)["observations"]
        )
        return proven | slot.held if has_keys or "session token" in proven else proven


def run_all(cloud, made, binary=None):
    """Runs the probe until everything is planted. Returns the runs, and what was never served."""
    plan, finished, errors = Plan(made), [], queue.Queue()
    gate = pace.Gate(len(cloud.slots))

    def work(slot):
        number = 0
        while chosen := plan.next():
            number += 1
            try:
                with gate.enter():
                    run = run_one(cloud, slot, chosen, binary or binaries.OPERATOR, number)
                finished.append(run)
            except Exception as error:
                errors.put(error)
                return
            plan.conclude(chosen, run)

    threads = [threading.Thread(target=work, args=(slot,)) for slot in cloud.slots.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if not errors.empty():
        raise errors.get()
    return finished, plan.never_served


def run_one(cloud, slot, chosen, binary, number=0, labels=None):
    slot.reset({key: planting.plant for key, planting in chosen.items()})
    endpoints = {endpoint for endpoint, _ in chosen}
    source, given = "-", json.dumps(planting_cloud.definition())
    if "definition parameter" in endpoints:
        source, given = "ssm:/definition", None
    elif "definition object" in endpoints:
        source, given = "s3://envs/definition.json", None
    # The event in the log is JSON, so the terminal may have text, unless nothing reaches the log.
    first_log = [("create log stream", ""), ("put log events", ""), ("credentials", "")]
    first_log += [(e, planting_cloud.LOG_GROUPS[0]) for e, _ in first_log[:2]]
    first_log += [(f"{e} of a service", planting_cloud.LOGS_HOST) for e in ("names", "certificate")]
    as_text = not any(key in chosen for key in first_log) or number % 3 == 0
    command = [binary, "probe", "--task-definition", source, "--format"]
    command += ["text" if as_text else "json", "--ca-bundle", cloud.authority.file]
    command += ["--resolver", f"{slot.address(planting_cloud.RESOLVER_ADDRESS)}:53"]
    command += [f"--label={name}={value}" for name, value in (labels or {}).items()]
    command += ["--platform", "linux/amd64", "--run-id", f"run-{slot.number}-{time.time_ns()}"]
    began = time.monotonic()
    done = subprocess.run(
        list(map(str, command)),
        **({"stdin": subprocess.DEVNULL} if given is None else {"input": given}),
        env=planting_cloud.agent_environment(slot),
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=pace.limit(MAX_RUN),
    )
    return Finished(slot, chosen, as_text, done, time.monotonic() - began)


def find_leaks(runs):
    """Returns (place, secret, encoding, output) -> excerpt, for each secret that a run held.

    Where values are read, no word of an answer may come out, whether the run holds it or not.
    """
    found = {}
    for run in runs:
        for output, text in run.outputs.items():
            for secret, encoding, at in canaries.leaks(text, canaries.SECRETS):
                excerpt = text[max(0, at - 160) : at + 40]
                tags = canaries.TAG.findall(text[max(0, at - 1_200) : at + 1])
                place = place_of(run, tags[-1] if tags else None)
                is_of_values = place.split(": ")[0] in planting_cloud.VALUE_ENDPOINTS
                if secret not in run.held and not is_of_values:
                    continue
                output = output.split(" 0")[0].rstrip(" 0123456789")
                found.setdefault((place, secret, encoding, output), excerpt)
    return found


def place_of(run, tag):
    for planting in run.planted:
        if tag and planting.tag == f"pl{tag}ce":
            return f"{planting.endpoint}: {planting.place}"
    return "one of " + ", ".join(sorted({f"{p.endpoint}: {p.place}" for p in run.planted}))[:300]


def find_hostile(run):
    """Returns (place, what, output) for each character that acts, and each output out of bounds."""
    found = []

    def note(what, output, text="", at=0):
        tags = canaries.TAG.findall(text[max(0, at - 1_200) : at + 1])
        found.append((place_of(run, tags[-1] if tags else None), what, output))

    for output, text in run.outputs.items():
        documents = [text]
        if len(text.encode("utf-8", "surrogateescape")) > MAX_REPORT:
            note(f"{len(text)} characters", output)
        if text.startswith("{"):
            try:
                document = json.loads(text)
            except ValueError as error:
                note(f"not JSON: {error}", output)
                continue
            documents += list(canaries.strings(document))
        for part in documents:
            part = part.removesuffix("\n")
            hit = canaries.INVISIBLE.search(part)
            if hit:
                note(f"U+{ord(hit.group()):04X}", output, part, hit.start())
    return found


def as_table(rows, most=200):
    """Returns rows as lines, each kind once, with their number."""
    lines = [" | ".join(map(str, row)) for row in rows]
    counted = collections.Counter(re.sub(r"\d{3,}", "N", line) for line in lines)
    shown = [f"{count:4} x {line}" for line, count in sorted(counted.items())]
    more = [f"… and {len(shown) - most} more kinds"] if len(shown) > most else []
    return "\n".join([f"{len(lines)} in all:", *shown[:most], *more])
