"""The account of the launch tests: two services in four subnets, and ECS with tasks that run."""

from pullprobe_testing.accounts import (
    EXECUTION_ROLE,
    create_network,
    create_service,
    log_configuration,
    moto_client,
    register_task_definition,
    registry_host,
)
from pullprobe_testing.ecs_standin import ACCOUNT, REGION, EcsStandin, Scripted

PROBE_IMAGE = f"{registry_host(REGION)}/pullprobe:0.1.0"
LOG_GROUP = "/ecs/app"


def client(service, url):
    return moto_client(service, url, REGION)


def deploy(
    ecs, subnets, group, secrets=(), log_group=LOG_GROUP, service="web", sidecars=(), **more
):
    """Creates a task definition and a service that uses it."""
    app = {"name": "app", "image": f"{registry_host(REGION)}/team/app:1.4", "essential": True}
    app["secrets"] = [
        {"name": f"S{number}", "valueFrom": value} for number, value in enumerate(secrets)
    ]
    if log_group:
        app["logConfiguration"] = log_configuration(log_group, REGION)
    others = [
        {"name": f"sidecar-{number}", "image": image} for number, image in enumerate(sidecars)
    ]
    platform = {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}
    definition = register_task_definition(ecs, [app, *others], runtimePlatform=platform, **more)
    create_service(ecs, subnets, group, definition, service, platformVersion="1.4.0")
    return definition


def record_revision(account, digest, service="web", guard_duty=False, definition=None):
    """Records a deployment of a service: the digest that the tag has then."""
    ecs = client("ecs", account.moto.url)
    [deployed] = ecs.describe_services(cluster="prod", services=[service])["services"]
    revisions = account.revisions.setdefault(service, [])
    number, base = len(revisions), f"arn:aws:ecs:{REGION}:{ACCOUNT}"
    image = f"{registry_host(REGION)}/team/app:1.4"
    revisions.append(
        {
            "serviceRevisionArn": f"{base}:service-revision/prod/{service}/{number}",
            "serviceArn": f"{base}:service/prod/{service}",
            "taskDefinition": definition or deployed["taskDefinition"],
            "containerImages": [{"containerName": "app", "image": image, "imageDigest": digest}],
            "guardDutyEnabled": guard_duty,
            "createdAt": 1_790_000_000 + number,
        }
    )


def deploy_on_instances(account, strategy=None, **definition):
    """Creates the service `old` with the launch type EC2 or a capacity provider."""
    ecs = client("ecs", account.moto.url)
    app = {"name": "app", "image": f"{registry_host(REGION)}/team/app:1.4", "memory": 128}
    members = {
        "family": "old",
        "networkMode": "bridge",
        "requiresCompatibilities": ["EC2"],
        "executionRoleArn": EXECUTION_ROLE,
        "containerDefinitions": [app],
        **definition,
    }
    members = {name: value for name, value in members.items() if value is not None}
    registered = ecs.register_task_definition(**members)
    arn = registered["taskDefinition"]["taskDefinitionArn"]
    service = {"cluster": "prod", "serviceName": "old", "taskDefinition": arn}
    ecs.create_service(**service, desiredCount=1, launchType="EC2")
    if strategy:
        account.strategies["old"] = strategy
    return arn


def create(moto):
    """Returns the stand-in in front of an emptied account.

    Its services are `web` and, with a log group, `logged`. Scripted tasks write no report, and a
    launch looks several seconds for one in a log group, so most tests use `web`.
    """
    moto.reset()
    subnets, group = create_network(client("ec2", moto.url), 4)
    ecs = client("ecs", moto.url)
    deploy(ecs, subnets, group, service="logged")
    deploy(ecs, subnets, group, log_group=None)
    client("logs", moto.url).create_log_group(logGroupName=LOG_GROUP)
    standin = EcsStandin(moto.peer, {subnet: Scripted() for subnet in subnets})
    standin.subnets, standin.group, standin.moto = subnets, group, moto
    return standin
