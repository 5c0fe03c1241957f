"""The lab's second output: the same subnet as objects of moto, with their ids.

`vpc.py` makes network namespaces of a `Subnet`; this makes a VPC, groups, network ACLs, routes,
endpoints and a service of it. What the model does not say, such as whether a NAT gateway was
deleted or never had a route, a fault says in its name.
"""

from pullprobe_testing.accounts import (
    create_image,
    create_service,
    log_configuration,
    register_task_definition,
)
from pullprobe_testing.inspected_vpc import InspectedVpc, https, policy, statement
from pullprobe_testing.lab.subnet import DEPENDENCIES, INTERFACE, PUBLIC, Subnet
from pullprobe_testing.region import REGION


class ConfiguredVpc(InspectedVpc):
    """A VPC in the Region's moto, as a `Subnet` of the lab says.

    path         `endpoint`, `nat` or `mixed`
    lacks_route  whether there is no route to the NAT gateway, where the model has no internet
    """

    def __init__(self, region, name, subnet, path, lacks_route=False):
        self.region, self.name, self.subnet = region, name, subnet
        self.lacks_route = lacks_route
        self.endpoints, self.groups, self.nat = {}, {}, None
        self.private_dns = ()  # endpoints whose private DNS was enabled, which moto does not keep
        is_public = subnet.internet in ("igw", "public")
        self.way = "private" if path == "endpoint" else "public" if is_public else "nat"
        self.ec2, self.ecs = self.client("ec2"), self.client("ecs")
        self.create_network()
        self.break_internet()
        self.create_endpoints()
        self.set_task_group()
        self.set_acls()
        self.deploy()

    def client(self, service):
        return self.region.client(service)

    def break_internet(self):
        if self.way != "nat" or self.subnet.internet:
            return
        if self.lacks_route:
            block = "0.0.0.0/0"
            self.ec2.delete_route(RouteTableId=self.route_table, DestinationCidrBlock=block)
        else:
            self.ec2.delete_nat_gateway(NatGatewayId=self.nat)

    def create_endpoints(self):
        """Creates each endpoint with a group of its own."""
        peer = {"UserIdGroupPairs": [{"GroupId": self.task_group}]}
        for service in INTERFACE:
            if service not in self.subnet.private:
                continue
            group = self.groups[service] = self.create_group(f"endpoint-{service}")
            if service not in self.subnet.endpoint_groups:
                self.ec2.authorize_security_group_ingress(
                    GroupId=group, IpPermissions=https(**peer)
                )
            is_inside = service in self.subnet.inside
            self.endpoints[service] = self.create_endpoint(
                service,
                SubnetIds=[self.subnets[0] if is_inside else self.endpoint_subnet],
                SecurityGroupIds=[group],
                PrivateDnsEnabled=self.subnet.names.get(service) != [PUBLIC[service]],
            )
        if self.subnet.s3_gateway:
            self.create_s3_gateway()

    def create_endpoint(self, service, **more):
        return super().create_endpoint(service, **{"SecurityGroupIds": [], **more})

    endpoint_group = None  # each endpoint has its own

    def set_task_group(self):
        closed = self.subnet.task_group
        if "all" in closed:
            self.close_egress()
        elif closed:
            opened = [
                name for name in DEPENDENCIES if not closed.issuperset(self.subnet.addresses(name))
            ]
            allowed = [
                https(UserIdGroupPairs=[{"GroupId": self.groups[name]}])
                for name in opened
                if name in self.groups
            ]
            if "s3" in opened:
                allowed.append(https(PrefixListIds=[{"PrefixListId": self.s3_prefix_list()}]))
            self.close_egress(*allowed)

    def set_acls(self):
        subnet = self.subnet
        if "all" in subnet.acl_out:
            self.delete_acl_entry(self.acl, egress=True)
        if "all" in subnet.acl_back:
            self.admit_from(self.acl, subnet.acl_back["all"])
        if subnet.nat_acl_out:
            self.delete_acl_entry(self.public_acl, egress=True)
        if subnet.nat_acl:
            self.admit_from(self.public_acl, subnet.nat_acl)

    def admit_from(self, acl, lowest):
        """Lets answers in only to ports from `lowest` on."""
        self.delete_acl_entry(acl, egress=False)
        ports = (lowest, 65535) if lowest <= 65535 else (443, 443)
        self.acl_entry(acl, 100, False, ports)

    def deploy(self):
        app = {
            "name": "app",
            "image": self.subnet.image,
            "essential": True,
            "logConfiguration": log_configuration(self.subnet.log_group, REGION),
        }
        definition = register_task_definition(self.ecs, [app])
        create_service(self.ecs, self.subnets, self.task_group, definition, self.name)
        if self.subnet.internet == "public":
            self.set_public_ip("ENABLED")

    def limit_endpoint(self, service, *statements):
        """Gives an endpoint a policy with these statements only."""
        self.ec2.modify_vpc_endpoint(
            VpcEndpointId=self.endpoints[service], PolicyDocument=policy(*statements)
        )

    def read_back(self):
        """Returns the subnet that moto's objects describe now, for the network namespaces."""
        subnet = Subnet(
            private=set(), internet=self.way_out(), s3_gateway=self.has_route_to("vpce-")
        )
        described = self.ec2.describe_vpc_endpoints(VpcEndpointIds=[*self.endpoints.values()])
        own = [e for e in described["VpcEndpoints"] if e["VpcId"] == self.vpc]
        for endpoint in own:
            service = endpoint["ServiceName"].removeprefix(f"com.amazonaws.{REGION}.")
            if endpoint["VpcEndpointType"] != "Interface":
                continue
            subnet.private.add(service)
            if not self.uses_private_dns(endpoint):
                subnet.names[service] = [PUBLIC[service]]
            [group] = [group["GroupId"] for group in endpoint["Groups"]]
            if not self.allows(group, "IpPermissions", self.task_group):
                subnet.endpoint_groups.add(service)
        destinations = {**self.groups, "s3": self.s3_prefix_list()}
        closed = [
            name
            for name in DEPENDENCIES
            if not self.allows(self.task_group, "IpPermissionsEgress", destinations.get(name))
        ]
        subnet.task_group = subnet.of(*closed)
        acl = self.acl_entries(self.acl)
        if not any(first <= 443 <= last for first, last in acl[True]):
            subnet.acl_out.add("all")
        lowest = min((first for first, last in acl[False] if last >= 60999), default=65536)
        if lowest > 1024:
            subnet.acl_back["all"] = lowest
        return subnet

    def routes(self):
        tables = self.ec2.describe_route_tables(RouteTableIds=[self.route_table])["RouteTables"]
        return [route for table in tables for route in table["Routes"]]

    def has_route_to(self, prefix):
        return any(route.get("GatewayId", "").startswith(prefix) for route in self.routes())

    def way_out(self):
        if self.has_route_to("igw-"):
            described = self.ecs.describe_services(cluster="prod", services=[self.name])
            network = described["services"][0]["networkConfiguration"]["awsvpcConfiguration"]
            return "public" if network["assignPublicIp"] == "ENABLED" else "igw"
        gateways = [route["NatGatewayId"] for route in self.routes() if "NatGatewayId" in route]
        found = self.ec2.describe_nat_gateways(NatGatewayIds=gateways) if gateways else {}
        states = [gateway["State"] for gateway in found.get("NatGateways", [])]
        return "nat" if "available" in states else ""

    def uses_private_dns(self, endpoint):
        return endpoint["PrivateDnsEnabled"] or endpoint["VpcEndpointId"] in self.private_dns

    def allows(self, group, direction, peer):
        """Whether a rule of a group is about TCP 443 and all addresses, or this group or list."""
        [described] = self.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
        for rule in described[direction]:
            groups = [pair["GroupId"] for pair in rule["UserIdGroupPairs"]]
            lists = [one["PrefixListId"] for one in rule["PrefixListIds"]]
            blocks = [one["CidrIp"] for one in rule["IpRanges"]]
            has_port = rule["IpProtocol"] == "-1" or rule["FromPort"] <= 443 <= rule["ToPort"]
            if has_port and ("0.0.0.0/0" in blocks or peer in groups or peer in lists):
                return True
        return False

    def acl_entries(self, acl):
        """Returns the ranges of ports that an ACL allows, by whether they are outbound."""
        [described] = self.ec2.describe_network_acls(NetworkAclIds=[acl])["NetworkAcls"]
        ranges = {True: [], False: []}
        for entry in described["Entries"]:
            ports = entry.get("PortRange", {"From": 0, "To": 65535})
            if entry["RuleAction"] == "allow":
                ranges[entry["Egress"]].append((ports["From"], ports["To"]))
        return ranges


def create_images(region):
    """Creates in moto's ECR what the lab's registry has, once for all VPCs."""
    create_image(region.client("ecr"), "team/app", "1.4")


def own_bucket_only():
    return statement("s3:GetObject", "arn:aws:s3:::own-bucket/*", Principal="*")


def without_manifests():
    return statement(["ecr:GetAuthorizationToken"], "*", Principal="*")
