"""AWS accounts of moto: clients, and the VPC, task definition and service that a team has."""

import functools
import json

import boto3
import botocore.config

from pullprobe_testing.cli import OPERATOR_KEYS
from pullprobe_testing.images import MANIFEST

ACCOUNT = "123456789012"
EXECUTION_ROLE = f"arn:aws:iam::{ACCOUNT}:role/ecsTaskExecutionRole"


@functools.cache  # a client parses the whole model of its service
def moto_client(service, url, region, keys=OPERATOR_KEYS):
    """Returns a boto3 client of a moto server. The third of three `keys` is a session token."""
    access_key, secret_key, token = (*keys, None)[:3]
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        aws_session_token=token,
        config=botocore.config.Config(proxies={}),
    )


def registry_host(region):
    """Returns the account's registry of Amazon ECR."""
    return f"{ACCOUNT}.dkr.ecr.{region}.amazonaws.com"


def create_image(ecr, repository, tag):
    """Creates a repository with an image, of which moto keeps only the manifest."""
    manifest = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": []})
    ecr.create_repository(repositoryName=repository)
    ecr.put_image(repositoryName=repository, imageTag=tag, imageManifest=manifest)


def create_network(ec2, count):
    """Creates a VPC; returns the ids of its subnets and of a security group."""
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    blocks = [f"10.0.{number}.0/24" for number in range(1, count + 1)]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=block)["Subnet"] for block in blocks]
    group = ec2.create_security_group(GroupName="task", Description="task", VpcId=vpc)
    return [subnet["SubnetId"] for subnet in subnets], group["GroupId"]


def log_configuration(group, region, prefix="ecs", **options):
    """Returns a container's `logConfiguration` with the awslogs driver."""
    base = {
        "awslogs-group": group,
        "awslogs-region": region,
        "awslogs-stream-prefix": prefix,
    }
    return {"logDriver": "awslogs", "options": {**base, **options}}


def register_task_definition(ecs, containers, family="app", **more):
    """Registers a task definition for Fargate and returns its ARN."""
    definition = {
        "family": family,
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": EXECUTION_ROLE,
        "containerDefinitions": containers,
        **more,
    }
    registered = ecs.register_task_definition(**definition)
    return registered["taskDefinition"]["taskDefinitionArn"]


def create_service(ecs, subnets, group, definition, service="web", **more):
    """Creates the cluster `prod` and a Fargate service in it."""
    network = {"subnets": subnets, "securityGroups": [group], "assignPublicIp": "DISABLED"}
    ecs.create_cluster(clusterName="prod")
    ecs.create_service(
        cluster="prod",
        serviceName=service,
        taskDefinition=definition,
        desiredCount=1,
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
        **more,
    )
