// Records, reads and creates a destination through openapi-fetch with the types that openapi-typescript generates.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./openapi-typescript.js";
import { API, ADMIN, AUDITOR, BUCKET, EVENTS, ORGANISATION, PRODUCER, ROLE } from "./scene.js";

const as = (token: string) => createClient<paths, "application/hal+json" | "application/json" | "application/problem+json">({ baseUrl: API, headers: { Authorization: `Bearer ${token}` } });

const recorded: number[] = [];
for (const body of EVENTS satisfies components["schemas"]["EventInput"][]) {
  const { data, error } = await as(PRODUCER).POST("/events", { body });
  assert.ok(data, JSON.stringify(error));
  recorded.push(...data.events.map((event) => event.sequence));
}

const page = await as(AUDITOR).GET("/audit", { params: { query: { pageSize: 100 } } });
assert.ok(page.data, JSON.stringify(page.error));
const read = page.data.events.filter((event) => recorded.includes(event.sequence));
assert.deepEqual(read.map((event) => event.sequence), recorded);
assert.deepEqual(read.map((event) => event.permission), EVENTS.map((event) => event.permission));
const last = read.at(-1);
assert.ok(last && page.data._links.resume.href.includes("/audit?"));
const alone = await as(AUDITOR).GET("/audit/{uuid}", { params: { path: { uuid: last.uuid } } });
assert.equal(alone.data?.sequence, last.sequence);

const created = await as(ADMIN).POST("/organisations/{organisation}/destinations", {
  params: { path: { organisation: ORGANISATION } },
  body: { bucket: BUCKET, roleArn: ROLE, prefix: "openapi-fetch" },
});
assert.equal(created.data?.bucket, BUCKET, JSON.stringify(created.error));
const deleted = await as(ADMIN).DELETE("/organisations/{organisation}/destinations/{destination}", {
  params: { path: { organisation: ORGANISATION, destination: created.data?.id ?? "" } },
});
assert.equal(deleted.response.status, 204);

const refused = await as(AUDITOR).GET("/audit", { params: { query: { pageSize: 0 } } });
assert.equal(refused.response.status, 400);
assert.equal(refused.error?.code, "invalid_input");
