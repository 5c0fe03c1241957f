"""One VPC with one task: network namespaces that are reconfigured for each fault, not rebuilt.

    task ──┬── router ── endpoints     task       10.0.1.10, its security group, 169.254.170.2
           │     │                     router     route table, network ACL, NAT, middlebox, resolver
      (endpoints in the task's         endpoints  interface endpoints in three zones, with their
       own subnet)                                security groups
                 │                     internet   public addresses; S3 also through the gateway
             internet                             endpoint's link

The namespaces have no names and no files: they end with the process that holds them, however it
ends.
"""

import contextlib
import json
import os
import subprocess

from pullprobe_testing.lab import delay, filters, lying_resolver, middlebox, zones
from pullprobe_testing.lab.shared_servers import (
    RESOLVER_LINK_LOCAL,
    Dnsmasq,
    MiddleboxServer,
    MountTarget,
    ResolverInFront,
    SharedNginx,
    UnexpectedListener,
    VpcResolver,
)
from pullprobe_testing.lab.subnet import (
    CUSTOM_RESOLVER,
    DEPENDENCIES,
    DUAL_STACK_HOST,
    HUB,
    HUB_HOSTS,
    INTERFACE,
    NAT64_PREFIX,
    PUBLIC,
    PUBLIC_IPV6,
    RESOLVER_IPV6,
    S3_ADDRESSES,
    ZONES,
    Subnet,
)
from pullprobe_testing.lab.zones import IPV6_PREFIX
from pullprobe_testing.namespace import (
    Namespace,
    die_with_parent,
    forget_connections,
    sysctl,
)
from pullprobe_testing.region import (
    LAYER_BUCKET,
    METADATA_PATH,
    S3_HOST,
    TASK_ENDPOINT,
    container_metadata,
    ecr_locations,
    s3_locations,
    task_metadata,
)
from pullprobe_testing.servers import TaskEndpoint

IMAGE_USER = 65532  # the numeric user of the image
S3_RANGE = "52.216.10.8/29"
# Router's addresses of its two links to the internet namespace, and that namespace's.
GATEWAY_LINK, INTERNET_LINK = ("192.0.2.1", "192.0.2.2"), ("192.0.2.5", "192.0.2.6")


class Vpc:
    """The namespaces, and the servers in them: a resolver, and nginx at every address."""

    def __init__(self, lab, number):
        self.lab, self.region = lab, lab.region
        self.directory = self.region.directory / f"vpc-{number}"
        self.directory.mkdir()
        self.directory.chmod(0o755)
        self.task, self.router, self.endpoints, self.internet = (Namespace() for _ in range(4))
        self.resolv_conf = self.directory / "resolv.conf"
        self.servers, self.listeners = {}, []
        self.applied = 0  # subnets so far
        self._connect()
        with self.task.entered():
            self.task_endpoint = TaskEndpoint(TASK_ENDPOINT, {})

    def _connect(self):
        """Creates the links between the namespaces, and the addresses that never change."""
        with self.router.entered():
            sysctl("net/ipv4/ip_forward", 1)
            sysctl("net/ipv6/conf/all/forwarding", 1)
            sysctl("net/ipv4/conf/all/send_redirects", 0)
            sysctl("net/ipv4/conf/default/send_redirects", 0)
            sysctl("net/bridge/bridge-nf-call-iptables", 0)
            # A limit on connections counts open ones, and not those that ended minutes ago.
            for state in ("time_wait", "close", "close_wait", "fin_wait", "last_ack"):
                sysctl(f"net/netfilter/nf_conntrack_tcp_timeout_{state}", 1)
        self.router.ip(
            "link add name subnet type bridge forward_delay 0",
            "link set subnet up",
            f"link add name task type veth peer name eth1 netns {self.task.path}",
            f"link add name own type veth peer name own netns {self.endpoints.path}",
            f"link add name zones type veth peer name zones netns {self.endpoints.path}",
            f"link add name gateway type veth peer name gateway netns {self.internet.path}",
            f"link add name internet type veth peer name vpc netns {self.internet.path}",
            "link set task master subnet",
            "link set own master subnet",
            *(f"link set {name} up" for name in ("task", "own", "zones", "gateway", "internet")),
            f"address add {RESOLVER_LINK_LOCAL}/32 dev lo",
            f"address add {RESOLVER_IPV6}/128 dev lo",
        )
        self.task.ip("link set eth1 up", f"address add {TASK_ENDPOINT}/32 dev lo")
        self.endpoints.ip("link set own up", "link set zones up")
        self.internet.ip(
            "link set gateway up",
            "link set vpc up",
            f"address add {GATEWAY_LINK[1]}/30 dev gateway",
            f"address add {INTERNET_LINK[1]}/30 dev vpc",
            f"route add {filters.NAT_ADDRESS}/32 via {INTERNET_LINK[0]}",
            *(f"address add {ip}/32 dev lo" for ip in {*PUBLIC.values(), *S3_ADDRESSES}),
            *(f"address add {ip}/128 dev lo" for ip in PUBLIC_IPV6.values()),
            f"address add {NAT64_PREFIX}{PUBLIC[HUB]}/128 dev lo",
            f"address add {IPV6_PREFIX}:99::2/64 dev gateway nodad",
            f"route add {IPV6_PREFIX}::/48 via {IPV6_PREFIX}:99::1",
        )
        self.router.ip(
            f"address add {GATEWAY_LINK[0]}/30 dev gateway",
            f"address add {INTERNET_LINK[0]}/30 dev internet",
            f"address add {IPV6_PREFIX}:99::1/64 dev gateway nodad",
            f"route add {PUBLIC_IPV6['s3']}/128 via {IPV6_PREFIX}:99::2",
        )
        self._cidr = None

    def _assign_addresses(self, cidr):
        """Gives the VPC its addresses; `cidr` is their first two octets."""
        if self._cidr == cidr:
            return
        if self._cidr:
            self._remove_addresses()
        self._cidr = cidr
        subnet = Subnet(vpc=cidr)
        self.router.ip(
            f"address add {cidr}.1.1/24 dev subnet",
            f"address add {cidr}.0.2/32 dev lo",
            f"address add {cidr}.{CUSTOM_RESOLVER}/32 dev lo",
            f"address add {IPV6_PREFIX}:1::1/64 dev subnet nodad",
            *(f"address add {cidr}.{zone}.1/24 dev zones" for zone in ZONES),
            f"address add {IPV6_PREFIX}:9::1/64 dev zones nodad",
        )
        self.task.ip(
            f"address add {cidr}.1.10/24 dev eth1", f"route replace default via {cidr}.1.1"
        )
        zoned = [ip for name in INTERFACE for ip in subnet.endpoint(name)]
        own = [ip for name in INTERFACE for ip in Subnet(cidr, inside={name}).endpoint(name)]
        # A response leaves by the link of its request: traffic inside the task's subnet does not
        # cross the router.
        self.endpoints.ip(
            *(f"address add {ip}/24 dev zones" for ip in [*zoned, subnet.mount_target]),
            f"route replace default via {cidr}.9.1",
            *(f"address add {ip}/24 dev own noprefixroute" for ip in own),
            f"route replace {cidr}.1.0/24 dev own table 5",
            "rule flush",
            "rule add pref 32766 lookup main",
            *(f"rule add from {ip} lookup 5 pref 100" for ip in own),
            *(f"address add {endpoint_ipv6(name)}/64 dev zones nodad" for name in INTERFACE),
            f"route replace default via {IPV6_PREFIX}:9::1",
        )
        self.internet.ip(f"route replace {cidr}.0.0/16 via {GATEWAY_LINK[0]}")

    def _remove_addresses(self):
        for namespace, devices in (
            (self.task, ["eth1"]),
            (self.endpoints, ["own", "zones"]),
            (self.router, ["subnet", "zones"]),
        ):
            namespace.ip(*(f"address flush dev {device} scope global" for device in devices))
        resolvers = [f"{self._cidr}.{host}" for host in ("0.2", CUSTOM_RESOLVER)]
        self.router.ip(*(f"address del {resolver}/32 dev lo" for resolver in resolvers))
        self.internet.ip(f"route del {self._cidr}.0.0/16")

    def apply(self, subnet):
        """Configures everything as `subnet` says, whatever it was before."""
        self.subnet = subnet
        self._assign_addresses(subnet.vpc)
        self._set_routes(subnet)
        self.task.nft(filters.task_rules(subnet))
        self.endpoints.nft(filters.endpoint_rules(subnet))
        self.router.nft(filters.router_rules(subnet))
        self.internet.nft(filters.internet_rules(subnet))
        # Each run stands for a new task, so no connection of the run before counts.
        for namespace in (self.task, self.endpoints, self.router, self.internet):
            with namespace.entered():
                forget_connections()
        self._run_servers(subnet)
        self._set_task(subnet)

    def _set_routes(self, subnet):
        internet = f"via {INTERNET_LINK[1]}"
        gateway = f"via {GATEWAY_LINK[1]}"
        default = f"default {internet}" if subnet.internet else "blackhole default"
        s3 = f"{S3_RANGE} {internet}" if subnet.internet else f"blackhole {S3_RANGE}"
        if subnet.s3_gateway:
            s3 = f"{S3_RANGE} {gateway}"
        self.router.ip(
            f"route replace {default}",
            "rule flush",
            "rule add pref 32766 lookup main",
            *(f"route flush table {number}" for number in (6, 7, 8)),
            f"route replace {s3}",
            force=True,
        )
        # Full-sized packets do not fit the small links, in either direction.
        small = f"mtu lock {subnet.small_mtu}"
        if subnet.small_link:
            self.router.ip(
                f"route replace {subnet.vpc}.1.0/24 dev subnet table 6 {small}",
                *(f"rule add from {ip} lookup 6 pref 60" for ip in subnet.small_link),
            )

        def way_to(ip):
            if ip.startswith(subnet.vpc):
                return "dev zones"
            return gateway if subnet.s3_gateway and ip in S3_ADDRESSES else internet

        self.router.ip(
            *(
                f"route replace {ip}/32 {way_to(ip)} table 8 {small}"
                for ip in subnet.small_link_out
            ),
            "rule add iif subnet lookup 8 pref 55",
        )
        if subnet.latency_ms:
            # Table 7 leads to the delaying device. Packets that it returns come from that device,
            # so this rule does not match them again.
            self.router.ip("rule add iif subnet lookup 7 pref 50")
        # An egress-only internet gateway for IPv6, and a NAT64 gateway.
        change = "replace" if subnet.ipv6 == "only" and subnet.internet else "del"
        public = {*PUBLIC_IPV6.values(), f"{NAT64_PREFIX}{PUBLIC[HUB]}"} - {PUBLIC_IPV6["s3"]}
        self.router.ip(
            *(f"route {change} {ip}/128 via {IPV6_PREFIX}:99::2" for ip in public), force=True
        )
        change = "del" if subnet.ipv6 == "only" else "replace"
        self.task.ip(
            f"address {change} {subnet.task}/24 dev eth1",
            f"route {change} default via {subnet.vpc}.1.1",
            force=True,
        )
        change = "replace" if subnet.ipv6 in ("works", "only") else "del"
        self.task.ip(
            f"address {change} {IPV6_PREFIX}:1::10/64 dev eth1"
            + (" nodad" if change == "replace" else ""),
            f"route {change} default via {IPV6_PREFIX}:1::1",
            force=True,
        )

    def _run_servers(self, subnet):
        """Starts, restarts and stops servers, so that those of `subnet` run and no others."""
        configurations = self._configurations(subnet)
        while self.listeners:
            self.listeners.pop().stop()
        # First those that end: they give their addresses free.
        names = {*self.servers, *configurations}
        # The lying resolver takes unbound's address, so it starts last.
        for name in sorted(names, key=lambda name: (name in configurations, name == "liar")):
            running = self.servers.get(name)
            namespace, text = configurations.get(name, (None, None))
            if running and running.text == text:
                continue
            if running:
                self.servers.pop(name).stop()
            if text:
                kinds = {
                    "unbound": VpcResolver,
                    "dnsmasq": Dnsmasq,
                    "mount-target": MountTarget,
                    "box": MiddleboxServer,
                    "liar": ResolverInFront,
                }
                server = kinds.get(name, SharedNginx)(self.directory, name, text, subnet)
                self.servers[name] = server
                with namespace.entered():
                    server.start().ready()
        for address, manner in subnet.listeners.items():
            with (self.endpoints if address.startswith(subnet.vpc) else self.internet).entered():
                self.listeners.append(UnexpectedListener(address, manner))
        if subnet.file_system == "denies":
            with self.endpoints.entered():
                self.listeners.append(UnexpectedListener(subnet.mount_target, "denies", 2049))

    def _configurations(self, subnet):
        """Returns the server configurations of this subnet: name -> (namespace, text)."""
        private = {name: subnet.endpoint(name) for name in subnet.private}
        public = {
            name: S3_ADDRESSES if name == "s3" else [PUBLIC[name]]
            for name in subnet.dependencies
            if name not in subnet.private
        }
        if subnet.ipv6 in ("works", "only"):
            private = {name: [*private[name], f"[{endpoint_ipv6(name)}]"] for name in private}
            ipv6 = {**PUBLIC_IPV6, HUB: f"{NAT64_PREFIX}{PUBLIC[HUB]}"}
            for name in public if subnet.ipv6 == "only" else ["s3"]:
                public[name] = [*public[name], f"[{ipv6[name]}]"]
        configurations = {
            "endpoints": (self.endpoints, self._sites(subnet, private)),
            "internet": (self.internet, self._sites(subnet, public)),
        }
        if subnet.intercepts:
            address = f"0.0.0.0:{filters.INTERCEPTOR_PORT}"
            kind = subnet.interceptor
            sites = [self._site(subnet, name, [address], kind) for name in DEPENDENCIES]
            configurations["middlebox"] = self.router, "".join(sites)
        answers = {name: box.answer for name, box in subnet.boxes.items() if box.answer}
        if answers:
            address = f"127.0.0.1:{middlebox.ANSWERING_PORT}"
            sites = [
                self._site(subnet, name, [address], "good", middlebox.answer_location(answer))
                for name, answer in answers.items()
            ]
            configurations["answers"] = self.router, "".join(sites)
        # A middlebox and a lying resolver count, so each run has new ones.
        self.applied += 1
        if subnet.boxes:
            boxes = {
                address: (name, box.action, box.when)
                for name, box in subnet.boxes.items()
                for address in subnet.addresses(name)
            }
            configurations["box"] = self.router, json.dumps([self.applied, boxes])
        if subnet.lie:
            names = " ".join(map(subnet.host, subnet.lie_about))
            text = f"{self.applied} {subnet.lie}|{subnet.resolver_address}|{names}"
            configurations["liar"] = self.router, text
        # The address is part of the text, so that another address restarts the resolver.
        listen = f"# {lying_resolver.UPSTREAM if subnet.lie else subnet.resolver_address}\n"
        if subnet.dnsmasq:
            configurations["dnsmasq"] = self.router, listen + zones.dnsmasq_names(subnet)
        else:
            configurations["unbound"] = self.router, listen + zones.unbound_zones(subnet)
        if subnet.file_system == "answers":
            configurations["mount-target"] = self.endpoints, f"NFS at {subnet.mount_target}"
        return configurations

    def _sites(self, subnet, addresses):
        """Returns nginx's servers for these addresses, except where nginx must not listen."""
        sites = ""
        for name, listed in addresses.items():
            closed = {*subnet.refuses, *subnet.listeners}
            listen = [address for address in listed if address not in closed]
            if listen:
                kind = subnet.certificates.get(name, "good")
                sites += self._site(subnet, name, listen, kind)
        return sites

    def _site(self, subnet, dependency, listen, kind, answer=""):
        chain, key = self.lab.certificate(dependency, kind)
        upstream = f"http://unix:{self.lab.socket}"
        behaviours = subnet.behaviour.get(dependency, [])
        locations = f"location / {{ proxy_pass {upstream}; }}"
        if answer:
            locations = answer
        elif "login" not in behaviours and "page" not in behaviours:
            if dependency == "ecr.dkr":
                locations = ecr_locations(self.lab.registry_passwords, upstream)
                if subnet.ipv6 == "only":
                    dual_stack = f"{LAYER_BUCKET}.{DUAL_STACK_HOST['s3']}"
                    locations += (
                        f"proxy_redirect https://{LAYER_BUCKET}.{S3_HOST}/ https://{dual_stack}/;"
                    )
            elif dependency == "s3":
                locations = s3_locations(upstream)
            elif dependency == HUB:
                locations = hub_locations(HUB_HOSTS[1], upstream)
        ports = " ".join(f"listen {with_port(address)} ssl;" for address in listen)
        host = "$http_host"
        if subnet.ipv6 == "only" and dependency == "s3":
            host = f"{LAYER_BUCKET}.{S3_HOST}"  # moto does not know dual-stack names
        return f"""
    server {{
        {ports}
        server_name {" ".join(subnet.names_of(dependency))};
        ssl_certificate {chain};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        proxy_pass_header Date;
        proxy_buffering off;
        proxy_read_timeout 100s;
        proxy_set_header Host {host};
        proxy_set_header X-Forwarded-Proto https;
        proxy_set_header X-Lab-Dependency {dependency};
        proxy_set_header X-Lab-Behaviour "{",".join(behaviours)}";
{locations}
    }}"""

    def faults_met(self):
        """Returns how many connections of all runs so far met the fault of a middlebox."""
        log = self.directory / "box.log"
        return log.read_text().count(middlebox.MET) if log.exists() else 0

    def _set_task(self, subnet):
        """Sets resolv.conf, the task's metadata and its credentials."""
        changes = {
            "expired": {"Expiration": "2026-01-01T00:00:00Z"},
            "unknown-key": {"AccessKeyId": "ASIAEXAMPLEEXAMPLE00"},
            "wrong-secret": {"SecretAccessKey": "w" * 40},
        }
        document = self.lab.credentials_document(**changes.get(subnet.credentials, {}))
        if subnet.credentials == "no-token":
            del document["Token"]
        if subnet.credentials == "garbage":
            document = "Service Unavailable"
        resolvers = [RESOLVER_IPV6 if subnet.ipv6 == "only" else subnet.resolver_address]
        if subnet.first_resolver:
            resolvers.insert(0, f"{subnet.vpc}.{subnet.first_resolver}")
        lines = [*(f"nameserver {address}" for address in resolvers), "search ec2.internal"]
        self.resolv_conf.write_text("\n".join(lines) + "\n")
        documents = {
            METADATA_PATH: metadata_of(container_metadata(), subnet),
            f"{METADATA_PATH}/task": metadata_of(task_metadata(), subnet),
        }
        path = self.region.credentials_path
        if subnet.credentials != "unknown":
            documents[path] = document
        self.task_endpoint.replace(documents, {path} if subnet.credentials == "hang" else set())

    def environment(self):
        """Returns the environment of the task's container."""
        variables = self.region.task_environment()
        if self.subnet.credentials == "none":
            del variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"]
        return variables

    def command(self, command, unprivileged=True):
        """Returns the command that runs `command` with the subnet's resolv.conf.

        Unprivileged it runs as the user of the image, otherwise as root.
        """
        script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
        user = ["setpriv", f"--reuid={IMAGE_USER}", f"--regid={IMAGE_USER}", "--clear-groups"]
        prefix = ["unshare", "--mount", "sh", "-c", script, self.resolv_conf]
        return [*prefix, *(user if unprivileged else []), *map(str, command)]

    def start(self, command, environment):
        """Starts a command as the task's container; it ends with this process."""
        with self.task.entered():
            return subprocess.Popen(
                self.command(command),
                env=environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                preexec_fn=die_with_parent,
            )

    @contextlib.contextmanager
    def load(self):
        """Slows this VPC down as its subnet says: latency, and busy processors."""
        with contextlib.ExitStack() as stack:
            for _ in range(self.subnet.burners):
                loop = ["sh", "-c", "while :; do :; done"]
                burner = subprocess.Popen(loop, preexec_fn=die_with_parent)
                stack.callback(burner.wait)
                stack.callback(burner.kill)
            if self.subnet.latency_ms:
                stack.enter_context(delay.delaying_device(self.router, self.subnet.latency_ms))
                self.router.ip("route replace default dev delay table 7")
            yield

    def close(self):
        for server in self.servers.values():
            server.stop()
        self.task_endpoint.stop()
        for namespace in (self.task, self.router, self.endpoints, self.internet):
            os.close(namespace.fd)


def endpoint_ipv6(dependency):
    """Returns the IPv6 address of a dependency's interface endpoint."""
    return f"{IPV6_PREFIX}:9::{11 + DEPENDENCIES.index(dependency)}"


def with_port(address):
    """Returns an address with port 443, unless it has a port."""
    has_port = ":" in address and not address.startswith("[")
    return address if has_port else f"{address}:443"


def hub_locations(auth_host, upstream):
    """Returns nginx's clauses for a registry like Docker Hub: tokens come from another host."""
    challenge = f'Bearer realm="https://{auth_host}/token",service="registry.docker.io"'
    error = '{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}'
    return f"""
        location = /token {{ default_type application/json; return 200 '{{"token":"anonymous"}}'; }}
        location / {{
            if ($http_authorization = "") {{
                add_header WWW-Authenticate '{challenge}' always;
                return 401 '{error}';
            }}
            proxy_pass {upstream};
        }}
"""


def metadata_of(document, subnet):
    """Returns task or container metadata with the addresses and the clock status of this subnet."""
    containers = document.get("Containers", [document])
    for network in (network for container in containers for network in container["Networks"]):
        network["IPv4Addresses"] = [subnet.task]
        network["IPv4SubnetCIDRBlock"] = f"{subnet.vpc}.1.0/24"
        network["DomainNameServers"] = [subnet.resolver_address]
        network["SubnetGatewayIpv4Address"] = f"{subnet.vpc}.1.1/24"
        if subnet.ipv6 == "only":
            for name in ("IPv4SubnetCIDRBlock", "SubnetGatewayIpv4Address"):
                del network[name]
            network["IPv4Addresses"] = []
            network["IPv6Addresses"] = [f"{IPV6_PREFIX}:1::10"]
            network["IPv6SubnetCIDRBlock"] = f"{IPV6_PREFIX}:1::/64"
            network["SubnetGatewayIpv6Address"] = f"{IPV6_PREFIX}:1::1"
            network["DomainNameServers"] = [RESOLVER_IPV6]
    if "ClockDrift" in document and not subnet.synchronized:
        document["ClockDrift"]["ClockSynchronizationStatus"] = "NOT_SYNCHRONIZED"
    return document
