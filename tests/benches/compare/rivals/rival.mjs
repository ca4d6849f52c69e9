// What Annals is compared with: recording and shipping as a team would write them with AWS's SDK for JavaScript.
//
//     node rival.mjs record REQUEST COUNT        calls the append of ../../cold_start/comparison/node with the request in the file
//     node rival.mjs ship PARTITION COMPRESSION  puts the partition's events, numbered and timed, into objects of 16 MiB
//
// Prints the processor time that it took, in seconds, without start and warm-up.

import { readFileSync } from "node:fs";
import { gzipSync, inflateSync } from "node:zlib";
import { DynamoDBClient, GetItemCommand, paginateQuery } from "@aws-sdk/client-dynamodb";
import { PutObjectCommand, S3Client } from "@aws-sdk/client-s3";

const OBJECT_BYTES = 16 * 1024 * 1024;
const WARM_UP = 20;
const { BUCKET, LOG_TABLE } = process.env;

async function record(request, count) {
  const { handler } = await import("./app.mjs");
  const text = readFileSync(request, "utf8");
  let begun;
  for (let number = 0; number < WARM_UP + count; number++) {
    if (number === WARM_UP) {
      begun = process.cpuUsage();
    }
    const answer = await handler(JSON.parse(text));
    JSON.stringify(answer);
    if (answer.statusCode !== 201) {
      throw new Error(JSON.stringify(answer));
    }
  }
  return begun;
}

async function ship(partition, compression) {
  const dynamodb = new DynamoDBClient();
  const s3 = new S3Client({ forcePathStyle: true });
  // A call of each, which connects.
  await dynamodb.send(new GetItemCommand({ TableName: LOG_TABLE, Key: { org: { S: partition }, seq: { N: "0" } } }));
  await s3.send(new PutObjectCommand({ Bucket: BUCKET, Key: `${partition}-${compression}-first`, Body: "" }));
  const begun = process.cpuUsage();
  let lines = [];
  let size = 0;
  let objects = 0;
  async function put() {
    const text = Buffer.from(`${lines.join("\n")}\n`);
    await s3.send(
      new PutObjectCommand({
        Bucket: BUCKET,
        Key: `${partition}-${compression}-${objects}.json`,
        Body: compression === "gzip" ? gzipSync(text, { level: 6 }) : text,
        ContentType: "application/x-ndjson",
        ChecksumAlgorithm: "SHA256",
        IfNoneMatch: "*",
      }),
    );
    lines = [];
    size = 0;
    objects += 1;
  }
  const query = {
    TableName: LOG_TABLE,
    KeyConditionExpression: "org = :org",
    ExpressionAttributeValues: { ":org": { S: partition } },
  };
  for await (const { Items } of paginateQuery({ client: dynamodb }, query)) {
    for (const item of Items) {
      let sequence = Number(item.seq.N);
      const timestamp = new Date(Number(item.at.N)).toISOString();
      for (const event of inflateSync(item.bodies.B).toString().split("\n")) {
        const line = JSON.stringify({ sequence, timestamp, ...JSON.parse(event) });
        sequence += 1;
        lines.push(line);
        size += line.length + 1;
        if (size >= OBJECT_BYTES) {
          await put();
        }
      }
    }
  }
  if (lines.length > 0) {
    await put();
  }
  return begun;
}

const [what, first, second] = process.argv.slice(2);
const begun = what === "record" ? await record(first, Number(second)) : await ship(first, second);
const { user, system } = process.cpuUsage(begun);
console.log((user + system) / 1e6);
