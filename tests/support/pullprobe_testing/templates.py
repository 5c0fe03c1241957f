"""Reads CloudFormation templates and Terraform modules that pullprobe prints."""

import functools
import json
import re

import cfnlint.api
import cfnlint.core
import hcl2


@functools.cache
def _rules():
    return cfnlint.core.get_rules([], [], ["E", "W"])


def lint_errors(template, region):
    """Returns cfn-lint's errors and warnings about a template."""
    configuration = cfnlint.api.ManualArgs(regions=[region])
    matches = cfnlint.api.lint(template, rules=_rules(), config=configuration)
    return [f"{match.rule.id} {match.linenumber}: {match.message}" for match in matches]


def resources_of_type(template, kind):
    """Returns the properties of every resource of a type."""
    resources = template["Resources"].values()
    return [resource["Properties"] for resource in resources if resource["Type"] == kind]


def resolve(value, names, account, partition="aws"):
    """Returns a value of a template with its references replaced by `names`."""
    if isinstance(value, list):
        return [resolve(item, names, account, partition) for item in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["Ref"]:
        return names[value["Ref"]]
    if list(value) == ["Fn::GetAtt"]:
        return names[".".join(value["Fn::GetAtt"])]
    if list(value) == ["Fn::Sub"]:
        text = value["Fn::Sub"].replace("${AWS::Partition}", partition)
        return text.replace("${AWS::AccountId}", account).replace("${!", "${")
    return {name: resolve(item, names, account, partition) for name, item in value.items()}


def capitalize_keys(value):
    """Returns an API request's structure with the capitalized keys of CloudFormation."""
    if isinstance(value, list):
        return [capitalize_keys(item) for item in value]
    if isinstance(value, dict):
        return {name[0].upper() + name[1:]: capitalize_keys(item) for name, item in value.items()}
    return value


def snake_case(name):
    """Returns an API member's name as Terraform spells it."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def terraform_resources(text):
    """Returns type -> name -> resource, with values as Terraform evaluates them.

    Expressions stay text.
    """

    def evaluate(value):
        if isinstance(value, list):
            return [evaluate(item) for item in value]
        if isinstance(value, dict):
            return {
                evaluate(name): evaluate(item)
                for name, item in value.items()
                if not name.startswith("__")
            }
        if isinstance(value, str) and value.startswith('"'):
            return json.loads(value).replace("$${", "${").replace("%%{", "%{")
        return value

    resources = {}
    for block in evaluate(hcl2.loads(text)["resource"]):
        [(kind, named)] = block.items()
        resources.setdefault(kind, {}).update(named)
    return resources


def unquote(value):
    """Returns a string of python-hcl2 without its quotes."""
    return value[1:-1] if isinstance(value, str) and value.startswith('"') else value
