"""A second reading of a task definition: what it contacts and needs, by code of its own.

It reads the definitions of `task_definitions`, not all of ECS.
"""

import functools
import re
import urllib.parse
from dataclasses import dataclass, field

import botocore.config
import botocore.session

from pullprobe_testing.accounts import ACCOUNT
from pullprobe_testing.task_definitions import REGIONS

ECR_IMAGE = re.compile(r"((\d{12})\.dkr[.-]ecr\.([a-z0-9-]+)\.[a-z0-9.]+)/([^:@]+)")
ECR_DOMAINS = {"aws-cn": "cn.com.amazonaws", "aws-iso": "gov.ic.c2s"}
BEHIND = {
    "registry-1.docker.io": {"auth.docker.io", "production.cloudflare.docker.com"},
    "ghcr.io": {"pkg-containers.githubusercontent.com"},
    "quay.io": {"cdn.quay.io", "cdn01.quay.io"},
    "public.ecr.aws": {"*.cloudfront.net"},
}


@functools.cache
def dual_stack_host(service, region):
    """Returns the name that AWS's own SDK takes where only IPv6 is there."""
    client = botocore.session.get_session().create_client(
        service,
        region_name=region,
        config=botocore.config.Config(use_dualstack_endpoint=True),
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="none",
    )
    return urllib.parse.urlsplit(client.meta.endpoint_url).hostname


@dataclass
class Expected:
    """What a plan must say."""

    contacts: set = field(default_factory=set)  # (host, port)
    endpoints: set = field(default_factory=set)  # names of endpoint services
    other_hosts: set = field(default_factory=set)
    allowed: dict = field(default_factory=dict)  # action -> ARNs, of the role that starts the task
    clients: set = field(default_factory=set)  # whose security groups have outbound rules
    role: str = "execution_role_policy"
    of_containers: set = field(default_factory=set)  # services that only the containers contact


def expected(region, document, flags):
    """Returns what `plan` must say about a definition in a region."""
    partition, domain = REGIONS[region]
    inner = document.get("taskDefinition", document)
    required = inner.get("requiresCompatibilities")
    is_instance = "FARGATE" not in required if required else inner.get("networkMode") != "awsvpc"
    has_interface = inner.get("networkMode") == "awsvpc"
    roles = [inner.get(name, "") for name in ("executionRoleArn", "taskRoleArn")]
    account = ACCOUNT if any(role.startswith("arn:") for role in roles) else "*"
    found = Expected()
    of_agent, of_containers, agents = [], [], set()
    is_ipv6_only = "ipv6" in flags

    def contact_service(service, host, where=region, endpoint=None):
        """Contacts a service by its plain host, or by its dual-stack name without an endpoint."""
        if is_ipv6_only:
            contact(dual_stack_host(service, where))
        else:
            contact(host, service=endpoint or service, where=where)

    def contact(host, port=443, service=None, where=region, by=of_agent):
        found.contacts.add((host, port))
        by.append(host)
        if service and where == region:
            (found.of_containers if by is of_containers else agents).add(service)
        if service and where == region:
            prefix = "com.amazonaws"
            if service.startswith("ecr."):
                prefix = ECR_DOMAINS.get(partition, prefix)
            found.endpoints.add(f"{prefix}.{region}.{service}")

    def allow(action, *resources):
        found.allowed.setdefault(action, set()).update(resources)

    def secret_arns(arn):
        name, _, end = arn.rpartition("-")
        if len(end) != 6 or not end.isalnum():
            return [f"{arn}-??????"]
        is_word = end[1:].islower() or end.isupper() or end.isdigit()
        return [arn, f"{arn}-??????"] if is_word else [arn]

    def read_secret(value):
        parts = value.split(":")
        if value.startswith("arn:") and parts[2] == "secretsmanager":
            where = parts[3]
            contact(f"secretsmanager.{where}.{domain}", service="secretsmanager", where=where)
            allow("secretsmanager:GetSecretValue", *secret_arns(":".join(parts[:7])))
            return
        where = parts[3] if value.startswith("arn:") else region
        contact_service("ssm", f"ssm.{where}.{domain}", where)
        arn = value
        if not value.startswith("arn:"):
            arn = f"arn:{partition}:ssm:{region}:{account}:parameter/{value.lstrip('/')}"
        allow("ssm:GetParameters", arn)
        behind = "/aws/reference/secretsmanager/"
        if value.startswith(behind):
            name = value.removeprefix(behind)
            arn = f"arn:{partition}:secretsmanager:{region}:{account}:secret:{name}"
            allow("secretsmanager:GetSecretValue", *secret_arns(arn))

    def read_object(arn):
        bucket = arn.split(":::")[1].split("/")[0]
        if is_ipv6_only:
            contact(f"{bucket}.{dual_stack_host('s3', region)}")
        else:
            contact(f"{bucket}.s3.{region}.{domain}", service="s3")
        allow("s3:GetObject", arn)
        allow("s3:GetBucketLocation", f"arn:{partition}:s3:::{bucket}")

    def read_image(image):
        if match := ECR_IMAGE.match(image):
            host, registry, where, repository = match.groups()
            contact_service("ecr", f"api.ecr.{where}.{domain}", where, "ecr.api")
            # The endpoint's private DNS is documented for the ordinary name only.
            contact(host, service=None if ".dkr-ecr." in host else "ecr.dkr", where=where)
            if not is_ipv6_only:  # no document tells the bucket's dual-stack name
                bucket = f"prod-{where}-starport-layer-bucket.s3.{where}.{domain}"
                contact(bucket, service="s3", where=where)
            allow("ecr:GetAuthorizationToken", "*")
            arn = f"arn:{partition}:ecr:{where}:{registry}:repository/{repository}"
            allow("ecr:BatchGetImage", arn)
            allow("ecr:GetDownloadUrlForLayer", arn)
            return
        first = image.split("/")[0]
        host = first if "/" in image and ("." in first or ":" in first) else "registry-1.docker.io"
        name, _, port = host.partition(":")
        contact(name, int(port or 443))
        found.other_hosts |= BEHIND.get(name, set())

    def read_log(log):
        options = log.get("options", {})
        match log["logDriver"]:
            case "awslogs":
                where = options["awslogs-region"]
                contact_service("logs", f"logs.{where}.{domain}", where)
                group = f"log-group:{options['awslogs-group']}:*"
                arn = f"arn:{partition}:logs:{where}:{account}:{group}"
                allow("logs:CreateLogStream", arn)
                allow("logs:PutLogEvents", arn)
                if "awslogs-create-group" in options:
                    allow("logs:CreateLogGroup", arn)
            case "splunk":
                contact("splunk.example.com", 8088)
            case "awsfirelens":
                plugin = options["Name"]
                hosts = {
                    "cloudwatch_logs": (f"logs.{region}.{domain}", "logs"),
                    "kinesis_firehose": (f"firehose.{region}.{domain}", "kinesis-firehose"),
                    "s3": (f"log-bucket.s3.{region}.{domain}", "s3"),
                    "datadog": ("http-intake.logs.datadoghq.com", None),
                }
                if plugin in hosts:
                    host, service = hosts[plugin]
                    contact(host, service=service, by=of_containers)

    for container in inner["containerDefinitions"]:
        read_image(container["image"])
        log = container.get("logConfiguration")
        for secret in container.get("secrets", []) + (log or {}).get("secretOptions", []):
            read_secret(secret["valueFrom"])
        if login := container.get("repositoryCredentials"):
            read_secret(login["credentialsParameter"])
        for file in container.get("environmentFiles", []):
            read_object(file["value"])
        if log:
            read_log(log)
        router = container.get("firelensConfiguration", {}).get("options", {})
        if router.get("config-file-type") == "s3":
            read_object(router["config-file-value"])
        for spec in container.get("credentialSpecs", []) + container.get(
            "dockerSecurityOptions", []
        ):
            arn = spec.partition(":")[2]
            read_object(arn) if ":s3:" in arn else read_secret(arn)
    for volume in inner.get("volumes", []):
        if efs := volume.get("efsVolumeConfiguration"):
            contact(f"{efs['fileSystemId']}.efs.{region}.{domain}", 2049, by=of_containers)
        if docker := volume.get("dockerVolumeConfiguration"):
            contact(re.search("addr=([^,]+)", docker["driverOpts"]["o"])[1], 2049)
        if fsx := volume.get("fsxWindowsFileServerVolumeConfiguration"):
            read_secret(fsx["authorizationConfig"]["credentialsParameter"])
            allow("fsx:DescribeFileSystems", "*")
            found.endpoints.add(f"com.amazonaws.{region}.fsx")
            found.other_hosts.add(f"fsx.{region}.{domain}")
    if inner.get("runtimePlatform", {}).get("operatingSystemFamily", "").startswith("WINDOWS"):
        found.other_hosts.add("*.data.mcr.microsoft.com")
    if "--enable-execute-command" in flags:
        host = f"ssmmessages.{region}.{domain}"
        if is_ipv6_only:  # the SDK has no client for it, and it is named like ssm
            host = dual_stack_host("ssm", region).replace("ssm.", "ssmmessages.", 1)
        service = None if is_ipv6_only else "ssmmessages"
        contact(host, service=service, by=of_containers)
    if "--service-connect" in flags:
        contact(f"ecs-sc.{region}.api.aws", service="ecs-agent", by=of_containers)
        contact(f"ecs-a.{region}.{domain}", service="ecs-agent", by=of_containers)
    if "guardduty" in flags:
        found.other_hosts.add("guardduty")  # its account is in no document that is read here
        host = f"guardduty-data.{region}.{domain}"
        contact(host, service="guardduty-data", by=of_containers)
    if is_instance:
        services = {"ecs", "ecs-agent", "ecs-telemetry"}
        if required == ["EXTERNAL"]:
            services |= {"ssm", "ssmmessages", "ec2messages"}
        agents |= services
        found.endpoints |= {f"com.amazonaws.{region}.{service}" for service in services}
        found.other_hosts |= {f"{name}.{region}.{domain}" for name in ("ecs", "ecs-a-*", "ecs-t-*")}
        found.clients = {"instances"}
        on_both = has_interface and "MANAGED_INSTANCES" in (required or [])
        if has_interface and (of_containers or on_both):
            found.clients.add("tasks")
        if "executionRoleArn" not in inner:
            found.role = "instance_role_policy"
    else:
        found.clients = {"tasks"}
    found.of_containers -= agents
    return found
