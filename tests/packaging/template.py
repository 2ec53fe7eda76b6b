"""The template: read with its short forms, and resolved for given parameters as CloudFormation resolves it.

What an attribute or a pseudo parameter resolves to is a word that names it: enough to see that two places mean the
same thing. An intrinsic function that is not known here is an error.
"""

import copy
import functools
import json
import pathlib
import re

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGING = ROOT / "packaging"
TEMPLATE = PACKAGING / "cloudformation.yaml"

PARAMETERS = {
    "Deployment": "acme-prod",
    "Node": "weaviate-0",
    "Vpc": "vpc-0aaaaaaaaaaaaaa01",
    "Subnet": "subnet-0aaaaaaaaaaaaaa02",
    "FixedAddress": "10.0.2.15",
    "Clients": "sg-0aaaaaaaaaaaaaa01,sg-0aaaaaaaaaaaaaa02",
    "Ami": "ami-0aaaaaaaaaaaaaa00",
    "BucketName": "acme-weaviate",
    "Prefix": "prod",
    "PackageBucket": "acme-artifacts",
    "PackageKey": "debian/weaviate-provisioner.deb",
    "PackageSha256": "ab" * 32,
    "AlarmEmail": "platform@example.com",
}
PSEUDO = {
    "AWS::Region": "eu-central-1",
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "weaviate",
}
ABSENT = object()


class Loader(yaml.SafeLoader):
    """YAML with `!Ref` and its kin."""


def short_form(loader, suffix, node):
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", short_form)


@functools.cache
def read():
    return yaml.load(TEMPLATE.read_text(), Loader)


def load():
    """A template of one's own, to be changed."""
    return copy.deepcopy(read())


class Stack:
    """A template with its parameters."""

    def __init__(self, template=None, **parameters):
        self.template = template or load()
        defaults = {name: about["Default"] for name, about in self.template["Parameters"].items() if "Default" in about}
        self.parameters = {**defaults, **PARAMETERS, **parameters}

    def condition(self, name):
        return self.truth(self.template["Conditions"][name])

    def truth(self, test):
        ((function, argument),) = test.items()
        if function == "Condition":
            return self.condition(argument)
        if function == "Fn::Equals":
            left, right = argument
            return str(self.resolve(left)) == str(self.resolve(right))
        if function == "Fn::Not":
            return not self.truth(argument[0])
        raise AssertionError(f"unknown condition {function}")

    def exists(self, name):
        condition = self.template["Resources"][name].get("Condition")
        return condition is None or self.condition(condition)

    def name(self, name):
        if name in PSEUDO:
            return PSEUDO[name]
        if name in self.parameters:
            return str(self.parameters[name])
        assert name in self.template["Resources"], f"nothing is called {name}"
        assert self.exists(name), f"{name} does not exist with these parameters"
        return f"<{name}>"

    def text(self, text, words):
        def word(match):
            if match[1].startswith("!"):
                return "${" + match[1][1:] + "}"
            if match[1] in words:
                return words[match[1]]
            return self.attribute(*match[1].split(".", 1)) if "." in match[1] else self.name(match[1])

        return re.sub(r"\$\{([^}]*)\}", word, text)

    def attribute(self, name, attribute):
        self.name(name)
        return f"<{name}.{attribute}>"

    def resolve(self, value):
        if isinstance(value, list):
            resolved = [self.resolve(item) for item in value]
            return [item for item in resolved if item is not ABSENT]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            ((function, argument),) = value.items()
            if function == "Ref":
                return ABSENT if argument == "AWS::NoValue" else self.name(argument)
            if function.startswith("Fn::"):
                return self.call(function, argument)
        resolved = {key: self.resolve(item) for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not ABSENT}

    def call(self, function, argument):
        if function == "Fn::If":
            condition, yes, no = argument
            return self.resolve(yes if self.condition(condition) else no)
        if function == "Fn::GetAtt":
            return self.attribute(*argument)
        argument = self.resolve(argument)
        match function:
            case "Fn::Sub":
                return self.text(*argument) if isinstance(argument, list) else self.text(argument, {})
            case "Fn::Join":
                return argument[0].join(argument[1])
            case "Fn::Split":
                return argument[1].split(argument[0])
            case "Fn::Select":
                return argument[1][int(argument[0])]
            case "Fn::Base64":
                return argument
        raise AssertionError(f"unknown function {function}")

    def properties(self, name):
        assert self.exists(name), f"{name} does not exist with these parameters"
        return self.resolve(self.template["Resources"][name].get("Properties", {}))

    def without_holes(self, value=None):
        """The template as it was written, but lists without their members that these parameters take away: moto
        leaves a hole there (5.2.5)."""
        value = self.template if value is None else value
        if isinstance(value, list):
            kept = (self.chosen(item) for item in value)
            return [self.without_holes(item) for item in kept if item != {"Ref": "AWS::NoValue"}]
        if isinstance(value, dict):
            # The choice between values is the function's own list.
            return {
                key: [item[0], *(self.without_holes(one) for one in item[1:])]
                if key == "Fn::If"
                else self.without_holes(item)
                for key, item in value.items()
            }
        return value

    def chosen(self, item):
        while isinstance(item, dict) and "Fn::If" in item:
            condition, yes, no = item["Fn::If"]
            item = yes if self.condition(condition) else no
        return item

    def user_data(self):
        return self.properties("LaunchTemplate")["LaunchTemplateData"]["UserData"]


def shipped_policy(name, region=PSEUDO["AWS::Region"], bucket=PARAMETERS["BucketName"], prefix=PARAMETERS["Prefix"]):
    """A policy of packaging/ with its placeholders filled in as the template fills them."""
    text = (PACKAGING / name).read_text()
    words = {
        "REGION": region,
        "ACCOUNT": PSEUDO["AWS::AccountId"],
        "DEPLOYMENT": PARAMETERS["Deployment"],
        "NODE": PARAMETERS["Node"],
        "BUCKET": bucket,
        "PREFIX": prefix,
        "GROUP": f"{PARAMETERS['Deployment']}-{PARAMETERS['Node']}",
    }
    return json.loads(re.sub("|".join(words), lambda word: words[word[0]], text))
