// Records, reads and creates a destination through the client that @hey-api/openapi-ts generates.
import assert from "node:assert/strict";
import { createClient, createConfig } from "./hey-api/client/index.js";
import { createDestination, deleteDestination, getAuditEvent, listAudit, recordEvents } from "./hey-api/index.js";
import type { EventInput } from "./hey-api/index.js";
import { API, ADMIN, AUDITOR, BUCKET, EVENTS, ORGANISATION, PRODUCER, ROLE } from "./scene.js";

const as = (token: string) => createClient(createConfig({ baseUrl: API, auth: token }));

const recorded: number[] = [];
for (const body of EVENTS satisfies EventInput[]) {
  const { data, error } = await recordEvents({ client: as(PRODUCER), body });
  assert.ok(data, JSON.stringify(error));
  recorded.push(...data.events.map((event) => event.sequence));
}

const page = await listAudit({ client: as(AUDITOR), query: { pageSize: 100 }, throwOnError: true });
const read = page.data.events.filter((event) => recorded.includes(event.sequence));
assert.deepEqual(read.map((event) => event.sequence), recorded);
assert.deepEqual(read.map((event) => event.permission), EVENTS.map((event) => event.permission));
const last = read.at(-1);
assert.ok(last && page.data._links.resume.href.includes("/audit?"));
const alone = await getAuditEvent({ client: as(AUDITOR), path: { uuid: last.uuid }, throwOnError: true });
assert.equal(alone.data.sequence, last.sequence);

const destination = { bucket: BUCKET, roleArn: ROLE, prefix: "hey-api" };
const created = await createDestination({ client: as(ADMIN), path: { organisation: ORGANISATION }, body: destination, throwOnError: true });
assert.equal(created.data.bucket, BUCKET);
const path = { organisation: ORGANISATION, destination: created.data.id };
assert.equal((await deleteDestination({ client: as(ADMIN), path })).response?.status, 204);

const refused = await listAudit({ client: as(AUDITOR), query: { pageSize: 0 } });
assert.equal(refused.response?.status, 400);
assert.equal(refused.error?.code, "invalid_input");
