// The API function's append in JavaScript with AWS's SDK: what a cold start of the API function is compared with.
//
// It knows the caller by a token, finds the tail of the organisation's log, and puts a compressed segment behind it on
// the condition that nobody else has. It does not check what it is sent, and merges and retries nothing.

import { createHash, randomUUID, timingSafeEqual } from "node:crypto";
import { deflateSync } from "node:zlib";
import { DynamoDBClient, GetItemCommand, PutItemCommand, QueryCommand } from "@aws-sdk/client-dynamodb";

const dynamodb = new DynamoDBClient();
const { LOG_TABLE, REGISTRY_TABLE } = process.env;

export async function handler(event) {
  const token = (event.headers.authorization ?? "").replace(/^Bearer /, "");
  const organisation = await authenticated(token);
  if (organisation === undefined) {
    return answer(401, { code: "unauthorized" });
  }
  const body = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
  const events = [JSON.parse(body)].flat();

  // A partition of its own: the items are not the product's.
  const partition = `node#${organisation}`;
  const first = (await tail(partition)) + 1;
  const uuid = randomUUID();
  const put = new PutItemCommand({
    TableName: LOG_TABLE,
    Item: {
      org: { S: partition },
      seq: { N: String(first) },
      last: { N: String(first + events.length - 1) },
      id: { B: Buffer.from(uuid.replaceAll("-", ""), "hex") },
      at: { N: String(Date.now()) },
      bodies: { B: deflateSync(events.map((event) => JSON.stringify(event)).join("\n")) },
    },
    ConditionExpression: "attribute_not_exists(seq)",
  });
  try {
    await dynamodb.send(put);
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") {
      return answer(503, { code: "unavailable" });
    }
    throw error;
  }
  return answer(201, { events: events.map((_, index) => ({ uuid, sequence: first + index })) });
}

/** The organisation whose token it is. */
async function authenticated(token) {
  const parts = token.split("_");
  if (parts.length !== 3) {
    return undefined;
  }
  const Key = { pk: { S: `token#${parts[1]}` }, sk: { S: "token" } };
  const { Item } = await dynamodb.send(new GetItemCommand({ TableName: REGISTRY_TABLE, Key }));
  const hash = createHash("sha256").update(token).digest();
  return Item !== undefined && timingSafeEqual(Item.hash.B, hash) ? Item.organisation.S : undefined;
}

/** The last sequence of a log, 0 where there is none. */
async function tail(partition) {
  const query = new QueryCommand({
    TableName: LOG_TABLE,
    KeyConditionExpression: "org = :org",
    ExpressionAttributeValues: { ":org": { S: partition } },
    ProjectionExpression: "#last",
    ExpressionAttributeNames: { "#last": "last" },
    ScanIndexForward: false,
    Limit: 1,
    ConsistentRead: true,
  });
  const { Items } = await dynamodb.send(query);
  return Items.length > 0 ? Number(Items[0].last.N) : 0;
}

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}
