"""AWS's service models, as botocore ships them, and checks against them."""

import functools

import botocore.loaders
import botocore.model
import botocore.validate

_loader = botocore.loaders.Loader()


@functools.cache
def service_model(name):
    """Returns the model of a service by its name in botocore, such as `ecs`."""
    return botocore.model.ServiceModel(_loader.load_service_model(name, "service-2"), name)


def operation(service, name):
    """Returns the model of one operation."""
    return service_model(service).operation_model(name)


def schema_violations(value, shape):
    """Returns every way in which `value` violates its shape, one sentence each.

    botocore's validator ignores members that a model does not have, and enumerations. Both are
    checked here.
    """
    report = botocore.validate.ParamValidator().validate(value, shape)
    violations = [report.generate_report()] if report.has_errors() else []
    return violations + list(_unknown_parts(value, shape, shape.name))


def _unknown_parts(value, shape, path):
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, inner in value.items():
            if name not in shape.members:
                yield f"{path}.{name}: the model has no such member"
            else:
                yield from _unknown_parts(inner, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list" and isinstance(value, list):
        for inner in value:
            yield from _unknown_parts(inner, shape.member, f"{path}[]")
    elif "enum" in shape.metadata and value not in shape.enum:
        yield f"{path}: {value!r} is not one of {shape.enum}"
