// Starts annals-local, and does what the platform and its customers do outside the console: organisations, tokens, events,
// buckets and roles.

import { spawn } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const START_TIMEOUT_MS = 120_000; // with a week of history, beside other programs
const CALL_TIMEOUT_MS = 30_000;
const PLATFORM_ACCOUNT = "111122223333";

/** The running programs. All of them are ended when this process exits. */
const running = new Set();
process.once("exit", () => {
  for (const { program, folder } of running) {
    program.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A running program, with its own data folder. */
export class System {
  /** Starts the program at `path`, and waits until it is ready. */
  static async start(path, ...options) {
    const system = new System();
    system.folder = mkdtempSync(join(tmpdir(), "annals-browser-"));
    const info = join(system.folder, "info.json");
    const paths = ["--data-dir", join(system.folder, "data"), "--info-file", info];
    system.log = "";
    system.program = spawn(path, ["--port", "0", "--tick-seconds", "86400", ...paths, ...options], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    running.add(system);
    system.ended = new Promise((resolve) => system.program.once("close", resolve));
    for (const stream of [system.program.stdout, system.program.stderr]) {
      stream.on("data", (text) => { system.log = (system.log + text).slice(-20_000); });
    }
    let failed;
    system.program.once("error", (error) => { failed = error; });
    for (const begun = Date.now(); ; await pause(20)) {
      try {
        const { api, platformToken, dataDir, dynamodb } = JSON.parse(readFileSync(info, "utf8"));
        Object.assign(system, { api, platformToken, dataDir, dynamodb });
        return system;
      } catch (error) {
        if (error.code !== "ENOENT") throw error;
      }
      if (failed || system.program.exitCode !== null || Date.now() - begun > START_TIMEOUT_MS) {
        if (!failed) await system.stop();
        throw new Error(`${path} did not get ready: ${failed ?? system.log}`);
      }
    }
  }

  /** Ends the program and deletes its data. */
  async stop() {
    this.program.kill();
    await this.ended;
    running.delete(this);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Calls the API. Throws an error unless the response has the status `expected`. */
  async call(expected, method, path, { token = this.platformToken, body, type = "application/json", accept } = {}) {
    const headers = { authorization: `Bearer ${token}` };
    if (body !== undefined) headers["content-type"] = type;
    if (accept) headers.accept = accept;
    const response = await fetch(this.api + path, {
      method,
      headers,
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
    });
    const text = await response.text();
    if (response.status !== expected) {
      throw new Error(`${method} ${path}: expected ${expected}, got ${response.status}: ${text.slice(0, 1000)}`);
    }
    return /[/+]json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : text;
  }

  /** Creates an organisation. */
  async organisation({ name = "Northwind Mills", plan = "enterprise" } = {}) {
    const id = `o${randomBytes(6).toString("hex")}`;
    const created = await this.call(201, "PUT", `/organisations/${id}`, { body: { name, plan } });
    return new Organisation(this, id, name, created.externalId);
  }

  /** The organisation of the demo data, for programs that were started with `--demo`. */
  async demo() {
    const { name, externalId } = await this.call(200, "GET", "/organisations/demo");
    return new Organisation(this, "demo", name, externalId);
  }

  /** Runs the schedule once. */
  async tick() {
    return await this.call(200, "POST", "/_local/tick");
  }

  /** Expires a portal link or a session now, instead of minutes later. */
  async end(kind, token) {
    const pk = `${kind}#${createHash("sha256").update(token).digest("hex")}`;
    await dynamodb(this, "UpdateItem", {
      TableName: "annals-registry",
      Key: { pk: { S: pk }, sk: { S: kind } },
      UpdateExpression: "SET expiresAt = :now",
      ConditionExpression: "attribute_exists(pk)",
      ExpressionAttributeValues: { ":now": { N: String(Date.now()) } },
    });
  }

  /** Changes the embedded AWS, as an administrator of an AWS account does. */
  inAws(change) {
    const file = join(this.dataDir, "aws.json");
    const aws = JSON.parse(readFileSync(file, "utf8"));
    change(aws);
    writeFileSync(`${file}.new`, JSON.stringify(aws, null, 2));
    renameSync(`${file}.new`, file);
  }
}

/** A customer of the platform. */
export class Organisation {
  #tokens = new Map();

  constructor(system, id, name, externalId) {
    Object.assign(this, { system, id, name, externalId });
    this.path = `/organisations/${id}`;
    this.bucket = `audit-events-of-${id}`;
    this.account = "444455556666";
    this.roleArn = `arn:aws:iam::${this.account}:role/put-audit-events-of-${id}`;
  }

  /** Returns a token with this role. */
  async token(role) {
    if (!this.#tokens.has(role)) {
      const body = { name: `Test ${role}`, role };
      this.#tokens.set(role, this.system.call(201, "POST", `${this.path}/tokens`, { body }).then((made) => made.token));
    }
    return await this.#tokens.get(role);
  }

  /** Creates a portal link. */
  async portalLink(role = "admin", user = { id: "42", name: "Ada Bell", email: "ada@example.com" }) {
    return (await this.system.call(201, "POST", `${this.path}/portal-links`, { body: { role, user } })).url;
  }

  /** Changes the name or the plan. */
  async change(input) {
    await this.system.call(200, "PUT", this.path, { body: { name: this.name, ...input } });
    this.name = input.name ?? this.name;
  }

  /** Records events, 1,000 per request. Returns their receipts. */
  async record(events) {
    const token = await this.token("producer");
    const receipts = [];
    for (let at = 0; at < events.length; at += 1000) {
      const body = events.slice(at, at + 1000).map((event) => JSON.stringify(event)).join("\n");
      const posted = await this.system.call(201, "POST", "/events", { token, body, type: "application/x-ndjson" });
      receipts.push(...posted.events);
    }
    return receipts;
  }

  /** Returns the events that match a query, the oldest first. */
  async log(query = "") {
    const token = await this.token("auditor");
    const events = [];
    for (let path = `/audit?pageSize=1000&${query}`; path; ) {
      const page = await this.system.call(200, "GET", path, { token });
      events.push(...page.events);
      const next = page._links.next?.href;
      path = next && new URL(next, this.system.api).href.slice(this.system.api.length);
    }
    return events;
  }

  /** Creates the bucket and the role as the setup instructions say. `change` may modify either. */
  setUpAws(change = () => {}) {
    const role = {
      trustPolicy: {
        Version: "2012-10-17",
        Statement: [{
          Effect: "Allow",
          Principal: { AWS: `arn:aws:iam::${PLATFORM_ACCOUNT}:root` },
          Action: "sts:AssumeRole",
          Condition: { StringEquals: { "sts:ExternalId": this.externalId } },
        }],
      },
      policies: [{
        Version: "2012-10-17",
        Statement: [{ Effect: "Allow", Action: "s3:PutObject", Resource: `arn:aws:s3:::${this.bucket}/*` }],
      }],
      maxSessionSeconds: 3600,
    };
    const bucket = { account: this.account, region: "us-east-1" };
    change({ role, bucket });
    this.system.inAws((aws) => {
      aws.roles[this.roleArn] = role;
      aws.buckets[this.bucket] = bucket;
    });
  }

  /** Creates the destination through the API. */
  async saveDestination() {
    const [token, body] = [await this.token("admin"), { bucket: this.bucket, roleArn: this.roleArn }];
    return await this.system.call(201, "POST", `${this.path}/destinations`, { token, body });
  }

  /** Returns the destination from the API, or undefined. */
  async destination() {
    const list = await this.system.call(200, "GET", `${this.path}/destinations`, { token: await this.token("admin") });
    return list.destinations[0];
  }

  /** Returns the keys and texts of the objects with events, sorted by key: all but checkpoints. */
  objects() {
    const folder = join(this.system.dataDir, "s3", this.bucket);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const paths = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
    const delivered = paths.filter((path) => !relative(folder, path).includes("annals-checkpoints/"));
    return delivered.map((path) => ({ key: relative(folder, path), text: readFileSync(path, "utf8") }));
  }
}

/** An event for a producer to post. */
export function event(number, changes = {}) {
  const actions = ["CREATE", "UPDATE", "DELETE", "LOGIN"];
  return {
    action: actions[number % actions.length],
    entity: { id: `m-${number}`, name: `Mock API ${number}`, entityType: "MOCK_API" },
    principal: { id: `u-${number % 7}`, name: `User ${number % 7}`, entityType: "USER", email: `u${number % 7}@example.com` },
    ...changes,
  };
}

/** A server for pages of another site, or of a product that embeds the console. `pages` maps paths to HTML. */
export async function foreignSite() {
  const pages = new Map();
  const server = createServer((request, response) => {
    const page = pages.get(request.url);
    const body = Buffer.from(page ?? "");
    const headers = { "content-type": "text/html; charset=utf-8", "content-length": body.length };
    response.writeHead(page === undefined ? 404 : 200, headers);
    response.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  return {
    /** The same site as the console in a browser, because sites ignore ports. */
    origin: `http://127.0.0.1:${port}`,
    /** Another site. */
    otherSite: `http://localhost:${port}`,
    /** Adds a page and returns its path. */
    put(html) {
      const path = `/${randomBytes(6).toString("hex")}`;
      pages.set(path, `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Elsewhere</title>${html}`);
      return path;
    },
    stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}

/** Calls DynamoDB with a Signature Version 4, to produce a state that would take minutes otherwise. */
async function dynamodb(system, operation, input) {
  const aws = JSON.parse(readFileSync(join(system.dataDir, "aws.json"), "utf8"));
  const user = aws.users[`arn:aws:iam::${PLATFORM_ACCOUNT}:user/annals-api`];
  const { host } = new URL(system.dynamodb);
  const body = JSON.stringify(input);
  const at = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const headers = { host, "x-amz-date": at, "x-amz-target": `DynamoDB_20120810.${operation}` };
  const sha256 = (text) => createHash("sha256").update(text).digest("hex");
  const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
  const names = Object.keys(headers).join(";");
  const lines = Object.entries(headers).map(([name, value]) => `${name}:${value}\n`).join("");
  const scope = `${at.slice(0, 8)}/us-east-1/dynamodb/aws4_request`;
  const request = ["POST", "/", "", lines, names, sha256(body)].join("\n");
  const key = scope.split("/").reduce(hmac, `AWS4${user.secretAccessKey}`);
  const signature = hmac(key, ["AWS4-HMAC-SHA256", at, scope, sha256(request)].join("\n")).toString("hex");
  const authorization = `AWS4-HMAC-SHA256 Credential=${user.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`;
  const type = "application/x-amz-json-1.0";
  const response = await fetch(system.dynamodb, {
    method: "POST",
    headers: { ...headers, authorization, "content-type": type },
    body,
    signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
  });
  if (!response.ok) throw new Error(`${operation}: ${response.status} ${await response.text()}`);
  return await response.json();
}
