"""Every fault of the configuration: `inspect` names the object and its rule first.

The printed patch opens the way when the AWS CLI runs it, and opens nothing else.
"""

import json

import pytest

from pullprobe_testing.accounts import ACCOUNT, EXECUTION_ROLE
from pullprobe_testing.inspected_vpc import (
    BUCKET,
    LOG_GROUP,
    REGION,
    REPOSITORY,
    https,
    policy,
    statement,
)

ANY = {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}


class Fault:
    """What is broken, and what must be said.

    way       design of the VPC
    cause     code of the first finding
    rule      text that the rule must contain
    narrow    whether a neighbour port must stay closed after the patch
    applies   whether there is a patch to apply: what only a person can decide has none
    status    of the verdict
    """

    def __init__(
        self, cause, rule, inject, way="private", narrow=False, applies=True, status="fail"
    ):
        self.cause, self.rule, self.inject = cause, rule, inject
        self.way, self.narrow, self.applies, self.status = way, narrow, applies, status


def missing_endpoint(vpc):
    vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpc.endpoints["logs"]])
    return vpc.vpc


def private_dns_off(vpc):
    vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpc.endpoints["ecr.api"]])
    return vpc.create_endpoint("ecr.api", PrivateDnsEnabled=False)


def dns_hostnames_off(vpc):
    vpc.ec2.modify_vpc_attribute(VpcId=vpc.vpc, EnableDnsHostnames={"Value": False})
    return vpc.vpc


def dns_support_off(vpc):
    vpc.ec2.modify_vpc_attribute(VpcId=vpc.vpc, EnableDnsSupport={"Value": False})
    return vpc.vpc


def endpoint_group_closed(vpc):
    peer = {"UserIdGroupPairs": [{"GroupId": vpc.task_group}]}
    vpc.ec2.revoke_security_group_ingress(GroupId=vpc.endpoint_group, IpPermissions=https(**peer))
    return vpc.endpoint_group


def endpoint_group_open_to_another(vpc):
    endpoint_group_closed(vpc)
    peer = {"IpRanges": [{"CidrIp": "10.0.200.0/24"}]}
    vpc.ec2.authorize_security_group_ingress(
        GroupId=vpc.endpoint_group, IpPermissions=https(**peer)
    )
    return vpc.endpoint_group


def task_group_without_endpoints(vpc):
    vpc.close_egress(https(PrefixListIds=[{"PrefixListId": vpc.s3_prefix_list()}]))
    return vpc.task_group


def task_group_without_s3(vpc):
    vpc.close_egress(https(UserIdGroupPairs=[{"GroupId": vpc.endpoint_group}]))
    return vpc.task_group


def task_group_closed_behind_nat(vpc):
    vpc.close_egress()
    return vpc.task_group


def acl_without_outbound(vpc):
    vpc.delete_acl_entry(vpc.acl, egress=True)
    return vpc.acl


def acl_denies_outbound(vpc):
    vpc.acl_entry(vpc.acl, 90, True, (443, 443), "10.0.9.0/24", "deny")
    return vpc.acl


def acl_without_ephemeral(vpc):
    vpc.delete_acl_entry(vpc.acl, egress=False)
    vpc.acl_entry(vpc.acl, 100, False, (443, 443))
    return vpc.acl


def acl_with_half_of_ephemeral(vpc):
    vpc.delete_acl_entry(vpc.acl, egress=False)
    vpc.acl_entry(vpc.acl, 100, False, (49152, 65535))
    return vpc.acl


def acl_of_endpoints_denies_inbound(vpc):
    vpc.acl_entry(vpc.endpoint_acl, 80, False, (0, 1023), "10.0.0.0/16", "deny")
    return vpc.endpoint_acl


def acl_of_endpoints_without_ephemeral(vpc):
    vpc.delete_acl_entry(vpc.endpoint_acl, egress=True)
    return vpc.endpoint_acl


def acl_of_nat_without_ephemeral(vpc):
    vpc.delete_acl_entry(vpc.public_acl, egress=False)
    vpc.acl_entry(vpc.public_acl, 100, False, (443, 443))
    return vpc.public_acl


def s3_not_associated(vpc):
    vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpc.endpoints["s3"]])
    vpc.ec2.create_vpc_endpoint(
        VpcId=vpc.vpc,
        VpcEndpointType="Gateway",
        ServiceName=f"com.amazonaws.{REGION}.s3",
        RouteTableIds=[vpc.public_table],
    )
    return vpc.route_table


def s3_endpoint_missing(vpc):
    vpc.ec2.delete_vpc_endpoints(VpcEndpointIds=[vpc.endpoints["s3"]])
    return vpc.route_table


def set_endpoint_policy(vpc, service, *statements):
    endpoint = vpc.endpoints[service]
    vpc.ec2.modify_vpc_endpoint(VpcEndpointId=endpoint, PolicyDocument=policy(*statements))
    return endpoint


def s3_policy_without_layers(vpc):
    allowed = statement("s3:GetObject", "arn:aws:s3:::own-bucket/*", Principal="*")
    return set_endpoint_policy(vpc, "s3", allowed)


def s3_policy_for_own_account(vpc):
    condition = {"StringEquals": {"aws:PrincipalAccount": ACCOUNT}}
    allowed = statement("*", "*", Principal="*", Condition=condition)
    return set_endpoint_policy(vpc, "s3", allowed)


def ecr_policy_without_layers(vpc):
    allowed = statement("ecr:BatchGetImage", "*", Principal="*")
    return set_endpoint_policy(vpc, "ecr.dkr", allowed)


def logs_policy_denies(vpc):
    allowed = statement("*", "*", Principal="*")
    denied = {**statement("logs:PutLogEvents", "*", Principal="*"), "Effect": "Deny", "Sid": "No"}
    return set_endpoint_policy(vpc, "logs", allowed, denied)


def no_default_route(vpc):
    vpc.ec2.delete_route(RouteTableId=vpc.route_table, DestinationCidrBlock="0.0.0.0/0")
    return vpc.route_table


def nat_deleted(vpc):
    vpc.ec2.delete_nat_gateway(NatGatewayId=vpc.nat)
    return vpc.nat


def nat_in_private_subnet(vpc):
    vpc.ec2.delete_route(RouteTableId=vpc.public_table, DestinationCidrBlock="0.0.0.0/0")
    return vpc.public_table


def internet_gateway_detached(vpc):
    vpc.ec2.detach_internet_gateway(InternetGatewayId=vpc.gateway, VpcId=vpc.vpc)
    return vpc.route_table


def no_public_address(vpc):
    vpc.set_public_ip("DISABLED")
    return vpc.route_table


def repository_missing(vpc):
    vpc.ecr.delete_repository(repositoryName="team/app", force=True)
    return "team/app"


def image_missing(vpc):
    vpc.ecr.batch_delete_image(repositoryName="team/app", imageIds=[{"imageTag": "1.4"}])
    return f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/team/app:1.4"


def secret_missing(vpc):
    secrets = vpc.client("secretsmanager")
    secrets.delete_secret(SecretId="prod/db", ForceDeleteWithoutRecovery=True)
    return vpc.secret


def parameter_missing(vpc):
    vpc.client("ssm").delete_parameter(Name="/prod/token")
    return f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/prod/token"


def log_group_missing(vpc):
    vpc.logs.delete_log_group(logGroupName=LOG_GROUP)
    return LOG_GROUP


def role_without_action(vpc):
    vpc.set_role_policy(["ecr:GetDownloadUrlForLayer"])
    return EXECUTION_ROLE


def role_without_logs_and_secrets(vpc):
    vpc.set_role_policy(["logs:PutLogEvents", "secretsmanager:GetSecretValue"])
    return EXECUTION_ROLE


def role_denied(vpc):
    denied = {**statement("ecr:Batch*", "*"), "Effect": "Deny", "Sid": "NoImages"}
    vpc.set_role_policy((), denied)
    return EXECUTION_ROLE


def role_trusts_another(vpc):
    trust = statement("sts:AssumeRole", "*", Principal={"Service": "lambda.amazonaws.com"})
    del trust["Resource"]
    vpc.iam.update_assume_role_policy(
        RoleName=EXECUTION_ROLE.split("/")[-1], PolicyDocument=policy(trust)
    )
    return EXECUTION_ROLE


def repository_denies(vpc):
    denied = {
        **statement("ecr:BatchGetImage", "*", Principal="*"),
        "Effect": "Deny",
        "Sid": "Quarantine",
    }
    del denied["Resource"]
    vpc.ecr.set_repository_policy(repositoryName="team/app", policyText=policy(denied))
    return REPOSITORY


def zone_shadows(vpc):
    zone = vpc.client("route53").create_hosted_zone(
        Name=f"api.ecr.{REGION}.amazonaws.com",
        CallerReference="1",
        VPC={"VPCRegion": REGION, "VPCId": vpc.vpc},
        HostedZoneConfig={"PrivateZone": True},
    )
    return zone["HostedZone"]["Id"].split("/")[-1]


FAULTS = {
    function.__name__: Fault(cause, rule, function, **more)
    for cause, rule, function, more in [
        ("interface-endpoint-missing", f"com.amazonaws.{REGION}.logs", missing_endpoint, {}),
        ("private-dns-disabled", "private DNS is disabled", private_dns_off, {}),
        ("private-dns-disabled", "enableDnsHostnames is false", dns_hostnames_off, {}),
        ("resolver-unreachable", "enableDnsSupport is false", dns_support_off, {}),
        ("endpoint-security-group", "TCP 443 from sg-", endpoint_group_closed, {"narrow": True}),
        (
            "endpoint-security-group",
            "TCP 443 from sg-",
            endpoint_group_open_to_another,
            {"narrow": True},
        ),
        (
            "task-security-group-egress",
            "TCP 443 to sg-",
            task_group_without_endpoints,
            {"narrow": True},
        ),
        ("task-security-group-egress", "TCP 443 to pl-", task_group_without_s3, {}),
        (
            "task-security-group-egress",
            "TCP 443 to 0.0.0.0/0",
            task_group_closed_behind_nat,
            {"way": "nat", "narrow": True},
        ),
        ("network-acl", "outbound rule *", acl_without_outbound, {"narrow": True}),
        ("network-acl", "outbound rule 90", acl_denies_outbound, {"applies": False}),
        ("network-acl", "inbound rule *", acl_without_ephemeral, {}),
        ("network-acl", "inbound rule *", acl_with_half_of_ephemeral, {"status": "warn"}),
        ("network-acl", "inbound rule 80", acl_of_endpoints_denies_inbound, {"applies": False}),
        ("network-acl", "outbound rule *", acl_of_endpoints_without_ephemeral, {}),
        ("network-acl", "inbound rule *", acl_of_nat_without_ephemeral, {"way": "nat"}),
        ("s3-gateway-missing", "no route to pl-", s3_not_associated, {}),
        ("s3-gateway-missing", "no route to pl-", s3_endpoint_missing, {}),
        ("s3-endpoint-policy-denies", f"s3:GetObject on {BUCKET}", s3_policy_without_layers, {}),
        ("s3-endpoint-policy-denies", f"s3:GetObject on {BUCKET}", s3_policy_for_own_account, {}),
        (
            "endpoint-policy-denies",
            "no statement allows ecr:GetDownloadUrlForLayer",
            ecr_policy_without_layers,
            {},
        ),
        ("endpoint-policy-denies", "statement No denies", logs_policy_denies, {"applies": False}),
        ("no-egress-route", "no route to 0.0.0.0/0", no_default_route, {"way": "nat"}),
        ("nat-gateway-unhealthy", "0.0.0.0/0 to nat-", nat_deleted, {"way": "nat"}),
        ("no-egress-route", "no route to 0.0.0.0/0", nat_in_private_subnet, {"way": "nat"}),
        (
            "no-egress-route",
            "0.0.0.0/0 to igw-",
            internet_gateway_detached,
            {"way": "public", "applies": False},
        ),
        ("public-ip-missing", "0.0.0.0/0 to igw-", no_public_address, {"way": "public"}),
        ("repository-not-found", "does not exist", repository_missing, {"applies": False}),
        ("image-not-found", "does not exist", image_missing, {"applies": False}),
        ("secret-not-found", "does not exist", secret_missing, {"applies": False}),
        ("parameter-not-found", "does not exist", parameter_missing, {"applies": False}),
        ("log-group-missing", "does not exist", log_group_missing, {}),
        (
            "identity-policy-missing-action",
            f"ecr:GetDownloadUrlForLayer on {REPOSITORY}",
            role_without_action,
            {},
        ),
        (
            "identity-policy-missing-action",
            "secretsmanager:GetSecretValue",
            role_without_logs_and_secrets,
            {},
        ),
        ("identity-policy-denies", "statement NoImages", role_denied, {"applies": False}),
        ("role-not-assumable", "ecs-tasks.amazonaws.com", role_trusts_another, {"applies": False}),
        ("resource-policy-denies", "statement Quarantine", repository_denies, {"applies": False}),
        ("private-zone-shadows-name", "no record for", zone_shadows, {"applies": False}),
    ]
}


def closed_hops(inspection):
    return [
        (contact["target"], hop["hop"], hop["object"])
        for contact in inspection["contacts"]
        for hop in contact["hops"]
        if hop["verdict"] == "closed"
    ]


def neighbour(operator, tmp_path, finding):
    """Returns the closed hops of the same host on another port, as configured now."""
    file = tmp_path / "neighbour.json"
    operator.inspect("--save", file)
    snapshot = json.loads(file.read_text())
    target = finding["contacts"][0].split("/", 1)[1]
    [known] = [t for t in snapshot["plan"]["targets"] if t["key"] == target]
    check = {"dependency": known["dependency"], "host": known["host"], "port": 8443}
    check["subject"] = "neighbour"
    snapshot["plan"]["connections"] = [check]
    snapshot["plan"]["targets"] = []
    file.write_text(json.dumps(snapshot))
    inspection = json.loads(operator.run("--from", file, "--format", "json").stdout)
    contacts = [c for c in inspection["contacts"] if c["port"] == 8443]
    assert contacts, inspection["contacts"]
    return contacts


@pytest.mark.parametrize("name", FAULTS)
def test_object_and_rule_come_first_and_the_patch_opens_only_the_contact(
    name, world, operator, tmp_path
):
    fault = FAULTS[name]
    vpc = world(fault.way)
    expected = fault.inject(vpc)
    inspection = operator.inspect()
    first = inspection["findings"][0]
    assert (first["cause"], first["object"]) == (fault.cause, expected), inspection["findings"]
    assert fault.rule in first["rule"]
    assert inspection["verdict"]["status"] == fault.status
    # One root hides its consequences: every finding is of this cause.
    assert {finding["cause"] for finding in inspection["findings"]} == {fault.cause}
    if not fault.applies:
        # What only a person can decide has no patch that would decide it.
        assert fault.cause != "network-acl" or first["patch"] is None
        return
    for finding in inspection["findings"]:
        applied = operator.apply(finding["patch"]["cli"])
        assert applied.returncode == 0, (finding["patch"]["cli"], applied.stderr)
    repaired = operator.inspect()
    assert repaired["findings"] == [], repaired["findings"]
    assert repaired["verdict"]["status"] == "pass", closed_hops(repaired)
    if fault.narrow:
        for contact in neighbour(operator, tmp_path, first):
            assert contact["verdict"] != "open", contact


@pytest.mark.parametrize("way", ["private", "nat", "public"])
def test_healthy_designs_are_open_in_every_hop(way, world, operator):
    world(way)
    inspection = operator.inspect()
    assert inspection["verdict"] == {
        "status": "pass",
        "exit_code": 0,
        "summary": inspection["verdict"]["summary"],
    }
    verdicts = {hop["verdict"] for c in inspection["contacts"] for hop in c["hops"]}
    assert verdicts == {"open"}
    # Two subnets, and each host of the plan.
    assert len(inspection["contacts"]) == 12


@pytest.mark.parametrize(
    ("way", "mode", "exclusion", "status"),
    [
        ("nat", "block-bidirectional", None, "fail"),
        ("nat", "block-bidirectional", "allow-egress", "pass"),
        ("nat", "block-ingress", None, "pass"),
        ("public", "block-ingress", None, "fail"),
        ("public", "block-ingress", "allow-egress", "fail"),
        ("public", "block-ingress", "allow-bidirectional", "pass"),
        ("private", "block-bidirectional", None, "pass"),
    ],
)
def test_block_public_access_stops_what_it_stops(way, mode, exclusion, status, world, operator):
    vpc = world(way)
    operator.standin.block_mode = mode
    if exclusion:
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{vpc.vpc}"
        operator.standin.exclusions = [(arn, exclusion)]
    inspection = operator.inspect()
    assert inspection["verdict"]["status"] == status, inspection["findings"]
    if status == "fail":
        first = inspection["findings"][0]
        assert (first["cause"], first["object"]) == ("vpc-block-public-access", vpc.vpc)
        assert mode in first["rule"]


def test_several_independent_faults_are_all_named(world, operator):
    vpc = world()
    acl_denies_outbound(vpc)
    log_group_missing(vpc)
    role_without_action(vpc)
    causes = {finding["cause"] for finding in operator.inspect()["findings"]}
    assert causes == {"network-acl", "log-group-missing", "identity-policy-missing-action"}
