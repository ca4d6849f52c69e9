"""Checks infra/pipeline/gradual.py: python .ci/gradual.py GRADUAL, the template that it printed.

Processes both templates as CloudFormation does, and compares them: with gradual deployment, everything that calls a function calls its
alias, CodeDeploy moves each alias and watches alarms of the stack, and nothing else has changed. Runs with the Python of the SAM CLI.
"""

import copy
import json
import os
import sys
from pathlib import Path

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.transform import transform

os.environ["AWS_DEFAULT_REGION"] = "us-east-1"  # the translator asks for one
FUNCTIONS = ["ApiFunction", "ConsoleFunction", "TestConnectionFunction", "ShipperFunction"]


class NoPolicies:
    """No function names a managed policy."""

    def load(self):
        return {}


def processed(path):
    template = yaml_parse(Path(path).read_text(encoding="utf-8"))
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::Serverless::Function":
            resource.pop("Metadata", None)
            resource["Properties"]["CodeUri"] = "s3://bucket/key"
    defaults = {name: parameter.get("Default", "a" * 64) for name, parameter in template["Parameters"].items()}
    defaults |= {"AWS::Region": "us-east-1", "AWS::Partition": "aws"}
    return transform(template, {name: str(value) for name, value in defaults.items()}, NoPolicies())["Resources"]


def main():
    plain, gradual = processed("template.yaml"), processed(sys.argv[1])
    faults = []
    added = {name: gradual[name] for name in gradual.keys() - plain.keys()}
    kinds = sorted(resource["Type"] for resource in added.values())
    expected = sorted(["AWS::CodeDeploy::Application", "AWS::IAM::Role", *["AWS::CodeDeploy::DeploymentGroup"] * 4,
                       *["AWS::Lambda::Alias"] * 4, *["AWS::Lambda::Version"] * 4,
                       # The permissions of the alias have names of their own.
                       *[one["Type"] for name, one in plain.items() if name not in gradual]])
    if kinds != expected:
        faults.append(f"these resources are added: {kinds}")
    for name, resource in added.items():
        if resource["Type"] == "AWS::CodeDeploy::DeploymentGroup":
            properties = resource["Properties"]
            watched = [alarm["Name"]["Ref"] for alarm in properties["AlarmConfiguration"]["Alarms"]]
            if not watched or not properties["AlarmConfiguration"]["Enabled"]:
                faults.append(f"{name} watches no alarm")
            faults += [f"{name} watches {alarm}, which is no alarm" for alarm in watched
                       if plain.get(alarm, {}).get("Type") != "AWS::CloudWatch::Alarm"]
            if "DEPLOYMENT_STOP_ON_ALARM" not in properties["AutoRollbackConfiguration"]["Events"]:
                faults.append(f"{name} does not roll back")
        if resource["Type"] == "AWS::Lambda::Alias" and "CodeDeployLambdaAliasUpdate" not in resource.get("UpdatePolicy", {}):
            faults.append(f"{name} is not moved by CodeDeploy")
    for name, resource in gradual.items():
        properties = resource.get("Properties", {})
        if resource["Type"] in ["AWS::Lambda::Permission", "AWS::Lambda::EventSourceMapping"]:
            called = properties["FunctionName"].get("Ref", "")
            if called in FUNCTIONS:
                faults.append(f"{name} is for {called} and not for its alias")
        if resource["Type"] == "AWS::Events::Rule":
            faults += [f"{name} calls {target['Arn']}" for target in properties["Targets"] if "Ref" not in target["Arn"]]
    paths = json.dumps(gradual["Api"]["Properties"]["Body"]["paths"])
    faults += [f"a route calls {name} and not its alias" for name in FUNCTIONS if f"${{{name}.Arn}}" in paths]
    for name in plain.keys() & gradual.keys():
        one, other = copy.deepcopy(plain[name]), copy.deepcopy(gradual[name])
        if one["Type"] in ["AWS::Lambda::EventSourceMapping", "AWS::Lambda::Permission", "AWS::ApiGatewayV2::Api", "AWS::Events::Rule"]:
            continue # compared above
        if one != other:
            faults.append(f"{name} has changed")
    if faults:
        sys.exit("gradual deployment:\n" + "\n".join(faults))
    print("gradual deployment: four functions behind aliases, and nothing else has changed")


if __name__ == "__main__":
    main()
