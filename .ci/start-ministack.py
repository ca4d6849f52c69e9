"""Starts MiniStack with what its CloudFormation lacks: composite alarms, which its CloudWatch has.

Otherwise as the program `ministack`. Remove this file once MiniStack knows AWS::CloudWatch::CompositeAlarm.
"""

import sys

from ministack.app import main
from ministack.services import cloudwatch
from ministack.services.cloudformation import provisioners

COMPOSITE = "AWS::CloudWatch::CompositeAlarm"


def put(name, properties):
    asked = {"AlarmName": name, **{key: value for key, value in properties.items() if key != "AlarmName"}}
    status, _, body = cloudwatch._put_composite_alarm({}, asked, False, True)
    if status != 200:
        raise ValueError(f"{COMPOSITE} {name}: {body}")
    return name, {"Arn": cloudwatch._composite_alarms[name]["AlarmArn"]}


def create(logical_id, properties, stack_name):
    return put(properties.get("AlarmName") or provisioners._physical_name(stack_name, logical_id, max_len=255), properties)


def update(physical_id, _before, properties, _stack_name, logical_id=None):
    return put(physical_id, properties)


def delete(physical_id, _properties):
    cloudwatch._delete_alarms({}, {"AlarmNames": [physical_id]}, False, True)


if COMPOSITE in provisioners._RESOURCE_HANDLERS:
    sys.exit(f"MiniStack knows {COMPOSITE} now: remove {__file__}")
provisioners._RESOURCE_HANDLERS[COMPOSITE] = {
    "create": create, "update": update, "update_with_logical_id": True, "delete": delete,
}
sys.exit(main())
