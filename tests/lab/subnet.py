"""What a subnet looks like, as data: which service is where, what the filters let through, how the servers behave.

A fault changes one of these values and nothing else; `world.py` turns the whole into packets.

The task's own clock is the machine's: no kernel shifts it for one process, and nothing can be put under a static binary.
A task whose clock is off is therefore told by its surroundings: every service's date, and what it says of a signature's
time, is off by the same amount, and none agrees with the task. One service whose clock is off is told the same way.
"""
import copy
import dataclasses

from region import HOST, IMAGE, LAYER_BUCKET, LOG_GROUP, REGION, REGISTRY_HOST, S3_HOST

ROLES = ['ecr.api', 'ecr.dkr', 'logs', 'secretsmanager', 'ssm']  # those that have interface endpoints
ALL = [*ROLES, 's3']
ZONES = (9, 10, 11)  # third octet of the endpoints' subnets, one in each availability zone
# Public addresses out of AWS's published ranges, so that a report can name their owner. No packet leaves the namespaces.
PUBLIC = {role: f'3.208.7.{number}' for number, role in enumerate(ROLES, 11)} | {'s3': '52.216.10.10'}
S3_ADDRESSES = [f'52.216.10.{last}' for last in range(10, 14)]
HUB = 'registry'  # the role of a registry that is not ECR; only those subnets have it that ask for an image of it
PUBLIC[HUB] = '44.208.254.194'
HUB_HOSTS = ['registry-1.docker.io', 'auth.docker.io']
PUBLIC_6 = {role: f'2600:1f18:7::{number}' for number, role in enumerate(ROLES, 11)} | {'s3': '2600:1fa0:8000::10'}

BUCKET, ENVIRONMENT_FILE = 'team-settings', 'app.env'  # what a task may fetch besides its image
FILE_SYSTEM = 'fs-0123456789abcdef0'
FILE_SYSTEM_HOST = f'{FILE_SYSTEM}.efs.{REGION}.amazonaws.com'


@dataclasses.dataclass
class Subnet:
    vpc: str = '10.0'                                     # its first two octets
    private: set = dataclasses.field(default_factory=set)  # roles with an interface endpoint
    inside: set = dataclasses.field(default_factory=set)   # of these, those whose endpoint is in the task's own subnet
    internet: str = ''                                    # '', 'nat', 'igw' (no public address), 'public' (igw and an address)
    s3_gateway: bool = False
    zones: int = 3                                        # in how many zones an endpoint has an address
    s3_addresses: int = 1                                 # how many S3's name has
    # Filters. All are sets of addresses, or 'all'.
    task_group: set = dataclasses.field(default_factory=set)       # the task's security group does not let out to these
    endpoint_groups: set = dataclasses.field(default_factory=set)  # roles whose endpoint does not let the task in
    acl_out: set = dataclasses.field(default_factory=set)          # network ACL of the task's subnet, outbound
    acl_back: dict = dataclasses.field(default_factory=dict)       # inbound: address or 'all' -> lowest allowed ephemeral port
    dead: set = dataclasses.field(default_factory=set)             # addresses of a zone where nothing answers
    resets: set = dataclasses.field(default_factory=set)           # a middlebox resets after the ClientHello
    swallows: set = dataclasses.field(default_factory=set)         # a middlebox drops the ClientHello
    intercepts: set = dataclasses.field(default_factory=set)       # a middlebox terminates TLS itself
    refuses: set = dataclasses.field(default_factory=set)          # nobody listens
    small_link: set = dataclasses.field(default_factory=set)       # a link of 1,300 bytes on the way back, ICMP lost
    small_link_out: set = dataclasses.field(default_factory=set)   # the same on the way there
    listeners: dict = dataclasses.field(default_factory=dict)      # address -> somebody else who listens there, see standing.py
    nat_acl: int = 0                                      # the NAT gateway's subnet lets answers in from this port on only
    nat_acl_out: bool = False                             # and nothing out
    loss: int = 0                                         # percent of TCP packets lost on the way
    # Names.
    resolver: str = 'answers'                             # 'silent', 'servfail', 'refused', 'nxdomain', 'nodata', 'loses'
    resolver_host: str = '0.2'                            # its last two octets; another than base + 2 is behind the filters
    closed_53: str = ''                                   # 'group', 'acl', 'acl-return'; 'group-tcp', 'acl-tcp' for TCP only
    first_resolver: str = ''                              # the last two octets of one that nobody has, named before it
    dnsmasq: bool = False                                 # instead of unbound: it names no zones
    names: dict = dataclasses.field(default_factory=dict)  # role -> 'nxdomain', 'nodata', 'no-record', 'no-wildcard', or a list of addresses
    # Servers.
    certificates: dict = dataclasses.field(default_factory=dict)  # role -> 'expired', 'wrong-name'
    behaviour: dict = dataclasses.field(default_factory=dict)     # role -> list for judge.py
    # The task.
    credentials: str = 'good'                             # 'none', 'unknown', 'hang', 'refused', 'garbage', 'no-token', 'expired', 'unknown-key', 'wrong-secret'
    image: str = IMAGE
    hub_image: str = ''                                   # a second image, from the registry that is not ECR
    secret: str = 'password'                              # which secret the task asks for
    parameter: bool = True                                # whether the parameter exists
    log_group: str = LOG_GROUP
    environment_file: str = ''                            # key of one in the team's bucket
    file_system: str = ''                                 # '', 'answers', 'denies', 'gone': an EFS volume's mount target
    expect_private: bool = False
    synchronized: bool = True                             # what ECS says of the task's clock
    # The machine.
    ipv6: str = ''                                        # '', 'works', 'answers' (the task has none)
    latency_ms: int = 0                                   # added to every round trip
    burners: int = 0

    def copy(self):
        return copy.deepcopy(self)

    @property
    def task(self):
        return f'{self.vpc}.1.10'

    @property
    def mount_target(self):
        return f'{self.vpc}.9.40'

    @property
    def resolver_address(self):
        return f'{self.vpc}.{self.resolver_host}'

    @property
    def roles(self):
        return [*ALL, HUB] if self.hub_image else ALL

    def endpoint(self, role):
        """The private addresses of a role's endpoint, one in each zone; one where it is in the task's own subnet."""
        last = 11 + ALL.index(role)
        return [f'{self.vpc}.1.{100 + last}'] if role in self.inside else [f'{self.vpc}.{zone}.{last}' for zone in ZONES[:self.zones]]

    def addresses(self, role):
        if role == 's3':
            return S3_ADDRESSES[:self.s3_addresses]
        return self.endpoint(role) if role in self.private else [PUBLIC[role]]

    def of(self, *roles):
        """The addresses of these roles, all of them."""
        return {address for role in roles for address in self.addresses(role)}

    @staticmethod
    def host(role):
        """The name that a task asks for."""
        return {'ecr.dkr': REGISTRY_HOST, 's3': f'{LAYER_BUCKET}.{S3_HOST}', HUB: HUB_HOSTS[0]}.get(role) or HOST[role]

    def names_of(self, role):
        """The names in its certificate."""
        if role == HUB:
            return HUB_HOSTS
        host = HOST[role]
        return [f'*.{host}', host] if role in ('ecr.dkr', 's3') else [host]


def endpoints():
    """Interface endpoints for everything, a gateway endpoint for S3, no way to the internet."""
    return Subnet(private=set(ROLES), s3_gateway=True)


def nat():
    """A NAT gateway and nothing else."""
    return Subnet(internet='nat')


def mixed():
    """Endpoints for ECR and S3, the rest through the NAT gateway."""
    return Subnet(private={'ecr.api', 'ecr.dkr'}, s3_gateway=True, internet='nat')


PATHS = {'endpoint': endpoints, 'nat': nat, 'mixed': mixed}
