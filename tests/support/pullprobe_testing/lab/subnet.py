"""A subnet as data: where each service is, what the filters allow, how the servers behave.

A fault changes these values and nothing else; `vpc.py` configures a VPC accordingly.

The task's clock is the machine's: the kernel cannot shift it for one process, and a static binary
cannot be given another. A wrong clock of the task is therefore simulated from outside: the dates
of all services, and their errors about a signature's time, are off by the same amount. A wrong
clock of one service is simulated the same way.
"""

import dataclasses

from pullprobe_testing.region import (
    ACCOUNT,
    HOST,
    IMAGE,
    LAYER_BUCKET,
    LOG_GROUP,
    REGION,
    REGISTRY_HOST,
    S3_HOST,
)

# Dependencies that have interface VPC endpoints, and all.
INTERFACE = ["ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm"]
DEPENDENCIES = [*INTERFACE, "s3"]
ZONES = (9, 10, 11)  # third octet of the endpoints' subnets, one in each availability zone
HUB = "registry"  # a registry other than ECR, in the subnets whose task uses an image of it
# A name of Docker Hub, the host of its tokens, and a company's own registry.
HUB_HOSTS = ["registry-1.docker.io", "auth.docker.io", "registry.example.com"]
# Addresses of AWS's published ranges, so that a report can name their owner. No packet leaves the
# namespaces.
PUBLIC = {name: f"3.208.7.{number}" for number, name in enumerate(INTERFACE, 11)}
PUBLIC |= {"s3": "52.216.10.10", HUB: "44.208.254.194"}
PUBLIC_IPV6 = {name: f"2600:1f18:7::{number}" for number, name in enumerate(INTERFACE, 11)}
PUBLIC_IPV6 |= {"s3": "2600:1fa0:8000::10"}
S3_ADDRESSES = [f"52.216.10.{last}" for last in range(10, 14)]

# Names that have IPv6 addresses as well; the ordinary name of Secrets Manager is one. The host of
# ECR's layers in a task with IPv6 only is not documented; S3 has no other dual-stack name.
DUAL_STACK_HOST = {
    "ecr.api": f"ecr.{REGION}.api.aws",
    "ecr.dkr": f"dkr-ecr.{REGION}.on.aws",
    "logs": f"logs.{REGION}.api.aws",
    "secretsmanager": HOST["secretsmanager"],
    "ssm": f"ssm.{REGION}.api.aws",
    "s3": f"s3.dualstack.{REGION}.amazonaws.com",
}
DUAL_STACK_IMAGE = f"{ACCOUNT}.{DUAL_STACK_HOST['ecr.dkr']}/team/app:1.4"
RESOLVER_IPV6 = "fd00:ec2::253"
NAT64_PREFIX = "64:ff9b::"  # RFC 6052; the one that Route 53 Resolver's DNS64 uses

CUSTOM_RESOLVER = "5.53"  # last octets of a DNS server in another subnet of the VPC
BUCKET, ENVIRONMENT_FILE = "team-settings", "app.env"
FILE_SYSTEM = "fs-0123456789abcdef0"
FILE_SYSTEM_HOST = f"{FILE_SYSTEM}.efs.{REGION}.amazonaws.com"


def _empty(kind):
    return dataclasses.field(default_factory=kind)


@dataclasses.dataclass
class Subnet:
    """One subnet with one task.

    Addresses of a VPC are named by their last octets where it has two.
    """

    vpc: str = "10.0"  # first two octets
    private: set = _empty(set)  # dependencies with an interface VPC endpoint
    inside: set = _empty(set)  # those of them whose endpoint is in the task's own subnet
    internet: str = ""  # '', 'nat', 'igw' (no public address), 'public' (igw and an address)
    s3_gateway: bool = False
    zones: int = 3  # availability zones in which an endpoint has an address
    s3_addresses: int = 1
    # Filters: sets of addresses, or 'all'.
    task_group: set = _empty(set)  # closed in the task's security group, outbound
    endpoint_groups: set = _empty(
        set
    )  # dependencies whose endpoint's group does not admit the task
    acl_out: set = _empty(set)  # closed in the network ACL of the task's subnet, outbound
    acl_back: dict = _empty(dict)  # inbound: address or 'all' -> lowest allowed ephemeral port
    dead: set = _empty(set)  # addresses where nothing answers
    resets: set = _empty(set)  # a middlebox resets after the ClientHello
    swallows: set = _empty(set)  # a middlebox drops the ClientHello
    intercepts: set = _empty(set)  # a middlebox terminates TLS
    refuses: set = _empty(set)  # nothing listens
    small_link: set = _empty(set)  # a link with a small MTU on the return path, ICMP lost
    small_link_out: set = _empty(set)  # the same on the forward path
    small_mtu: int = 1300  # bytes; of the small links
    listeners: dict = _empty(dict)  # address -> manner of an UnexpectedListener
    nat_acl: int = 0  # lowest ephemeral port that the NAT gateway's subnet admits
    nat_acl_out: bool = False  # the NAT gateway's subnet lets nothing out
    loss: int = 0  # percent of TCP packets lost
    boxes: dict = _empty(dict)  # dependency -> Box of middlebox.py
    refuses_syn: dict = _empty(dict)  # address -> N: every Nth SYN is refused, from the first
    loses_syn: dict = _empty(dict)  # the same, lost
    connections: int = 0  # that a device on the path admits at the same time
    syn_rate: int = 0  # connections that it admits in a second
    nat_ports: int = 0  # of the NAT gateway, for each destination
    # Names.
    resolver: str = "answers"  # 'silent', 'servfail', 'refused', 'nxdomain', 'nodata', 'loses'
    resolver_host: str = "0.2"  # last two octets; filters act on every resolver but base + 2
    closed_53: str = ""  # 'group', 'acl', 'acl-return'; 'group-tcp', 'acl-tcp' for TCP only
    first_resolver: str = ""  # last two octets of an unused address, listed before the resolver
    lie: str = ""  # what lying_resolver.py does, in front of unbound
    lie_about: tuple = ()  # the dependencies whose names it lies about; () are all names
    many: tuple = ()  # (dependency, ADDRESSES): 900 addresses of it, 'answer' or 'half-answer'
    dnsmasq: bool = False  # dnsmasq instead of unbound: its answers name no zone
    # dependency -> 'nxdomain', 'nodata', 'no-record', 'no-wildcard', or a list of addresses
    names: dict = _empty(dict)
    # Servers.
    # dependency -> 'expired', 'wrong-name', 'forged', 'leaf-only'
    certificates: dict = _empty(dict)
    interceptor: str = "forged"  # or 'forged-expired': the certificate of those who intercept
    behaviour: dict = _empty(dict)  # dependency -> list for aws_error_proxy.py
    # The task. Credentials: 'good', 'none', 'unknown', 'hang', 'refused', 'garbage', 'no-token',
    # 'expired', 'unknown-key', 'wrong-secret'.
    credentials: str = "good"
    image: str = IMAGE
    hub_image: str = ""  # a second image, of a registry other than ECR
    secret: str = "password"  # see Lab.flags
    parameter: bool = True  # whether the parameter exists
    log_group: str = LOG_GROUP
    environment_file: str = ""  # its key in the bucket
    file_system: str = ""  # '', 'answers', 'denies', 'gone': the EFS mount target
    expect_private: bool = False
    synchronized: bool = True  # clock status in the task metadata
    # The machine.
    # '', 'works', 'answers' (AAAA records, and no IPv6 address of the task), 'only' (no IPv4
    # address of the task, and dual-stack names).
    ipv6: str = ""
    latency_ms: int = 0  # added to every round trip
    burners: int = 0  # processes that keep the processors busy

    @property
    def task(self):
        return f"{self.vpc}.1.10"

    @property
    def mount_target(self):
        return f"{self.vpc}.9.40"

    @property
    def resolver_address(self):
        return f"{self.vpc}.{self.resolver_host}"

    @property
    def dependencies(self):
        return [*DEPENDENCIES, HUB] if self.hub_image else DEPENDENCIES

    def endpoint(self, dependency):
        """Returns the endpoint's addresses: one per zone, or one in the task's own subnet."""
        last = 11 + DEPENDENCIES.index(dependency)
        if dependency in self.inside:
            return [f"{self.vpc}.1.{100 + last}"]
        return [f"{self.vpc}.{zone}.{last}" for zone in ZONES[: self.zones]]

    def addresses(self, dependency):
        """Returns the addresses that the name of a dependency resolves to."""
        if dependency == "s3":
            return S3_ADDRESSES[: self.s3_addresses]
        return self.endpoint(dependency) if dependency in self.private else [PUBLIC[dependency]]

    def of(self, *dependencies):
        """Returns the addresses of all these dependencies."""
        return {address for name in dependencies for address in self.addresses(name)}

    @staticmethod
    def host(dependency):
        """Returns the host name that a task resolves."""
        return {
            "ecr.dkr": REGISTRY_HOST,
            "s3": f"{LAYER_BUCKET}.{S3_HOST}",
            HUB: HUB_HOSTS[0],
        }.get(dependency) or HOST[dependency]

    @staticmethod
    def names_of(dependency):
        """Returns the names in the certificate of a dependency."""
        if dependency == HUB:
            return HUB_HOSTS
        hosts = dict.fromkeys([HOST[dependency], DUAL_STACK_HOST[dependency]])
        if dependency in ("ecr.dkr", "s3"):
            return [name for host in hosts for name in (f"*.{host}", host)]
        return list(hosts)


def endpoints():
    """Returns a subnet with interface VPC endpoints, a gateway endpoint for S3, and no internet."""
    return Subnet(private=set(INTERFACE), s3_gateway=True)


def nat():
    """Returns a subnet with a NAT gateway and no endpoint."""
    return Subnet(internet="nat")


def mixed():
    """Returns a subnet with endpoints for ECR and S3, and a NAT gateway for the rest."""
    return Subnet(private={"ecr.api", "ecr.dkr"}, s3_gateway=True, internet="nat")


PATHS = {"endpoint": endpoints, "nat": nat, "mixed": mixed}
