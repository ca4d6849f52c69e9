"""Prints template.yaml with gradual deployment:

    python3 infra/pipeline/gradual.py template.yaml > gradual.yaml

Each function that serves requests or delivers gets versions and the alias `live`, to which CodeDeploy moves a tenth of the calls first
and the rest five minutes later. If an alarm of the stack goes off in these minutes, or while the update goes on, CodeDeploy moves all
calls back and CloudFormation rolls the stack back. SAM takes neither an alias nor a deployment preference under a condition, so this is
a template of its own and no parameter.
"""

import re
import sys
from pathlib import Path

# Alarms that end by themselves: one that is in alarm when a deployment begins would stop it.
WATCHED = {
    "ApiFunction": ["ApiErrorsAlarm", "ApiOperatorFaultAlarm", "ApiSlowAlarm", "ApiTailUnknownAlarm", "ApiUnreadableItemsAlarm"],
    "ConsoleFunction": ["ApiErrorsAlarm", "ConsoleOperatorFaultAlarm"],
    "TestConnectionFunction": ["ApiErrorsAlarm", "TestConnectionOperatorFaultAlarm"],
    "ShipperFunction": ["ShipperOperatorFaultAlarm", "LogContradictedAlarm", "UnreadableItemsAlarm", "EventsMissingAlarm"],
}


def gradual(template):
    for function, alarms in WATCHED.items():
        for alarm in alarms:
            if f"\n  {alarm}:\n" not in template:
                sys.exit(f"there is no {alarm}")
        preference = f"""      AutoPublishAlias: live
      AutoPublishAliasAllProperties: true # a change of a setting is a new version too
      DeploymentPreference:
        Type: Canary10Percent5Minutes
        Alarms: [{", ".join(f"!Ref {alarm}" for alarm in alarms)}]
"""
        head = rf"(\n  {function}:\n    Type: AWS::Serverless::Function\n(?:    .*\n|\s*#.*\n)*?    Properties:\n)"
        template, found = re.subn(head, lambda match, preference=preference: match[1] + preference, template)
        if found != 1:
            sys.exit(f"{found} functions are named {function}")
    return template


if __name__ == "__main__":
    print(gradual(Path(sys.argv[1]).read_text(encoding="utf-8")), end="")
