"""`install --lambda`: the role of the functions, made once and with the least permissions."""

import json

from pullprobe_testing.accounts import moto_client
from pullprobe_testing.ecr_standin import REGION
from pullprobe_testing.policies import actions_of, documented_policy

ROLE = "pullprobe-lambda"


def iam_actions(ecr):
    """Returns the actions of IAM that were called."""
    called = {operation for _, operation, _ in ecr.api_requests}
    return {f"iam:{operation}" for operation in called if "Role" in operation}


def test_role_lets_lambda_attach_functions_and_nothing_else(operator, ecr, moto):
    done = operator.install("--lambda", platforms=["linux/amd64"])

    assert done.returncode == 0 and f"role/{ROLE}" in done.stderr, done
    iam = moto_client("iam", moto.url, REGION)
    role = iam.get_role(RoleName=ROLE)["Role"]
    [trust] = role["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "lambda.amazonaws.com"}
    [name] = iam.list_role_policies(RoleName=ROLE)["PolicyNames"]
    policy = iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]
    allow, deny = policy["Statement"]
    assert (allow["Effect"], deny["Effect"]) == ("Allow", "Deny")
    assert all(action.startswith("ec2:") for action in actions_of(policy["Statement"]))
    # Lambda may, and the code of a function may not.
    assert "lambda:SourceFunctionArn" in json.dumps(deny["Condition"])
    assert iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"] == []

    again = operator.install("--lambda", platforms=["linux/amd64"])
    assert again.returncode == 0 and "already exists" in again.stderr, again


def test_role_that_lambda_may_not_assume_is_left_alone(operator, ecr, moto):
    iam = moto_client("iam", moto.url, REGION)
    of_tasks = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}
    trust = {"Version": "2012-10-17", "Statement": [{**of_tasks, "Action": "sts:AssumeRole"}]}
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))

    refused = operator.install("--lambda", platforms=["linux/amd64"])

    assert refused.returncode == 2 and "lambda.amazonaws.com" in refused.stderr, refused
    assert iam.list_role_policies(RoleName=ROLE)["PolicyNames"] == []


def test_documented_policy_grants_exactly_what_making_the_role_calls(operator, ecr):
    assert operator.install("--lambda", platforms=["linux/amd64"]).returncode == 0
    granted = actions_of(documented_policy("MakeTheRoleOfFunctions")["Statement"])
    # A tag needs a permission that has no operation here.
    assert granted - {"iam:TagRole"} == iam_actions(ecr)


def test_dry_run_makes_no_role(operator, ecr, moto):
    shown = operator.install("--lambda", "--dry-run", "--verbose", platforms=["linux/amd64"])
    assert shown.returncode == 0, shown
    lines = shown.stdout.splitlines()
    calls = [json.loads(line) for line in lines if line.startswith("{")]
    planned = {call["operation"] for call in calls if not call["sent"]}
    assert planned >= {"CreateRole", "PutRolePolicy"}
    assert iam_actions(ecr) == {"iam:GetRole"}
