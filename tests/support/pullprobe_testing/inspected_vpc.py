"""The VPC of the tests of `inspect`: a healthy one in moto, whose objects a test changes.

Two designs: `private` subnets with VPC endpoints and no way out, and `nat` or `public` ones without
endpoints.
"""

import json

from pullprobe_testing.accounts import (
    ACCOUNT,
    EXECUTION_ROLE,
    create_image,
    create_service,
    log_configuration,
    moto_client,
    register_task_definition,
    registry_host,
)

REGION = "us-east-1"
SERVICES = ("ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm")
LOG_GROUP = "/ecs/app"
BUCKET = f"arn:aws:s3:::prod-{REGION}-starport-layer-bucket"
REPOSITORY = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/team/app"

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def statement(actions, resources, **more):
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


# action -> the resource of the role's statement
ROLE_ACTIONS = {
    "ecr:GetAuthorizationToken": "*",
    "ecr:BatchGetImage": REPOSITORY,
    "ecr:GetDownloadUrlForLayer": REPOSITORY,
    "logs:CreateLogStream": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOG_GROUP}:*",
    "logs:PutLogEvents": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{LOG_GROUP}:*",
    "secretsmanager:GetSecretValue": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:prod/*",
    "ssm:GetParameters": f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/*",
}

ALL_TCP = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]


def https(**peer):
    return [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, **peer}]


class InspectedVpc:
    """A healthy VPC. Its attributes are the ids of its objects.

    `way` is `private`, `nat` or `public`.
    """

    name = "web"  # of the service

    def __init__(self, moto, way="private", with_secrets=True):
        moto.reset()
        self.url, self.way = moto.url, way
        self.ec2, self.iam, self.ecr = map(self.client, ("ec2", "iam", "ecr"))
        self.logs, self.ecs = self.client("logs"), self.client("ecs")
        self.create_network()
        if way == "private":
            self.create_endpoints()
        self.create_objects(with_secrets)
        definition = self.register(with_secrets)
        create_service(self.ecs, self.subnets, self.task_group, definition)
        if way == "public":
            self.set_public_ip("ENABLED")

    def client(self, service):
        return moto_client(service, self.url, REGION)

    def create_network(self):
        ec2 = self.ec2
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        for attribute in ("EnableDnsSupport", "EnableDnsHostnames"):
            ec2.modify_vpc_attribute(VpcId=self.vpc, **{attribute: {"Value": True}})
        self.gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=self.gateway, VpcId=self.vpc)
        self.subnets = [
            self.create_subnet(f"10.0.{number}.0/24", zone) for number, zone in ((1, "a"), (2, "b"))
        ]
        self.endpoint_subnet = self.create_subnet("10.0.9.0/24", "a")
        self.public_subnet = self.create_subnet("10.0.100.0/24", "a")
        self.route_table = self.create_route_table(self.subnets)
        self.public_table = self.create_route_table([self.public_subnet])
        self.route(self.public_table, GatewayId=self.gateway)
        if self.way == "nat":
            address = ec2.allocate_address(Domain="vpc")["AllocationId"]
            nat = ec2.create_nat_gateway(SubnetId=self.public_subnet, AllocationId=address)
            self.nat = nat["NatGateway"]["NatGatewayId"]
            self.route(self.route_table, NatGatewayId=self.nat)
        if self.way == "public":
            self.route(self.route_table, GatewayId=self.gateway)
        self.task_group = self.create_group("task")
        self.acl = self.create_acl(self.subnets)
        self.endpoint_acl = self.create_acl([self.endpoint_subnet])
        self.public_acl = self.create_acl([self.public_subnet])

    def create_subnet(self, block, zone):
        subnet = self.ec2.create_subnet(
            VpcId=self.vpc, CidrBlock=block, AvailabilityZone=f"{REGION}{zone}"
        )
        return subnet["Subnet"]["SubnetId"]

    def create_route_table(self, subnets):
        table = self.ec2.create_route_table(VpcId=self.vpc)["RouteTable"]["RouteTableId"]
        for subnet in subnets:
            self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
        return table

    def route(self, table, **target):
        self.ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **target)

    def create_group(self, name):
        group = self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc)
        return group["GroupId"]

    def create_acl(self, subnets):
        """Gives the subnets a network ACL with a rule 100 that allows all, in both directions."""
        acl = self.ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        for egress in (True, False):
            self.acl_entry(acl, 100, egress)
        acls = self.ec2.describe_network_acls()["NetworkAcls"]
        for association in [a for one in acls for a in one["Associations"]]:
            if association["SubnetId"] in subnets:
                self.ec2.replace_network_acl_association(
                    AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl
                )
        return acl

    def acl_entry(self, acl, number, egress, ports=None, block="0.0.0.0/0", action="allow"):
        more = {"PortRange": {"From": ports[0], "To": ports[1]}} if ports else {}
        self.ec2.create_network_acl_entry(
            NetworkAclId=acl,
            RuleNumber=number,
            Egress=egress,
            Protocol="6" if ports else "-1",
            CidrBlock=block,
            RuleAction=action,
            **more,
        )

    def delete_acl_entry(self, acl, egress, number=100):
        self.ec2.delete_network_acl_entry(NetworkAclId=acl, RuleNumber=number, Egress=egress)

    def create_endpoints(self):
        """Creates the endpoints in a subnet of their own, so that two network ACLs lie between."""
        self.endpoint_group = self.create_group("endpoints")
        peer = {"UserIdGroupPairs": [{"GroupId": self.task_group}]}
        self.ec2.authorize_security_group_ingress(
            GroupId=self.endpoint_group, IpPermissions=https(**peer)
        )
        self.endpoints = {service: self.create_endpoint(service) for service in SERVICES}
        self.create_s3_gateway()

    def create_s3_gateway(self):
        s3 = self.ec2.create_vpc_endpoint(
            VpcId=self.vpc,
            VpcEndpointType="Gateway",
            ServiceName=f"com.amazonaws.{REGION}.s3",
            RouteTableIds=[self.route_table],
        )
        self.endpoints["s3"] = s3["VpcEndpoint"]["VpcEndpointId"]

    def create_endpoint(self, service, **more):
        endpoint = self.ec2.create_vpc_endpoint(
            **{
                "VpcId": self.vpc,
                "VpcEndpointType": "Interface",
                "ServiceName": f"com.amazonaws.{REGION}.{service}",
                "SubnetIds": [self.endpoint_subnet],
                "SecurityGroupIds": [self.endpoint_group],
                "PrivateDnsEnabled": True,
                **more,
            }
        )
        return endpoint["VpcEndpoint"]["VpcEndpointId"]

    def create_objects(self, with_secrets):
        create_image(self.ecr, "team/app", "1.4")
        self.logs.create_log_group(logGroupName=LOG_GROUP)
        if with_secrets:
            secrets = self.client("secretsmanager")
            self.secret = secrets.create_secret(Name="prod/db", SecretString="planted-value")["ARN"]
            self.client("ssm").put_parameter(
                Name="/prod/token", Value="planted-value", Type="SecureString"
            )
        name = EXECUTION_ROLE.split("/")[-1]
        self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        self.set_role_policy()

    def set_role_policy(self, without=(), *more):
        allowed = [statement(a, r) for a, r in ROLE_ACTIONS.items() if a not in without]
        self.iam.put_role_policy(
            RoleName=EXECUTION_ROLE.split("/")[-1],
            PolicyName="start",
            PolicyDocument=policy(*allowed, *more),
        )

    def register(self, with_secrets, image="team/app:1.4"):
        app = {
            "name": "app",
            "image": f"{registry_host(REGION)}/{image}",
            "essential": True,
            "logConfiguration": log_configuration(LOG_GROUP, REGION),
        }
        if with_secrets:
            parameter = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/token"
            app["secrets"] = [
                {"name": "DB", "valueFrom": self.secret},
                {"name": "TOKEN", "valueFrom": parameter},
            ]
        return register_task_definition(self.ecs, [app])

    def set_public_ip(self, value):
        network = {
            "subnets": self.subnets,
            "securityGroups": [self.task_group],
            "assignPublicIp": value,
        }
        self.ecs.update_service(
            cluster="prod",
            service=self.name,
            networkConfiguration={"awsvpcConfiguration": network},
        )

    def close_egress(self, *allowed):
        """Removes the rule that allows all from the task's group and adds others."""
        self.ec2.revoke_security_group_egress(GroupId=self.task_group, IpPermissions=ALL_TCP)
        for permissions in allowed:
            self.ec2.authorize_security_group_egress(
                GroupId=self.task_group, IpPermissions=permissions
            )

    def route_s3(self, endpoint, table):
        """Adds the route that AWS adds when a gateway endpoint is associated with a route table."""
        self.ec2.create_route(
            RouteTableId=table,
            DestinationPrefixListId=self.s3_prefix_list(),
            GatewayId=endpoint,
        )

    def s3_prefix_list(self):
        lists = self.ec2.describe_managed_prefix_lists()["PrefixLists"]
        [found] = [one for one in lists if one["PrefixListName"] == f"com.amazonaws.{REGION}.s3"]
        return found["PrefixListId"]
