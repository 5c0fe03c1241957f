"""Random task definitions of every kind and size, for several partitions.

Seeds make them repeatable.
"""

import json
import random

from pullprobe_testing.accounts import ACCOUNT, log_configuration

REGIONS = {  # region: partition, domain
    "eu-west-1": ("aws", "amazonaws.com"),
    "us-east-1": ("aws", "amazonaws.com"),
    "ap-southeast-3": ("aws", "amazonaws.com"),
    "cn-north-1": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-west-1": ("aws-us-gov", "amazonaws.com"),
    "us-iso-east-1": ("aws-iso", "c2s.ic.gov"),
}
ELSEWHERE = {
    "aws": "us-west-2",
    "aws-cn": "cn-northwest-1",
    "aws-us-gov": "us-gov-east-1",
    "aws-iso": "us-iso-west-1",
}
OTHER_IMAGES = [
    "nginx:1.27",
    "ghcr.io/team/app:2",
    "quay.io/team/app@sha256:" + "0" * 64,
    "public.ecr.aws/nginx/nginx:1",
    "registry.example.com:5000/team/app:1",
    "10.20.30.40:5000/team/app:1",
]


def definition(seed):
    """Returns a region, a task definition for it, and flags of `plan`.

    Seed 0 gives the smallest definition, seed 1 one with every part.
    """
    chance = random.Random(seed)
    region = list(REGIONS)[seed % len(REGIONS)]
    partition, domain = REGIONS[region]
    likely = {0: lambda _: False, 1: lambda _: True}.get(seed, lambda odds: chance.random() < odds)

    def arn(service, resource, where=region):
        return f"arn:{partition}:{service}:{where}:{ACCOUNT}:{resource}"

    def image(n):
        if n and likely(0.3):
            return chance.choice(OTHER_IMAGES)
        where = ELSEWHERE[partition] if n and likely(0.2) else region
        account = chance.choice([ACCOUNT, "210987654321"])
        name = chance.choice(["app", "team/app", "docker-hub/library/nginx", "a-b_c.d/e"])
        return f"{account}.dkr.ecr.{where}.{domain}/{name}:{chance.randint(1, 9)}"

    def value_from():
        name = f"app/{chance.choice('abc')}{chance.randint(1, 99)}"
        where = ELSEWHERE[partition] if likely(0.15) else region
        return chance.choice(
            [
                arn("secretsmanager", f"secret:{name}-AbCdEf", where),
                arn("secretsmanager", f"secret:{name}-config", where),
                arn("secretsmanager", f"secret:{name}", where) + ":password::",
                arn("ssm", f"parameter/{name}", where),
                f"/{name}",
                f"/aws/reference/secretsmanager/{name}",
            ]
        )

    def log(n):
        if n and likely(0.25):
            return {
                "logDriver": "splunk",
                "secretOptions": [{"name": "splunk-token", "valueFrom": "/splunk/token"}],
                "options": {"splunk-url": "https://splunk.example.com:8088"},
            }
        if routed and likely(0.5):
            return {
                "logDriver": "awsfirelens",
                "options": chance.choice(
                    [
                        {"Name": "cloudwatch_logs", "region": region, "log_group_name": "/ecs/app"},
                        {"Name": "kinesis_firehose", "region": region, "delivery_stream": "app"},
                        {"Name": "s3", "region": region, "bucket": "log-bucket"},
                        {"Name": "datadog", "TLS": "on"},
                        {"Name": "custom-output"},
                    ]
                ),
            }
        options = {"awslogs-create-group": "true"} if likely(0.3) else {}
        return log_configuration(f"/ecs/app{n % 2}", region, "app", **options)

    def container(n):
        document = {"name": f"c{n}", "image": image(n), "essential": n == 0}
        if ".dkr.ecr" not in document["image"] and likely(0.4):
            document["repositoryCredentials"] = {
                "credentialsParameter": arn("secretsmanager", "secret:registry-AbCdEf")
            }
        if likely(0.7):
            document["secrets"] = [
                {"name": f"S{k}", "valueFrom": value_from()} for k in range(chance.randint(1, 8))
            ]
        if likely(0.3):
            document["environmentFiles"] = [
                {"type": "s3", "value": f"arn:{partition}:s3:::bucket-{n}/app{n}.env"}
            ]
        if likely(0.7):
            document["logConfiguration"] = log(n)
        if routed and n == 0:
            document["firelensConfiguration"] = {"type": "fluentbit"}
        return document

    def volume(n):
        config = {"fileSystemId": f"fs-{n:017x}", "transitEncryption": "ENABLED"}
        if likely(0.6):
            config["authorizationConfig"] = {"iam": "ENABLED"}
            if n and likely(0.5):
                config["authorizationConfig"]["accessPointId"] = f"fsap-{n:017x}"
        return {"name": f"v{n}", "efsVolumeConfiguration": config}

    routed = likely(0.3)
    document = {
        "family": "app",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [
            container(n) for n in range({0: 1, 1: 10}.get(seed, chance.randint(1, 6)))
        ],
    }
    # A role by name, which ECS takes too, does not tell the account.
    document["executionRoleArn"] = (
        f"arn:{partition}:iam::{ACCOUNT}:role/path/ecsTaskExecutionRole"
        if likely(0.7)
        else "ecsTaskExecutionRole"
    )
    if likely(0.5):
        document["taskRoleArn"] = f"arn:{partition}:iam::{ACCOUNT}:role/appRole"
    if likely(0.4):
        document["volumes"] = [volume(n) for n in range(chance.randint(1, 3))]
    flags = ["--enable-execute-command"] if likely(0.3) else []
    if partition == "aws" and likely(0.4):
        flags += ["--service-connect", "--expect-injected", "guardduty"]
    return region, {"taskDefinition": document} if seed % 2 else document, flags


# Partitions whose Regions have dual-stack names, and the domain of their registries.
REGISTRY_DOMAINS = {
    "aws": "on.aws",
    "aws-cn": "on.amazonwebservices.com.cn",
    "aws-us-gov": "on.aws",
}


def definition_with_ipv6(seed):
    """Returns what `definition` returns, for a subnet with IPv6 only or with both IP versions.

    Two of three definitions name their images by ECR's dual-stack URI.
    """
    seed = seed + 1 if REGIONS[definition(seed)[0]][0] not in REGISTRY_DOMAINS else seed
    region, document, flags = definition(seed)
    partition, domain = REGIONS[region]
    inner = document.get("taskDefinition", document)
    if seed % 3:
        for container in inner["containerDefinitions"]:
            host, _, path = container["image"].partition("/")
            if ".dkr.ecr." in host:
                registry, where = host.split(".")[0], host.split(".")[3]
                host = f"{registry}.dkr-ecr.{where}.{REGISTRY_DOMAINS[partition]}"
                container["image"] = f"{host}/{path}"
    flags = [flag for flag in flags if flag not in ("--expect-injected", "guardduty")]
    return region, document, [*flags, "--ip-family", ["ipv6", "dual-stack"][seed // 2 % 2]]


LAUNCH_TYPES = [["EC2"], ["EXTERNAL"], ["MANAGED_INSTANCES"], ["EC2", "EXTERNAL"], None]
NETWORK_MODES = ["bridge", "host", "awsvpc", None]


def definition_on_instances(seed):
    """Returns what `definition` returns, for a task that an agent starts on an instance.

    Every launch type and network mode, with what exists only there.
    """
    chance = random.Random(f"instances {seed}")
    region, document, flags = definition(seed)
    partition, domain = REGIONS[region]
    inner = document.get("taskDefinition", document)
    launch_types = LAUNCH_TYPES[seed % len(LAUNCH_TYPES)]
    modes = NETWORK_MODES if launch_types else ["bridge", "host", None]
    mode = modes[seed // 2 % len(modes)]
    for name in ("cpu", "memory", "requiresCompatibilities", "networkMode"):
        del inner[name]
    if launch_types:
        inner["requiresCompatibilities"] = launch_types
    if mode:
        inner["networkMode"] = mode
    containers = inner["containerDefinitions"]
    for container in containers:
        container["memory"] = 128
        router = container.get("firelensConfiguration")
        if router and chance.random() < 0.7:
            router["options"] = {
                "config-file-type": "s3",
                "config-file-value": f"arn:{partition}:s3:::router-config/fluent.conf",
            }
    volumes = inner.setdefault("volumes", [])
    if chance.random() < 0.4:
        server = chance.choice([f"fs-{7:017x}.efs.{region}.{domain}", "10.9.8.7"])
        options = {"type": "nfs", "device": ":/", "o": f"addr={server},nfsvers=4.1,rw"}
        docker = {"driver": "local", "driverOpts": options}
        volumes.append({"name": "docker-nfs", "dockerVolumeConfiguration": docker})
    if seed % 3 == 0:
        inner["runtimePlatform"] = {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}
        spec = chance.choice(
            [
                f"credentialspec:arn:{partition}:s3:::gmsa-specs/web.json",
                f"credentialspecdomainless:arn:{partition}:ssm:{region}:{ACCOUNT}:parameter/gmsa",
            ]
        )
        containers[0][chance.choice(["credentialSpecs", "dockerSecurityOptions"])] = [spec]
        secret = f"arn:{partition}:secretsmanager:{region}:{ACCOUNT}:secret:fsx-login-AbCdEf"
        authorization = {"credentialsParameter": secret, "domain": "example.com"}
        fsx = {
            "fileSystemId": f"fs-{9:017x}",
            "rootDirectory": "share",
            "authorizationConfig": authorization,
        }
        volumes.append({"name": "fsx", "fsxWindowsFileServerVolumeConfiguration": fsx})
    elif chance.random() < 0.3:
        inner["runtimePlatform"] = {"cpuArchitecture": "ARM64"}
    needs_role = any(
        name in json.dumps(inner)
        for name in ("valueFrom", "repositoryCredentials", "credentialsParameter")
    )
    if not needs_role:
        del inner["executionRoleArn"]
    flags = [flag for flag in flags if flag not in ("--expect-injected", "guardduty")]
    return region, document, flags
