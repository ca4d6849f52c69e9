"""The API function's append in Python with boto3: what a cold start of the API function is compared with.

It knows the caller by a token, finds the tail of the organisation's log, and puts a compressed segment behind it on the
condition that nobody else has. It does not check what it is sent, and merges and retries nothing.
"""

import base64
import hashlib
import hmac
import json
import os
import time
import uuid
import zlib

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

DYNAMODB = boto3.client("dynamodb", config=Config(connect_timeout=1, read_timeout=2, retries={"mode": "standard"}))
LOG_TABLE = os.environ["LOG_TABLE"]
REGISTRY_TABLE = os.environ["REGISTRY_TABLE"]


def handler(event, _context):
    token = event["headers"].get("authorization", "").removeprefix("Bearer ")
    organisation = authenticated(token)
    if organisation is None:
        return answer(401, {"code": "unauthorized"})
    body = event["body"]
    if event["isBase64Encoded"]:
        body = base64.b64decode(body).decode()
    events = json.loads(body)
    if not isinstance(events, list):
        events = [events]

    # A partition of its own: the items are not the product's.
    partition = f"python#{organisation}"
    first = tail(partition) + 1
    identifier = uuid.uuid4()
    lines = "\n".join(json.dumps(event) for event in events)
    try:
        DYNAMODB.put_item(
            TableName=LOG_TABLE,
            Item={
                "org": {"S": partition},
                "seq": {"N": str(first)},
                "last": {"N": str(first + len(events) - 1)},
                "id": {"B": identifier.bytes},
                "at": {"N": str(time.time_ns() // 1_000_000)},
                "bodies": {"B": zlib.compress(lines.encode())},
            },
            ConditionExpression="attribute_not_exists(seq)",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
            return answer(503, {"code": "unavailable"})
        raise
    receipts = [{"uuid": str(identifier), "sequence": first + index} for index in range(len(events))]
    return answer(201, {"events": receipts})


def authenticated(token):
    """The organisation whose token it is."""
    parts = token.split("_")
    if len(parts) != 3:
        return None
    key = {"pk": {"S": f"token#{parts[1]}"}, "sk": {"S": "token"}}
    item = DYNAMODB.get_item(TableName=REGISTRY_TABLE, Key=key).get("Item")
    if item is None or not hmac.compare_digest(item["hash"]["B"], hashlib.sha256(token.encode()).digest()):
        return None
    return item["organisation"]["S"]


def tail(partition):
    """The last sequence of a log, 0 where there is none."""
    found = DYNAMODB.query(
        TableName=LOG_TABLE,
        KeyConditionExpression="org = :org",
        ExpressionAttributeValues={":org": {"S": partition}},
        ProjectionExpression="#last",
        ExpressionAttributeNames={"#last": "last"},
        ScanIndexForward=False,
        Limit=1,
        ConsistentRead=True,
    )["Items"]
    return int(found[0]["last"]["N"]) if found else 0


def answer(status, body):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(body)}
