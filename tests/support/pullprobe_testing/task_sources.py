"""Random task definitions as files of every form that people keep, with placeholders.

Seeds make them repeatable. `pullprobe_testing.second_reading` reads them without knowing this.
"""

import json
import random

import yaml

ACCOUNTS = ["111122223333", "444455556666"]
REGIONS = ["us-east-1", "eu-west-1", "ap-southeast-2", "ca-central-1"]
PLACEHOLDERS = [
    *("<IMAGE1_NAME>", "${IMAGE}", "${ECR_REGISTRY}/app", "$IMAGE", "%IMAGE%", "__IMAGE__"),
    *("{{ image }}", "${{ steps.login.outputs.image }}", "PLACEHOLDER", "IMAGE_URI", ""),
]
PUBLIC_IMAGES = ["nginx:1.27", "ghcr.io/acme/app:2", "public.ecr.aws/nginx/nginx:1", "web-dev"]


class SourceFile:
    """A file, and the flags that it needs."""

    def __init__(self, text, flags=()):
        self.text, self.flags = text, flags


def api_definition(seed):
    """Returns a task definition as ECS's API has it."""
    chance = random.Random(seed)
    account, region = chance.choice(ACCOUNTS), chance.choice(REGIONS)

    def image():
        if chance.random() < 0.3:
            return chance.choice(PLACEHOLDERS)
        if chance.random() < 0.3:
            return chance.choice(PUBLIC_IMAGES)
        name = chance.choice(["app", "team/app"])
        return f"{account}.dkr.ecr.{region}.amazonaws.com/{name}:{chance.randint(1, 9)}"

    def value_from():
        name = chance.choice(["app/db", "jwt-secret", "x-config", "key-Ab12Cd", "app/api"])
        secret = f"arn:aws:secretsmanager:{region}:{account}:secret:{name}"
        return chance.choice(
            [
                secret,
                f"{secret}:password::",
                f"arn:aws:ssm:{region}:{account}:parameter/{name}",
                f"/{name}",
                "${SECRET_ARN}",
                f"arn:aws:ssm:{region}:{account}:parameter/${{ENVIRONMENT}}/x",
            ]
        )

    def container(n):
        made = {"name": f"c{n}", "image": image(), "essential": True, "command": ["echo", "$HOME"]}
        if chance.random() < 0.8:
            made["secrets"] = [
                {"name": f"S{n}", "valueFrom": value_from()} for n in range(chance.randint(1, 3))
            ]
        if chance.random() < 0.8:
            group = chance.choice(["/ecs/app", f"/ecs/c{n}", "/ecs/${NAME}"])
            options = {"awslogs-group": group, "awslogs-region": region}
            options |= chance.choice([{}, {"awslogs-stream-prefix": "ecs"}])
            made["logConfiguration"] = {"logDriver": "awslogs", "options": options}
        return made

    made = {
        "family": "app",
        "networkMode": "awsvpc",
        "requiresCompatibilities": ["FARGATE"],
        "cpu": "256",
        "memory": "512",
        "executionRoleArn": f"arn:aws:iam::{account}:role/exec",
        "containerDefinitions": [container(n) for n in range(chance.randint(1, 4))],
    }
    return made


def as_json(definition, chance):
    return SourceFile(json.dumps(definition, indent=chance.choice([None, 2])))


def as_described(definition, chance):
    account, region = chance.choice(ACCOUNTS), chance.choice(REGIONS)
    arn = f"arn:aws:ecs:{region}:{account}:task-definition/app:7"
    described = {**definition, "executionRoleArn": "exec", "taskDefinitionArn": arn}
    return SourceFile(json.dumps({"taskDefinition": described, "tags": []}))


def with_comments(definition, chance):
    """Adds comments, trailing commas, and a placeholder without quotes."""
    lines = []
    for line in json.dumps(definition, indent=2).splitlines():
        if line.endswith(('"', "true", "]", "}")) and chance.random() < 0.3:
            line += ", // last one" if line.strip() not in ("]", "}") else ""
        lines.append(line)
        if chance.random() < 0.1:
            lines.append(chance.choice(["// a comment", "/* a, {comment} */", "# a comment"]))
    lines[0] += ' "pidMode": ${pid_mode},'
    return SourceFile("\n".join(lines))


def as_yaml(definition, chance):
    return SourceFile(yaml.safe_dump(definition, default_flow_style=chance.choice([None, False])))


def as_containers(definition, chance):
    return SourceFile(json.dumps(definition["containerDefinitions"], indent=2))


def capitalized(value, key=""):
    """Returns a value with CloudFormation's names."""
    if isinstance(value, dict):
        if key == "Options":
            return value
        named = {name[0].upper() + name[1:]: member for name, member in value.items()}
        return {name: capitalized(member, name) for name, member in named.items()}
    if isinstance(value, list):
        return [capitalized(element) for element in value]
    return value


class Short(yaml.SafeDumper):
    """Writes intrinsic functions in their short forms."""


def represent_function(dumper, members):
    [name] = members if len(members) == 1 else [""]
    if name == "Ref" or name.startswith("Fn::"):
        argument = members[name]
        tag = "!" + name.removeprefix("Fn::")
        if name == "Fn::GetAtt":
            argument = ".".join(argument)
        if isinstance(argument, str):
            return dumper.represent_scalar(tag, argument)
        return dumper.represent_sequence(tag, argument)
    return dumper.represent_dict(members)


Short.add_representer(dict, represent_function)


def as_cloudformation(definition, chance):
    """Hides parts behind parameters, mappings, conditions and resources."""
    parameters = {"Stage": {"Type": "String", "Default": "live"}, "Open": {"Type": "String"}}
    resources, mappings = {}, {"Tags": {region: {"tag": region[:2]} for region in REGIONS}}
    conditions = {
        "IsLive": {"Fn::Equals": [{"Ref": "Stage"}, "live"]},
        "IsTest": {"Fn::Not": [{"Condition": "IsLive"}]},
    }

    def hidden(text, key):
        if "${" in text:
            return text if chance.random() < 0.5 else {"Ref": "Open"}
        ways = ["plain", "parameter", "if", "join", "sub", "split"]
        way = chance.choice(ways)
        name = f"P{len(parameters)}"
        if way == "parameter":
            parameters[name] = {"Type": "String", "Default": text}
            return {"Ref": name}
        if way == "if":
            condition, both = chance.choice(
                [("IsLive", [text, "other/a:1"]), ("IsTest", ["other/a:1", text])]
            )
            return {"Fn::If": [condition, *both]}
        middle = len(text) // 2
        if way == "join":
            return {"Fn::Join": ["", [text[:middle], text[middle:]]]}
        if way == "sub":
            parameters[name] = {"Type": "String", "Default": text[middle:]}
            return {"Fn::Sub": text[:middle] + "${" + name + "}"}
        if way == "split":
            return {"Fn::Select": [1, {"Fn::Split": ["|", f"x|{text}"]}]}
        return text

    properties = capitalized(definition)
    for container in properties["ContainerDefinitions"]:
        image = container["Image"]
        if image and not image.startswith(("<", "{{", "%", "$")):
            container["Image"] = hidden(image, "Image")
            tag = {"Fn::FindInMap": ["Tags", {"Ref": "AWS::Region"}, "tag"]}
            if chance.random() < 0.2:
                container["Image"] = {"Fn::Sub": ["acme/web:${T}", {"T": tag}]}
        for secret in container.get("Secrets", []):
            secret["ValueFrom"] = hidden(secret["ValueFrom"], "ValueFrom")
        options = container.get("LogConfiguration", {}).get("Options")
        if options:
            options["awslogs-region"] = {"Ref": "AWS::Region"}
            if chance.random() < 0.5 and "${" not in options["awslogs-group"]:
                name = f"Logs{len(resources)}"
                group = {"LogGroupName": options["awslogs-group"]}
                resources[name] = {"Type": "AWS::Logs::LogGroup", "Properties": group}
                options["awslogs-group"] = {"Ref": name}
    more = {"Name": "maybe", "Image": "acme/maybe:1"}
    properties["ContainerDefinitions"].append(
        {"Fn::If": [chance.choice(["IsLive", "IsTest"]), more, {"Ref": "AWS::NoValue"}]}
    )
    resources["Task"] = {"Type": "AWS::ECS::TaskDefinition", "Properties": properties}
    template = {
        "Parameters": parameters,
        "Mappings": mappings,
        "Conditions": conditions,
        "Resources": resources,
    }
    if chance.random() < 0.5:
        return SourceFile(json.dumps(template, indent=1), ("--region", "eu-west-1"))
    return SourceFile(yaml.dump(template, Dumper=Short), ("--region", "eu-west-1"))


def as_terraform(definition, chance):
    unknown = chance.random() < 0.3
    values = {
        "family": definition["family"],
        "container_definitions": json.dumps(definition["containerDefinitions"]),
        "execution_role_arn": None if unknown else definition["executionRoleArn"],
        "network_mode": definition["networkMode"],
        "requires_compatibilities": definition["requiresCompatibilities"],
        "cpu": definition["cpu"],
        "memory": definition["memory"],
        "volume": [],
        "runtime_platform": [],
    }
    address = "aws_ecs_task_definition.app"
    resource = {"mode": "managed", "type": "aws_ecs_task_definition", "name": "app"}
    module = {"resources": [{**resource, "address": address, "values": values}]}
    if chance.random() < 0.5:
        address = f"module.ecs.{address}"
        module["resources"][0]["address"] = address
        module = {"child_modules": [{"address": "module.ecs", **module}]}
    known = {"format_version": "1.2", "terraform_version": "1.9.8"}
    if unknown or chance.random() < 0.5:
        change = {"after_unknown": {"execution_role_arn": True} if unknown else {}}
        planned = {"planned_values": {"root_module": module}}
        changes = {"resource_changes": [{"address": address, "change": change}]}
        return SourceFile(json.dumps({**known, **planned, **changes}))
    return SourceFile(json.dumps({**known, "values": {"root_module": module}}))


FORMS = {
    "json": as_json,
    "described": as_described,
    "comments": with_comments,
    "yaml": as_yaml,
    "containers": as_containers,
    "cloudformation": as_cloudformation,
    "terraform": as_terraform,
}


def source(form, seed):
    """Returns the file of this form and seed."""
    chance = random.Random(f"{form} {seed}")
    return FORMS[form](api_definition(f"{form} {seed}"), chance)
