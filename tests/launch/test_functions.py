"""`launch` with functions of AWS Lambda: requests, merging, interruption, rates, `gc`, the role."""

import json
import signal
import time

import pytest
import yaml

from pullprobe_testing import binaries, pace
from pullprobe_testing.accounts import EXECUTION_ROLE
from pullprobe_testing.ecs_standin import ApiError, Instance, Scripted
from pullprobe_testing.lambda_standin import ROLE, LambdaError, ScriptedFunction
from pullprobe_testing.launch_account import PROBE_IMAGE, client, deploy_on_instances
from pullprobe_testing.policies import actions_of, documented_policy
from pullprobe_testing.templates import lint_errors, terraform_resources
from pullprobe_testing.waiting import wait_for

AGENT = "--agent", f"linux/amd64={binaries.PROBE}"
OWN_ROLE = "--lambda-role", ROLE
ON_LAMBDA = "--service", "web", "--carrier", "lambda", *AGENT, *OWN_ROLE
AUTO = "--service", "web", "--probe-image", PROBE_IMAGE, *AGENT, *OWN_ROLE
EM_AARCH64 = 183  # ELF's number of ARM64
NO_ROUTE = (
    "ResourceInitializationError: unable to pull secrets or registry auth: execution resource "
    "retrieval failed: unable to retrieve ecr registry auth: service call has been retried 3 "
    "time(s): RequestError: send request failed caused "
    'by: Post "https://api.ecr.us-east-1.amazonaws.com/": dial tcp 203.0.113.9:443: i/o timeout'
)


def observation(target, phase, outcome="passed", **more):
    dependency = target.split("@")[0]
    document = {"id": f"{target}/{phase}", "dependency": dependency, "phase": phase}
    return {**document, "host": f"{target}.example", "outcome": outcome, "owner": None, **more}


def report_of(event, observations=(), findings=(), status="inconclusive", exit_code=3):
    """Returns the report of a function, as far as it matters to `launch`."""
    arguments = dict(argument.removeprefix("--").split("=", 1) for argument in event["arguments"])
    labels = dict(label.split("=") for label in arguments["label"].split(","))
    return {
        "schema": "pullprobe/report/v1",
        "run": {
            "id": arguments["run-id"],
            "version": "0.1.0",
            "started_at": "2026-11-27T10:00:00Z",
            "elapsed_ms": 7,
            "labels": labels,
            "address_ranges": "2026-11-01",
        },
        "vantage": {"carrier": "lambda", "platform": "linux/amd64"},
        "identity": None,
        "verdict": {"status": status, "exit_code": exit_code, "summary": "A sentence."},
        "findings": list(findings),
        "ruled_out": [],
        "observations": list(observations),
        "plan": json.loads(arguments["plan"]),
        "delivery": {"logs": "not-asked", "detail": ""},
        "_aws": {},
    }


class Reporting(ScriptedFunction):
    """Answers with a report that echoes what the event asks."""

    def __init__(self, running=0.05, pending=0.05, failure=None, **report):
        super().__init__({}, pending, running, failure)
        self.report = report

    def invoke(self, function, event):
        time.sleep(self.running)
        return json.dumps(report_of(json.loads(event), **self.report)).encode()


def silent_ecr():
    """Returns what a function reports where no packet reaches Amazon ECR."""
    silent = observation("ecr.api", "connect", "failed", failure="timed-out")
    finding = {
        "cause": "interface-endpoint-missing",
        "family": "network",
        "dependency": "ecr.api",
        "confidence": "certain",
        "blocking": True,
        "summary": "There is no interface VPC endpoint.",
        "remedy": "Create it.",
        "because": [silent["id"]],
    }
    return {
        "observations": [observation("ecr.api", "resolve"), silent],
        "findings": [finding],
        "status": "fail",
        "exit_code": 11,
    }


@pytest.fixture
def functions(account):
    """The functions of the account: each subnet's answers with a report."""
    account.functions.behaviours = {subnet: Reporting() for subnet in account.subnets}
    yield account.functions
    assert account.functions.schema_violations == []


def test_one_function_in_each_subnet_is_made_invoked_and_deleted(operator, account, functions):
    functions.behaviours = {subnet: Reporting(pending=3) for subnet in account.subnets}
    launched = operator.launch(*ON_LAMBDA)

    assert launched.exit_code == 3, launched
    assert set(launched.reports) == set(account.subnets)
    assert account.requests_of("RunTask") == account.requests_of("RegisterTaskDefinition") == []
    assert functions.functions == {} and len(functions.deleted) == 4
    assert sorted(made.subnet for made in functions.deleted) == sorted(account.subnets)
    for made in functions.deleted:
        request = made.request
        assert made.bootstrap == binaries.PROBE.read_bytes()
        assert request["Role"] == ROLE and request["Runtime"] == "provided.al2023"
        assert request["VpcConfig"]["SecurityGroupIds"] == [account.group]
        assert request["Architectures"] == ["x86_64"] and len(request["FunctionName"]) <= 64
        assert request["Tags"]["pullprobe:subnet"] == made.subnet
        assert request["Tags"]["pullprobe:run"] in launched.stderr
    assert len({made.code for made in functions.deleted}) == 1
    for state in ("creating the function", "Pending", "Active", "running the probe", "deleting"):
        assert f"AWS Lambda: {state}" in launched.stderr, launched
    assert "4 invocations" in launched.stderr and "$" in launched.stderr
    for _, event in functions.invoked:
        assert event["task"]["execution_role"] == EXECUTION_ROLE
        assert event["task"]["function_role"] == ROLE
        assert event["task"]["assigns_public_ip"] is False
        assert event["subnet"]["cidr"].startswith("10.0.") and event["subnet"]["cluster"] == "prod"


def test_ten_subnets_take_no_longer_than_one(operator, account, functions):
    network = client("ec2", account.moto.url)
    vpc = network.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        network.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{n}.0/24")["Subnet"]["SubnetId"]
        for n in range(10)
    ]
    functions.behaviours = {subnet: Reporting(running=2) for subnet in subnets}
    ten = operator.launch(*ON_LAMBDA, "--subnets", ",".join(subnets))
    one = operator.launch(*ON_LAMBDA, "--subnets", subnets[0])

    assert len(ten.reports) == 10 and len(one.reports) == 1
    assert functions.most_at_once >= 8
    assert ten.seconds < one.seconds + pace.limit(4), (ten.seconds, one.seconds)


def test_default_security_group_is_named(operator, account, functions):
    function = "--task-definition", "app:1", "--subnets", account.subnets[0]
    launched = operator.launch(*function, "--carrier", "lambda", *AGENT, *OWN_ROLE)
    assert launched.exit_code == 3, launched
    [group] = functions.deleted[0].request["VpcConfig"]["SecurityGroupIds"]
    groups = client("ec2", account.moto.url).describe_security_groups(GroupIds=[group])
    assert groups["SecurityGroups"][0]["GroupName"] == "default"


def test_auto_lets_a_function_follow_and_makes_one_report(operator, account, functions):
    broken = account.subnets[1]
    account.behaviours[broken] = Scripted(exit_code=None, reason=NO_ROUTE)
    functions.behaviours[broken] = Reporting(**silent_ecr())

    launched = operator.launch(*AUTO)

    assert launched.exit_code == 11 and len(launched.reports) == 4, launched
    report = launched.reports[broken]
    assert report["vantage"]["carrier"] == "lambda" and report["vantage"]["task_arn"]
    witnesses = [seen.get("witness") for seen in report["observations"]]
    assert "ecs" in witnesses and None in witnesses
    [finding] = report["findings"]
    assert (finding["cause"], finding["confidence"]) == ("interface-endpoint-missing", "certain")
    reported = [seen["id"] for seen in report["observations"] if seen.get("witness") == "ecs"]
    assert set(reported) < set(finding["because"])
    assert [made.subnet for made in functions.deleted] == [broken]
    others = set(account.subnets) - {broken}
    assert {launched.reports[other]["vantage"]["carrier"] for other in others} == {"fargate"}
    assert len(launched.comparison["vantages"]) == 4


def test_failure_that_the_function_does_not_meet_stands(operator, account, functions):
    broken = account.subnets[1]
    account.behaviours[broken] = Scripted(exit_code=None, reason=NO_ROUTE)
    passed = [observation("ecr.api", phase) for phase in ("resolve", "connect", "authorize")]
    functions.behaviours[broken] = Reporting(observations=passed)

    launched = operator.launch(*AUTO)

    report = launched.reports[broken]
    assert launched.exit_code == 11 and report["verdict"]["status"] == "fail", launched
    assert "found no failure" in report["verdict"]["summary"]
    assert {finding["confidence"] for finding in report["findings"]} == {"possible"}
    assert report["ruled_out"] == []


def test_function_that_is_refused_changes_nothing(operator, account, functions):
    broken = account.subnets[1]
    account.behaviours[broken] = Scripted(exit_code=None, reason=NO_ROUTE)
    denied = LambdaError("AccessDeniedException", "User is not authorized to perform", 403)
    functions.errors["CreateFunction"] = [denied]

    launched = operator.launch(*AUTO)

    report = launched.reports[broken]
    assert launched.exit_code == 11 and report["vantage"]["carrier"] == "fargate", launched
    assert f"no function ran in {broken}" in launched.stderr, launched
    assert "lambda:CreateFunction" in launched.stderr


def test_auto_follows_a_task_that_hangs_in_pending(operator, account, functions):
    broken = account.subnets[1]
    account.behaviours[broken] = Scripted(pending=60)
    functions.behaviours[broken] = Reporting(**silent_ecr())

    launched = operator.launch(*AUTO, "--timeout", "1s")

    report = launched.reports[broken]
    assert report["vantage"]["carrier"] == "lambda" and launched.exit_code == 11, launched
    assert {seen.get("witness") for seen in report["observations"]} == {None, "ecs"}


def test_auto_does_not_follow_what_is_not_of_the_network(operator, account, functions):
    denied = NO_ROUTE.split("RequestError")[0] + (
        "AccessDeniedException: User: arn:aws:sts::123456789012:assumed-role/role/1 is not "
        "authorized to perform: ecr:GetAuthorizationToken on resource: * because no "
        "identity-based policy allows the ecr:GetAuthorizationToken action"
    )
    account.behaviours[account.subnets[0]] = Scripted(exit_code=None, reason=denied)
    launched = operator.launch(*AUTO)
    assert launched.reports[account.subnets[0]]["vantage"]["carrier"] == "fargate", launched
    account.behaviours[account.subnets[0]] = Scripted(exit_code=None, reason=NO_ROUTE)
    launched = operator.launch(*AUTO[:-4], "--carrier", "fargate")
    assert launched.reports[account.subnets[0]]["vantage"]["carrier"] == "fargate", launched
    assert functions.requests == []


def test_missing_role_says_how_to_get_it(operator, account, functions):
    without_role = operator.launch(*ON_LAMBDA[:-2])
    assert without_role.exit_code == 2 and "install --lambda" in without_role.stderr, without_role
    account.behaviours[account.subnets[0]] = Scripted(exit_code=None, reason=NO_ROUTE)
    launched = operator.launch(*AUTO[:-2])
    assert launched.exit_code == 11 and "install --lambda" in launched.stderr, launched

    iam = client("iam", account.moto.url)
    made = iam.create_role(RoleName="pullprobe-lambda", AssumeRolePolicyDocument="{}")
    found = operator.launch(*ON_LAMBDA[:-2])
    assert found.exit_code == 3, found
    assert functions.deleted[0].request["Role"] == made["Role"]["Arn"]


def test_lambdas_reasons_are_reported(operator, account, functions):
    full, limited, broken, timed_out = account.subnets
    functions.behaviours = {
        full: Reporting(failure=("SubnetOutOfIPAddresses", "No free address in the subnet")),
        limited: Reporting(failure=("EniLimitExceeded", "Too many network interfaces")),
        broken: ScriptedFunction({"errorType": "Pullprobe.RunFailed", "errorMessage": "a reason"}),
        timed_out: Reporting(pending=60),
    }
    launched = operator.launch(*ON_LAMBDA, "--timeout", "3s")

    reports = launched.reports
    assert launched.exit_code == 20, launched
    assert reports[full]["findings"][0]["cause"] == "no-free-address"
    assert {seen["witness"] for seen in reports[full]["observations"]} == {"lambda"}
    for subnet, words in [
        (limited, "EniLimitExceeded"),
        (broken, "Pullprobe.RunFailed: a reason"),
        (timed_out, "--timeout"),
    ]:
        assert reports[subnet]["verdict"]["exit_code"] == 3, launched
        assert words in reports[subnet]["verdict"]["summary"], launched
        assert reports[subnet]["findings"] == []
    assert functions.functions == {}


def test_throttled_and_refused_calls_are_repeated(operator, account, functions):
    throttled = LambdaError("TooManyRequestsException", "Rate exceeded", 429)
    unknown = LambdaError(
        "InvalidParameterValueException",
        "The role defined for the function cannot be assumed by Lambda.",
    )
    changing = LambdaError("ResourceConflictException", "An update is in progress", 409)
    functions.errors = {
        "CreateFunction": [throttled, unknown],
        "Invoke": [throttled, throttled],
        "DeleteFunction": [changing, throttled],
    }
    launched = operator.launch(*ON_LAMBDA)
    assert launched.exit_code == 3 and functions.functions == {}, launched
    assert not any(functions.errors.values())
    assert len(functions.invoked) == len(functions.deleted) == 4, launched


def test_denied_call_says_which_statement_grants_it(operator, account, functions):
    denied = LambdaError("AccessDeniedException", "User is not authorized to perform", 403)
    functions.errors["CreateFunction"] = [denied] * 8
    launched = operator.launch(*ON_LAMBDA)
    assert "lambda:CreateFunction" in launched.stderr + launched.stdout, launched
    # What was not made is not deleted.
    assert "could not be deleted" not in launched.stderr, launched
    assert {operation for operation, *_ in functions.requests} == {"CreateFunction"}
    assert launched.exit_code == 3 and functions.functions == {}


def test_ipv6_only_subnet_is_not_checked(operator, account, functions):
    ec2 = client("ec2", account.moto.url)
    vpc = ec2.create_vpc(CidrBlock="10.2.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], Ipv6CidrBlock=block, Ipv6Native=True)["Subnet"]
    if not subnet.get("Ipv6Native"):
        pytest.skip("moto does not keep Ipv6Native")
    launched = operator.launch(*ON_LAMBDA, "--subnets", subnet["SubnetId"])
    report = launched.reports[subnet["SubnetId"]]
    assert launched.exit_code == 3, launched
    outcomes = {seen["outcome"] for seen in report["observations"]}
    assert outcomes == {"not-checked"} and functions.invoked == []
    assert "IPv6-only" in report["verdict"]["summary"]


def test_function_is_that_of_its_subnet_and_knows_the_task(operator, account, functions, tmp_path):
    ec2 = client("ec2", account.moto.url)
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    block = vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"].replace("/56", "/64")
    where = {"VpcId": vpc["VpcId"], "CidrBlock": "10.3.1.0/24", "Ipv6CidrBlock": block}
    subnet = ec2.create_subnet(**where)["Subnet"]["SubnetId"]
    functions.behaviours[subnet] = Reporting()
    content = bytearray(binaries.require_probe().read_bytes())
    content[18:20] = EM_AARCH64.to_bytes(2, "little")
    agent = tmp_path / "agent"
    agent.write_bytes(content)
    # A task that gets a public address.
    network = {"subnets": [subnet], "securityGroups": [account.group], "assignPublicIp": "ENABLED"}
    client("ecs", account.moto.url).update_service(
        cluster="prod", service="web", networkConfiguration={"awsvpcConfiguration": network}
    )

    on_arm = "--carrier", "lambda", *OWN_ROLE, "--agent", f"linux/arm64={agent}"
    launched = operator.launch("--service", "web", *on_arm)

    assert list(launched.reports) == [subnet], launched
    [made] = functions.deleted
    assert made.request["Architectures"] == ["arm64"]
    assert made.request["VpcConfig"]["Ipv6AllowedForDualStack"] is True
    [(_, event)] = functions.invoked
    assert event["task"]["assigns_public_ip"] is True
    assert event["task"]["ip_family"] == event["subnet"]["ip_family"] == "dual-stack"


def test_interrupted_launch_deletes_its_functions(operator, account, functions):
    functions.behaviours = {subnet: Reporting(pending=30) for subnet in account.subnets}
    process = operator.start_launch(*ON_LAMBDA)
    wait_for(lambda: len(functions.functions) == 4)
    process.send_signal(signal.SIGINT)
    launched = operator.finish(process)

    assert functions.functions == {} and launched.exit_code == 3, launched
    assert launched.seconds < pace.limit(15)
    for report in launched.reports.values():
        assert "Interrupted" in report["verdict"]["summary"]


def test_functions_that_a_failed_launch_leaves_are_named(operator, account, functions):
    broken = account.subnets[1]
    account.behaviours[broken] = Scripted(exit_code=None, reason=NO_ROUTE)
    for subnet in set(account.subnets) - {broken}:
        account.behaviours[subnet] = Scripted(pending=60)
    functions.behaviours[broken] = Reporting(pending=60)
    denied = LambdaError("AccessDeniedException", "User is not authorized to perform", 403)
    functions.errors["DeleteFunction"] = [denied]
    process = operator.start_launch(*AUTO)
    wait_for(lambda: len(functions.functions) == 1)
    account.errors["DescribeTasks"] = ApiError("AccessDeniedException", "not authorized")
    launched = operator.finish(process)

    [name] = functions.functions
    assert f"the function {name} could not be deleted" in launched.stderr, launched
    assert len(account.requests_of("StopTask")) >= 3, launched


def test_gc_deletes_what_a_killed_launch_left(operator, account, functions):
    functions.behaviours = {subnet: Reporting(pending=30) for subnet in account.subnets}
    process = operator.start_launch(*ON_LAMBDA)
    wait_for(lambda: len(functions.functions) == 4)
    watched = operator("gc", "--cluster", "prod")
    assert watched.exit_code == 0 and watched.stdout.count("left alone the function") == 4, watched
    process.kill()
    process.wait()

    shown = operator("gc", "--cluster", "prod", "--dry-run")
    assert shown.stdout.count("would delete the function") == 4, shown
    collected = operator("gc", "--cluster", "prod")
    assert collected.stdout.count("\ndeleted the function") >= 3, collected
    assert functions.functions == {}


def test_gc_skips_what_is_deleted_meanwhile(operator, account, functions):
    functions.behaviours = {subnet: Reporting(pending=30) for subnet in account.subnets}
    process = operator.start_launch(*ON_LAMBDA)
    wait_for(lambda: len(functions.functions) == 4)
    process.kill()
    process.wait()
    gone = LambdaError("ResourceNotFoundException", "Function not found", 404)
    functions.errors = {"ListTags": [gone], "DeleteFunction": [gone]}

    collected = operator("gc", "--cluster", "prod")

    assert collected.exit_code == 0, collected
    assert len(functions.functions) == 2 and not any(functions.errors.values())


def test_targets_on_instances_need_the_instances_groups(operator, account, functions):
    account.instances = [Instance(account.subnets[0], number=1)]
    deploy_on_instances(account, executionRoleArn=None)
    subnets = "--service", "old", "--subnets", account.subnets[0]
    on_lambda = *subnets, *ON_LAMBDA[2:]

    refused = operator.launch(*on_lambda)
    assert refused.exit_code == 2 and "--security-groups" in refused.stderr, refused
    assert functions.requests == []

    launched = operator.launch(*on_lambda, "--security-groups", account.group)
    assert launched.exit_code == 3, launched
    [made] = functions.deleted
    assert made.request["VpcConfig"]["SecurityGroupIds"] == [account.group]
    [(_, event)] = functions.invoked
    assert event["task"].get("execution_role") is None


def test_no_function_follows_a_task_on_an_instance(operator, account, functions):
    account.instances = [Instance(account.subnets[0], number=1)]
    deploy_on_instances(account)
    account.behaviours[account.subnets[0]] = Scripted(exit_code=None, reason=NO_ROUTE)

    launched = operator.launch("--service", "old", *AUTO[2:])

    assert launched.exit_code == 11 and functions.requests == [], launched
    assert launched.reports[account.subnets[0]]["vantage"]["carrier"] == "ec2"


def test_dry_run_shows_calls_and_cost(operator, account, functions):
    shown = operator(
        "launch", "--cluster", "prod", *ON_LAMBDA, "--dry-run", "--verbose", "--format", "json"
    )

    calls = [json.loads(line) for line in shown.stdout.splitlines()]
    sent = {call["operation"] for call in calls if call["sent"]}
    planned = {call["operation"] for call in calls if not call["sent"]}
    assert planned == {"CreateFunction", "GetFunction", "Invoke", "DeleteFunction"}, shown
    assert "DescribeSubnets" in sent and functions.requests == []
    assert "at most AWS Lambda: 4 invocations" in shown.stderr, shown


def test_documented_policy_grants_exactly_what_functions_need(operator, account, functions):
    iam = client("iam", account.moto.url)
    iam.create_role(RoleName="pullprobe-lambda", AssumeRolePolicyDocument="{}")
    operator.launch(*ON_LAMBDA[:-2])
    functions.behaviours = {subnet: Reporting(pending=30) for subnet in account.subnets}
    process = operator.start_launch(*ON_LAMBDA)
    wait_for(lambda: len(functions.functions) == 4)
    process.kill()
    process.wait()
    operator("gc", "--cluster", "prod")
    subnets = account.subnets[0]
    operator.launch(*ON_LAMBDA[2:], "--task-definition", "app:1", "--subnets", subnets)

    granted = actions_of(documented_policy("RunItAsAFunction")["Statement"])
    others = actions_of(documented_policy("LaunchTheProbe")["Statement"])
    # Tags and a role need permissions without an operation, and Lambda reads the VPC as the caller.
    without_operation = {
        "lambda:TagResource",
        "iam:PassRole",
        "ec2:DescribeVpcs",
        "ec2:GetSecurityGroupsForVpc",
    }
    assert granted - without_operation == account.called_actions() - others


def printed_role(operator, output):
    printed = operator("install", "--lambda", "--print", output)
    assert printed.exit_code == 0, printed
    return printed.stdout


def test_role_is_printed_for_both_tools(operator):
    text = printed_role(operator, "cloudformation")
    assert lint_errors(text, "us-east-1") == []
    [resource] = yaml.safe_load(text)["Resources"].values()
    role = resource["Properties"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    allow, deny = role["Policies"][0]["PolicyDocument"]["Statement"]
    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    assert set(allow["Action"]) == set(deny["Action"])
    assert all(action.startswith("ec2:") for action in allow["Action"])

    resources = terraform_resources(printed_role(operator, "terraform"))
    assert role["RoleName"] in json.dumps(resources)
    for action in allow["Action"]:
        assert action in json.dumps(resources)


def test_print_needs_lambda(operator):
    refused = operator("install", "--print", "terraform")
    assert refused.exit_code == 2 and "--lambda" in refused.stderr
