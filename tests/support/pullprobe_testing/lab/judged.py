"""Faults that come and go, or that a device on the path causes: judged by rules instead of a table.

What a run of them reports depends on chance, so docs/confusion-matrix.md has no row for them. The
rules are: no wrong cause is `certain`, no true cause is in `ruled_out`, and what lets a task start
is never `fail`.
"""

from pullprobe_testing.lab.faults import Fault, hub, update
from pullprobe_testing.lab.middlebox import ANSWERS, Box
from pullprobe_testing.lab.subnet import DEPENDENCIES, DUAL_STACK_IMAGE, HUB, PATHS

# Limits under which a real task starts: the agent, the puller and the log driver open a few
# connections each and keep them. Whether it starts under the first two of each is not known.
CONNECTIONS = (2, 4, 8)
SYN_RATES = (1, 2, 5, 10)
NAT_PORTS = (4, 8, 16)
PATH_MTUS = (600, 800, 1000, 1240, 1400, 1480)
CHANCES = (20, 33, 50)  # percent
RUNS_OF_CHANCE = 3
ANSWERED = ("ecr.api", "ecr.dkr", "s3", "logs", "secretsmanager")
SPOILED = ("ecr.api", "ecr.dkr", "s3", "logs")
# action -> its cause, and others that are true of it
ACTIONS = {
    "hang": ("tls-stalled", "service-unresponsive", "service-slow"),
    "hang-answer": ("service-unresponsive", "service-slow", "tls-stalled"),
    "reset": ("connection-reset",),
    "close": ("connection-reset", "tls-stalled"),
    "cut": ("connection-reset", "service-unresponsive", "layer-unavailable"),
}
ANSWERED_BY_INTERMEDIARY = "answered-by-intermediary"
INTERCEPTED = "tls-intercepted"
UNTRUSTED = "tls-untrusted"
ELSEWHERE = "name-points-elsewhere"
PASSES = {"starts": True, "fails": False}
EITHER = {"fails": False}


def faults():
    """Yields all of them.

    Each function below yields a name, a path, a change of the subnet, the injected cause if there
    is a code for it, further causes that are true as well, and further fields of the fault.
    """
    for build in (
        answers,
        spoiled,
        limits,
        lies,
        addresses,
        sizes,
        losses,
        ipv6_only,
        certificates,
    ):
        kind = build.__name__
        for name, path, change, *causes in build():
            options = causes.pop() if causes and isinstance(causes[-1], dict) else {}
            subnet = PATHS[path]()
            change(subnet)
            injected, also = tuple(causes[:1]), tuple(causes[1:])
            yield Fault(f"{kind}/{name}@{path}", injected, subnet, kind=kind, also=also, **options)


def box(subnet, dependency, action, when="always", answer=""):
    subnet.boxes[dependency] = Box(action, when, answer)


def answers():
    """A middlebox answers in a service's place, with a certificate that the task trusts."""
    for dependency in ANSWERED:
        for answer in ANSWERS:

            def change(subnet, dependency=dependency, answer=answer):
                box(subnet, dependency, "answer", answer=answer)

            name = f"{answer}:{dependency}"
            yield name, "endpoint", change, ANSWERED_BY_INTERMEDIARY, ELSEWHERE
    for when in ("turn:2", "chance:33"):

        def sometimes(subnet, when=when):
            box(subnet, "ecr.api", "answer", when, "403-json")

        causes = ANSWERED_BY_INTERMEDIARY, ELSEWHERE
        yield f"403-json-{when}:ecr.api", "nat", sometimes, *causes, {**EITHER, "repeats": 3}


def spoiled():
    """A middlebox spoils connections: always, once, by turn, by chance."""
    for action, causes in ACTIONS.items():
        for dependency in SPOILED:

            def change(subnet, when, dependency=dependency, action=action):
                box(subnet, dependency, action, when)

            def always(subnet, change=change):
                change(subnet, "always")

            def once(subnet, change=change):
                change(subnet, "once")

            yield f"{action}:{dependency}", "endpoint", always, *causes
            yield f"{action}-once:{dependency}", "endpoint", once, *causes, PASSES
        for turn in (2, 3):

            def by_turn(subnet, turn=turn, action=action):
                for dependency in SPOILED:
                    box(subnet, dependency, action, f"turn:{turn}")

            yield f"{action}-turn-{turn}", "nat", by_turn, *causes, EITHER
        for percent in CHANCES:

            def by_chance(subnet, percent=percent, action=action):
                for dependency in SPOILED:
                    box(subnet, dependency, action, f"chance:{percent}")

            options = {**EITHER, "repeats": RUNS_OF_CHANCE}
            yield f"{action}-chance-{percent}", "endpoint", by_chance, *causes, options
    for seconds, cause in ((1, ()), (3, ("service-slow",))):

        def late(subnet, seconds=seconds):
            for dependency in SPOILED:
                box(subnet, dependency, f"delay:{seconds}")

        yield f"delay-{seconds}", "endpoint", late, *cause, PASSES
    for dependency in ("ecr.dkr", "logs"):

        def late_hello(subnet, dependency=dependency):
            box(subnet, dependency, "delay-hello:3.5")

        yield f"delay-hello-3.5:{dependency}", "endpoint", late_hello, "service-slow", PASSES
    for dependency in SPOILED:

        def refused(subnet, dependency=dependency):
            subnet.refuses_syn.update(dict.fromkeys(subnet.of(dependency), 10**6))

        def lost(subnet, dependency=dependency):
            subnet.loses_syn.update(dict.fromkeys(subnet.of(dependency), 10**6))

        refusal = "connection-refused", PASSES
        yield f"refused-once:{dependency}", "nat", refused, *refusal
        yield f"syn-lost-once:{dependency}", "nat", lost, PASSES


def limits():
    """A device on the path admits few connections. A task starts: it opens few."""
    limited = [
        (path, field, limit, EITHER if limit in limits[:2] else PASSES)
        for path in ("endpoint", "nat")
        for field, limits in (("connections", CONNECTIONS), ("syn_rate", SYN_RATES))
        for limit in limits
    ]
    limited += [("nat", "nat_ports", ports, PASSES) for ports in NAT_PORTS]
    for path, field, limit, end in limited:

        def change(subnet, field=field, limit=limit):
            update(subnet, **{field: limit})

        yield f"{field.replace('_', '-')}-{limit}", path, change, {**end, "alone": True}


def lies():
    """A resolver that is slow, fails intermittently, or returns wrong answers."""
    for seconds in ("1.2", "2.2", "3.2", "4.5"):
        yield (
            f"slow-{seconds}",
            "endpoint",
            lambda s, seconds=seconds: update(s, lie=f"slow:{seconds}"),
            PASSES,
        )
    failure = "resolver-failure"
    chance = {"repeats": RUNS_OF_CHANCE}
    yield "servfail-once", "endpoint", lambda s: update(s, lie="servfail:once"), failure, PASSES
    yield (
        "servfail-10",
        "endpoint",
        lambda s: update(s, lie="servfail:10"),
        failure,
        {**PASSES, **chance},
    )
    yield (
        "servfail-50",
        "endpoint",
        lambda s: update(s, lie="servfail:50"),
        failure,
        {**EITHER, **chance},
    )
    yield "wrong-id", "endpoint", lambda s: update(s, lie="wrong-id"), PASSES
    for dependency in ("ecr.api", "logs"):
        loop = {"lie": "loop", "lie_about": (dependency,)}
        yield (
            f"loop:{dependency}",
            "endpoint",
            lambda s, loop=loop: update(s, **loop),
            failure,
            "name-not-found",
        )
    for dependency in ("ecr.dkr", "logs"):
        for which, end in (
            ("answer", (PASSES,)),
            ("half-answer", ("endpoint-address-unreachable", EITHER)),
        ):

            def many(subnet, dependency=dependency, which=which):
                lie = f"many:{subnet.vpc}"
                update(subnet, lie=lie, lie_about=(dependency,), many=(dependency, which))

            yield f"900-addresses-{which}:{dependency}", "endpoint", many, *end


def addresses():
    """A resolver answers with an address that cannot be AWS's, or that is another company's."""
    for address in ("0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "192.0.2.77", "8.8.4.4"):
        for path, names in (("endpoint", ["logs"]), ("nat", DEPENDENCIES)):

            def change(subnet, address=address, names=names):
                subnet.names.update({name: [address] for name in names})

            yield f"{address}:{names[0] if len(names) == 1 else 'all'}", path, change, ELSEWHERE


def sizes():
    """A link with a small MTU, and ICMP lost, in one direction."""
    for mtu in PATH_MTUS:
        for path in ("endpoint", "nat"):

            def back(subnet, mtu=mtu):
                update(subnet, small_mtu=mtu, small_link=subnet.of(*DEPENDENCIES))

            def there(subnet, mtu=mtu):
                update(subnet, small_mtu=mtu, small_link_out=subnet.of(*DEPENDENCIES))

            yield f"{mtu}-back", path, back, "mtu-black-hole"
            yield f"{mtu}-there", path, there, "mtu-black-hole"


def losses():
    """The path loses packets by chance, in both directions."""
    for percent in (5, 20, 40):
        for path in ("endpoint", "nat"):
            # At 40 percent a handshake alone needs many tries; whether a task starts is chance.
            starts = EITHER if percent == 40 else PASSES
            options = {**starts, "repeats": RUNS_OF_CHANCE, "alone": percent == 40}
            yield f"{percent}", path, lambda s, percent=percent: update(s, loss=percent), options


def ipv6_only():
    """The task has no IPv4 address, and its services have dual-stack names."""
    only = {"ipv6": "only", "image": DUAL_STACK_IMAGE}
    for path in ("endpoint", "nat"):
        yield "healthy", path, lambda s: update(s, **only), PASSES
        # The registry of this name has no IPv6 address.
        yield "image-of-ipv4-registry", path, lambda s: update(s, ipv6="only"), "host-without-ipv6"
    # The registry has an address of DNS64; the host of its layers, to which it redirects, has none.
    layers_over_ipv4 = "host-without-ipv6"
    yield "dns64-registry", "nat", lambda s: (update(s, **only), hub(s)), layers_over_ipv4
    for path in ("endpoint", "nat"):

        def no_logs(subnet):
            update(subnet, **only, log_group="/ecs/absent")

        yield "log-group", path, no_logs, "log-group-missing"


def certificates():
    """Certificates that are not AWS's, without TLS interception; and interceptors that err."""
    yield (
        "leaf-only:ecr.api",
        "endpoint",
        lambda s: s.certificates.update({"ecr.api": "leaf-only"}),
        UNTRUSTED,
    )
    yield (
        "leaf-only",
        "nat",
        lambda s: s.certificates.update(dict.fromkeys(DEPENDENCIES, "leaf-only")),
        UNTRUSTED,
    )
    for path in ("endpoint", "nat"):
        yield (
            "forged-and-expired",
            path,
            lambda s: update(s, interceptor="forged-expired", intercepts=s.of(*DEPENDENCIES)),
            INTERCEPTED,
        )
    for dependency in ("ecr.api", "logs"):

        def one_of_two(subnet, dependency=dependency):
            update(subnet, zones=2)
            subnet.intercepts.add(subnet.endpoint(dependency)[0])

        causes = INTERCEPTED, "endpoint-address-unreachable", ELSEWHERE
        yield f"one-of-two-intercepted:{dependency}", "endpoint", one_of_two, *causes, EITHER
    image = "registry.example.com/team/app:1.4"
    for kind in ("forged", "leaf-only"):

        def own_registry(subnet, kind=kind):
            hub(subnet, image)
            subnet.certificates[HUB] = kind

        yield (
            f"registry-with-{'own-ca' if kind == 'forged' else kind}",
            "nat",
            own_registry,
            UNTRUSTED,
        )
