"""What a schema cannot tell schemathesis: how NDJSON is sent, and which values are valid together. Changes only requests
that are meant to be valid.
"""

import json
import os
import re

import schemathesis
from schemathesis import GenerationMode

uuid = os.environ["ANNALS_EVENT"]  # of an event that exists in the organisation
own_token = os.environ["ANNALS_TOKEN"].split("_")[1]  # the id of the token that is called with
requests = 0


@schemathesis.serializer("application/x-ndjson")
def ndjson(context, value):
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    global requests
    requests += 1
    if (case.path_parameters or {}).get("token") == own_token:
        case.path_parameters["token"] = "000000000000"  # a caller that revokes its own token tests nothing more
    if case.meta is None or case.meta.generation.mode != GenerationMode.POSITIVE:
        return
    query, body = case.query, case.body
    if query:
        for cursor in ("from", "after", "through"):
            if cursor in query:
                query[cursor] = uuid  # a cursor is an event of this organisation
        if "from" in query:
            query.pop("after", None)  # a page begins with an event or after one
        # A period does not end before it begins; without an end it ends now.
        if "since" in query:
            query["since"] = "2020-01-01"
        if "until" in query:
            query["until"] = "2999-01-01"
    headers = case.headers or {}
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = f"{requests}"  # a key is used for one request
    if case.media_type == "application/x-ndjson":
        event = {
            "action": "CREATE",
            "entity": {"id": "m-1", "name": "Payments", "entityType": "MOCK_API"},
            "principal": {"id": "42", "name": "Ada Bell", "entityType": "USER"},
        }
        case.body = json.dumps(event) + "\n"  # lines are events
    elif case.operation.label.endswith("/rotate"):
        case.body = {"overlapSeconds": 1, **(body if isinstance(body, dict) else {}), "expiresAt": None}  # the successor's expiry is given
        case.media_type = "application/json"
    elif isinstance(body, dict):
        if "expiresAt" in body:
            body["expiresAt"] = "2999-01-01T00:00:00Z"  # in the future
        if "roleArn" in body:
            body["roleArn"] = re.sub("^arn:aws[^:]*:", "arn:aws:", body["roleArn"])  # of the service's own partition
        if (body.get("region") or "").startswith(("cn-", "eusc-", "us-gov-")):
            body["region"] = "eu-central-1"
        if "returnUrl" in body:
            del body["returnUrl"]  # the deployment allows no origin
        if "firstSequence" in body:
            body["lastSequence"] = body["firstSequence"]  # a range does not end before it begins
        if "until" in body:
            body["since"], body["until"] = "2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z"
