"""What Annals is compared with: recording and shipping as a team would write them with boto3.

    python rival.py record REQUEST COUNT      calls the append of ../../cold_start/comparison/python with the request in the file
    python rival.py ship PARTITION COMPRESSION  puts the partition's events, numbered and timed, into objects of 16 MiB

Prints the processor time that it took, in seconds, without start and warm-up.
"""

import datetime
import gzip
import json
import os
import sys
import time
import zlib

import boto3

OBJECT_BYTES = 16 * 1024 * 1024
WARM_UP = 20


def record(request, count):
    import app

    with open(request, encoding="utf-8") as file:
        text = file.read()
    for number in range(WARM_UP + count):
        if number == WARM_UP:
            begun = time.process_time()
        answer = app.handler(json.loads(text), None)
        json.dumps(answer)
        assert answer["statusCode"] == 201, answer
    return time.process_time() - begun


def ship(partition, compression):
    dynamodb = boto3.client("dynamodb")
    s3 = boto3.client("s3")
    # A call of each, which connects.
    dynamodb.get_item(TableName=os.environ["LOG_TABLE"], Key={"org": {"S": partition}, "seq": {"N": "0"}})
    s3.put_object(Bucket=os.environ["BUCKET"], Key=f"{partition}-{compression}-first", Body=b"")
    begun = time.process_time()
    lines, size, objects = [], 0, 0

    def put():
        nonlocal lines, size, objects
        body = ("\n".join(lines) + "\n").encode()
        if compression == "gzip":
            body = gzip.compress(body, 6)
        s3.put_object(
            Bucket=os.environ["BUCKET"],
            Key=f"{partition}-{compression}-{objects}.json",
            Body=body,
            ContentType="application/x-ndjson",
            ChecksumAlgorithm="SHA256",
            IfNoneMatch="*",
        )
        lines, size, objects = [], 0, objects + 1

    pages = dynamodb.get_paginator("query").paginate(
        TableName=os.environ["LOG_TABLE"],
        KeyConditionExpression="org = :org",
        ExpressionAttributeValues={":org": {"S": partition}},
    )
    for page in pages:
        for item in page["Items"]:
            sequence = int(item["seq"]["N"])
            at = datetime.datetime.fromtimestamp(int(item["at"]["N"]) / 1000, datetime.timezone.utc)
            timestamp = at.isoformat(timespec="milliseconds")
            for event in zlib.decompress(item["bodies"]["B"]).decode().split("\n"):
                line = json.dumps({"sequence": sequence, "timestamp": timestamp, **json.loads(event)}, separators=(",", ":"))
                sequence += 1
                lines.append(line)
                size += len(line) + 1
                if size >= OBJECT_BYTES:
                    put()
    if lines:
        put()
    return time.process_time() - begun


if __name__ == "__main__":
    what, first, second = sys.argv[1:]
    print(record(first, int(second)) if what == "record" else ship(first, second))
