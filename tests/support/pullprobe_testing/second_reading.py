"""A second reading of task definition files, to compare `pullprobe plan` with.

It shares no code with pullprobe and none with what writes the files: PyYAML reads YAML, and the
intrinsic functions are those of CloudFormation's user guide.
"""

import json
import re

import yaml

MARKED = re.compile(
    r"\$\{\{.*?\}\}|\$\{.*?\}|\{\{.*?\}\}|<[A-Za-z][\w .-]*>|%[A-Za-z]\w*%|__[A-Z]\w*?__"
    r"|\$[A-Za-z_]\w*"
)
WORDS = re.compile(r"^(PLACEHOLDER|IMAGE_URI)$")
ECR = re.compile(r"^(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/")
ARN = re.compile(r"^arn:[a-z-]+:[a-z]+:([a-z0-9-]*):(\d*):")
PARTS = {"AWS::Partition": "aws", "AWS::URLSuffix": "amazonaws.com"}


class Unknown(Exception):
    """A value that the file does not say."""


class CloudFormationLoader(yaml.SafeLoader):
    """Reads the short forms of intrinsic functions."""


def construct_function(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


CloudFormationLoader.add_multi_constructor("!", construct_function)


def without_comments(text):
    """Returns JSON without comments, trailing commas and placeholders outside of strings."""
    token = re.compile(r'"(?:\\.|[^"\\])*"|//[^\n]*|#[^\n]*|/\*.*?\*/|\$\{\w+\}|.', re.S)
    kept = []
    for part in token.findall(text):
        if part.startswith(("//", "#", "/*")):
            continue
        kept.append('"${x}"' if part.startswith("${") else part)
    plain = "".join(kept)
    strings = re.compile(r'("(?:\\.|[^"\\])*")|,(\s*[\]}])', re.S)
    return strings.sub(lambda found: found[1] or found[2], plain)


def load(text):
    for read in (json.loads, lambda text: json.loads(without_comments(text))):
        try:
            return read(text)
        except ValueError:
            pass
    return yaml.load(text, Loader=CloudFormationLoader)


class Stack:
    """Resolves intrinsic functions."""

    def __init__(self, template, region):
        self.template, self.region = template, region

    def get(self, value):
        """Returns the value; raises Unknown where the template does not say it."""
        if not isinstance(value, dict):
            return value
        [name], [argument] = (list(value), list(value.values())) if len(value) == 1 else ([""], [0])
        if name == "Ref":
            return self.reference(argument)
        if name == "Fn::Sub":
            text, own = argument if isinstance(argument, list) else (argument, {})
            look_up = lambda found: str(  # noqa: E731
                self.get(own[found[1]]) if found[1] in own else self.reference(found[1])
            )
            return re.sub(r"\$\{([^}!]+)\}", look_up, text)
        if name == "Fn::Join":
            return argument[0].join(self.get(part) for part in argument[1])
        if name == "Fn::Select":
            return self.get(argument[1])[int(argument[0])]
        if name == "Fn::Split":
            return self.get(argument[1]).split(argument[0])
        if name == "Fn::If":
            return self.get(argument[1 if self.holds(argument[0]) else 2])
        if name == "Fn::FindInMap":
            first, second, third = map(self.get, argument)
            return self.template["Mappings"][first][second][third]
        return value

    def reference(self, name):
        if name in PARTS or name == "AWS::Region":
            return PARTS.get(name, self.region)
        if name == "AWS::NoValue":
            return None
        parameter = self.template.get("Parameters", {}).get(name)
        if parameter is not None and "Default" in parameter:
            return parameter["Default"]
        properties = self.template["Resources"].get(name, {}).get("Properties", {})
        if "LogGroupName" in properties:
            return self.get(properties["LogGroupName"])
        raise Unknown(name)

    def holds(self, name):
        [(function, argument)] = self.template["Conditions"][name].items()
        if function == "Fn::Not":
            return not self.holds(argument[0]["Condition"])
        one, other = map(self.get, argument)
        return one == other


class SecondReading:
    """Images, secrets, log groups, region and account in a file, and how much it leaves open."""

    def __init__(self, text, region=None):
        document = load(text)
        self.images, self.secrets, self.groups = set(), set(), set()
        self.open = 0
        self.named_regions, self.accounts = set(), []
        self.arn_region = None
        get = lambda value: value  # noqa: E731
        if isinstance(document, list):
            definition = {"containerDefinitions": document}
        elif "Resources" in document:
            stack = Stack(document, region)
            get = stack.get
            [task] = [
                resource["Properties"]
                for resource in document["Resources"].values()
                if resource["Type"] == "AWS::ECS::TaskDefinition"
            ]
            definition = {name[0].lower() + name[1:]: value for name, value in task.items()}
        elif "terraform_version" in document:
            module = (document.get("planned_values") or document["values"])["root_module"]
            module = module.get("child_modules", [module])[0]
            values = module["resources"][0]["values"]
            definition = {
                "containerDefinitions": json.loads(values["container_definitions"]),
                "executionRoleArn": values["execution_role_arn"],
            }
        else:
            definition = document.get("taskDefinition", document)
        for name in ("taskDefinitionArn", "executionRoleArn"):
            found = ARN.match(definition.get(name) or "")
            if found:
                self.accounts.append(found[2])
                self.arn_region = self.arn_region or found[1] or None
        for container in definition["containerDefinitions"]:
            container = get(container)
            if container is not None:
                self.add(container, get)
        if self.arn_region:
            self.region = self.arn_region
        elif len(self.named_regions) == 1:
            [self.region] = self.named_regions
        else:
            self.region = None
        self.account = self.accounts[0] if self.accounts else None

    def value(self, value, get):
        """Returns the text, or None if the file leaves it open."""
        try:
            text = get(value)
        except Unknown:
            text = None
        if not text or MARKED.search(text) or WORDS.match(text):
            self.open += 1
            return None
        return text

    def add(self, container, get):
        def member(object, name):
            return object.get(name, object.get(name[0].upper() + name[1:]))

        image = self.value(member(container, "image"), get)
        if image:
            self.images.add(image)
            found = ECR.match(image)
            if found:
                self.named_regions.add(found[2])
        for secret in member(container, "secrets") or []:
            text = self.value(member(secret, "valueFrom"), get)
            raw = text or get_or_none(member(secret, "valueFrom"), get)
            found = ARN.match(raw or "")
            if found:
                self.named_regions.add(found[1])
            if text:
                self.secrets.add(text)
        log = member(container, "logConfiguration")
        if log:
            options = member(log, "options")
            group = self.value(options["awslogs-group"], get)
            self.named_regions.add(get(options["awslogs-region"]))
            if group:
                self.groups.add(group)


def get_or_none(value, get):
    try:
        return get(value)
    except Unknown:
        return None
