// The running program, and what its platform and its customers do beside the page: organisations, tokens, events, buckets
// and roles.

import { spawn } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const READY_WITHIN_MS = 30_000;
const ANSWER_WITHIN_MS = 30_000;
const PLATFORM_ACCOUNT = "111122223333";

/** The programs that run. None outlives the tests, however they end. */
const running = new Set();
process.once("exit", () => {
  for (const { program, folder } of running) {
    program.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A program that was started, with its data in a folder of its own. */
export class System {
  /** Starts the program at `path`, and waits until all of it answers. */
  static async start(path, ...options) {
    const system = new System();
    system.folder = mkdtempSync(join(tmpdir(), "annals-browser-"));
    const info = join(system.folder, "info.json");
    const places = ["--data-dir", join(system.folder, "data"), "--info-file", info];
    system.log = "";
    system.program = spawn(path, ["--port", "0", "--tick-seconds", "86400", ...places, ...options], {
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
      if (failed || system.program.exitCode !== null || Date.now() - begun > READY_WITHIN_MS) {
        throw new Error(`${path} did not get ready: ${failed ?? system.log}`);
      }
    }
  }

  /** Ends the program, and leaves nothing behind. */
  async stop() {
    this.program.kill();
    await this.ended;
    running.delete(this);
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** One call of the API: its answer, which has to have the status `expected`. */
  async call(expected, method, path, { token = this.platformToken, body, type = "application/json", accept } = {}) {
    const headers = { authorization: `Bearer ${token}` };
    if (body !== undefined) headers["content-type"] = type;
    if (accept) headers.accept = accept;
    const response = await fetch(this.api + path, {
      method,
      headers,
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    const text = await response.text();
    if (response.status !== expected) {
      throw new Error(`${method} ${path}: expected ${expected}, got ${response.status}: ${text.slice(0, 1000)}`);
    }
    return /[/+]json/.test(response.headers.get("content-type") ?? "") ? JSON.parse(text) : text;
  }

  /** An organisation that nobody else uses. */
  async organisation({ name = "Northwind Mills", plan = "enterprise" } = {}) {
    const id = `o${randomBytes(6).toString("hex")}`;
    const created = await this.call(201, "PUT", `/organisations/${id}`, { body: { name, plan } });
    return new Organisation(this, id, name, created.externalId);
  }

  /** The organisation that a program which was started with `--demo` begins with. */
  async demonstration() {
    const { name, externalId } = await this.call(200, "GET", "/organisations/demo");
    return new Organisation(this, "demo", name, externalId);
  }

  /** Ships now, whatever there is to ship. */
  async tick() {
    return await this.call(200, "POST", "/_local/tick");
  }

  /** Lets a portal link or a session end now. It takes minutes otherwise. */
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

  /** Changes the accounts that the program takes for AWS, as an administrator does in a console. */
  inAws(change) {
    const file = join(this.dataDir, "aws.json");
    const aws = JSON.parse(readFileSync(file, "utf8"));
    change(aws);
    writeFileSync(`${file}.new`, JSON.stringify(aws, null, 2));
    renameSync(`${file}.new`, file);
  }
}

/** A customer. */
export class Organisation {
  #tokens = new Map();

  constructor(system, id, name, externalId) {
    Object.assign(this, { system, id, name, externalId });
    this.path = `/organisations/${id}`;
    this.bucket = `audit-events-of-${id}`;
    this.account = "444455556666";
    this.roleArn = `arn:aws:iam::${this.account}:role/put-audit-events-of-${id}`;
  }

  /** A token with this role. */
  async token(role) {
    if (!this.#tokens.has(role)) {
      const body = { name: `Test ${role}`, role };
      this.#tokens.set(role, this.system.call(201, "POST", `${this.path}/tokens`, { body }).then((made) => made.token));
    }
    return await this.#tokens.get(role);
  }

  /** A link to its page. */
  async portalLink(role = "admin", user = { id: "42", name: "Ada Bell", email: "ada@example.com" }) {
    return (await this.system.call(201, "POST", `${this.path}/portal-links`, { body: { role, user } })).url;
  }

  /** Changes its name or plan. */
  async change(input) {
    await this.system.call(200, "PUT", this.path, { body: { name: this.name, ...input } });
    this.name = input.name ?? this.name;
  }

  /** Records events, a thousand a request, and gives their receipts. */
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

  /** The whole log, or what a query gives of it, the oldest first. */
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

  /** Makes the bucket and the role as the set-up says; `change` may spoil either. */
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

  /** Saves its destination by the API. */
  async saveDestination() {
    const [token, body] = [await this.token("admin"), { bucket: this.bucket, roleArn: this.roleArn }];
    return await this.system.call(201, "POST", `${this.path}/destinations`, { token, body });
  }

  /** Its destination as the API shows it; undefined where it has none. */
  async destination() {
    const list = await this.system.call(200, "GET", `${this.path}/destinations`, { token: await this.token("admin") });
    return list.destinations[0];
  }

  /** What was delivered: keys and texts, in order. */
  objects() {
    const folder = join(this.system.dataDir, "s3", this.bucket);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const paths = files.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort();
    return paths.map((path) => ({ key: relative(folder, path), text: readFileSync(path, "utf8") }));
  }
}

/** An event, as a producer posts it. */
export function event(number, changes = {}) {
  const actions = ["CREATE", "UPDATE", "DELETE", "LOGIN"];
  return {
    action: actions[number % actions.length],
    entity: { id: `m-${number}`, name: `Mock API ${number}`, entityType: "MOCK_API" },
    principal: { id: `u-${number % 7}`, name: `User ${number % 7}`, entityType: "USER", email: `u${number % 7}@example.com` },
    ...changes,
  };
}

/** A server of pages that are not ours: another site's, or the product that embeds ours. `pages` maps paths to HTML. */
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
    /** Of the same site as the program's pages, for a browser: ports do not count. */
    origin: `http://127.0.0.1:${port}`,
    /** Of another site. */
    otherSite: `http://localhost:${port}`,
    /** Puts a page there, and gives its path. */
    put(html) {
      const path = `/${randomBytes(6).toString("hex")}`;
      pages.set(path, `<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>Elsewhere</title>${html}`);
      return path;
    },
    stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}

/** A call of DynamoDB, signed as AWS asks ("Signature Version 4"), to put the store into a state that takes time to come. */
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
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
  });
  if (!response.ok) throw new Error(`${operation}: ${response.status} ${await response.text()}`);
  return await response.json();
}
