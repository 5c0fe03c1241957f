"""The input of RegisterTaskDefinition in botocore's model, in the form that `plan` reads.

`python -m pullprobe_testing.register_model` prints that file.
"""

import json

from botocore.loaders import Loader

REQUEST, RESPONSE = "RegisterTaskDefinitionRequest", "TaskDefinition"


def register_model():
    """Returns each structure's members: a name, `!` if it is required, and its type.

    A type is a scalar, the name of a structure, values separated by `|`, or one of these after `[`
    for a list or `{` for a map.
    """
    shapes = Loader().load_service_model("ecs", "service-2")["shapes"]
    structures = {}

    def type_of(name):
        shape = shapes[name]
        match shape["type"]:
            case "structure":
                if name not in structures:
                    structures[name] = {}
                    required = shape.get("required", [])
                    structures[name].update(
                        (member + "!" * (member in required), type_of(reference["shape"]))
                        for member, reference in shape["members"].items()
                    )
                return name
            case "list":
                return "[" + type_of(shape["member"]["shape"])
            case "map":
                return "{" + type_of(shape["value"]["shape"])
            case "string" if "enum" in shape:
                return "|".join(shape["enum"])
            case scalar:
                return scalar

    type_of(REQUEST)
    type_of(RESPONSE)
    return structures


if __name__ == "__main__":
    print(json.dumps(register_model(), indent=1, sort_keys=True))
