// The event viewer: the list, filters, the chart, one event in full, and exports.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

import { look, scene, tabTo } from "./scene.js";
import { event } from "./system.js";

const eventsPage = (system, query = "") => `${system.api}/console/events${query}`;
const table = (page) => page.getByRole("table", { name: "Events, the newest first" });
const show = (page) => page.getByRole("button", { name: "Show", exact: true }).click();
/** Waits for a page whose query string matches. */
const settled = (page, query) => page.waitForURL((url) => query.test(decodeURIComponent(url.search)));

/** The short ids of the listed events, in their order, without reads: every page view adds one. */
async function listed(page) {
  const rows = table(page).getByRole("row").filter({ hasNotText: "audit.read" }).getByRole("link");
  return await rows.evaluateAll((links) => links.map((link) => link.pathname.split("/").at(-1)));
}

/** The short ids that the API returns for a query, the newest first, without reads. */
async function log(organisation, query) {
  const events = await organisation.log(query);
  return events.filter(({ type }) => type !== "audit.read").map(({ uuid }) => uuid).reverse();
}

/** A user who looks at a log with `count` events. */
async function withEvents(scene, count, options = {}) {
  const organisation = await scene.system.organisation();
  await organisation.record(Array.from({ length: count }, (_, index) => event(index)));
  const page = await scene.signedIn(organisation, { role: "auditor", ...options });
  return { organisation, page };
}

for (const javaScript of [true, false]) {
  const how = javaScript ? "" : ", without JavaScript";

  scene(`events are listed from newest to oldest, and each has a page${how}`, async (scene) => {
    const { organisation, page } = await withEvents(scene, 10, { javaScript });
    await page.goto(eventsPage(scene.system, "?entityType=MOCK_API"));
    assert.deepEqual(await listed(page), await log(organisation, "entityType=MOCK_API"));
    await page.goto(eventsPage(scene.system));
    assert.equal(await table(page).getByText("audit.read").count(), 0, "reads are hidden");
    await page.getByLabel("Show reads of this log").check();
    if (!javaScript) await show(page);
    await settled(page, /reads=shown/);
    await table(page).getByText("audit.read").first().waitFor();
    if (javaScript) await look(page, "events-with-reads");
    await page.goto(eventsPage(scene.system));
    await table(page).getByText("User 1 updated mock API Mock API 1").waitFor();
    if (javaScript) await look(page, "events-ten");
    const row = table(page).getByRole("link", { name: "User 1 updated mock API Mock API 1" });
    if (javaScript) {
      // The event opens beside the list, and the list stays where it is.
      await row.click();
      const panel = page.getByRole("dialog", { name: "Event" });
      await panel.getByRole("heading", { level: 1, name: "User 1 updated mock API Mock API 1" }).waitFor();
      await look(page, "events-panel");
      await page.keyboard.press("j");
      await panel.getByRole("heading", { level: 1, name: "User 0 created mock API Mock API 0" }).waitFor();
      await panel.getByRole("button", { name: "Newer" }).click();
      await panel.getByRole("heading", { level: 1, name: "User 1 updated mock API Mock API 1" }).waitFor();
      await page.keyboard.press("Escape");
      await panel.waitFor({ state: "hidden" });
      assert.ok(await row.evaluate((link) => link === document.activeElement), "the focus is back");
      await row.click();
      await panel.getByRole("link", { name: "Open as a page" }).click();
    } else {
      await row.click();
    }
    await page.getByRole("heading", { level: 1, name: "User 1 updated mock API Mock API 1" }).waitFor();
    const facts = await page.getByRole("region", { name: "Details" }).innerText();
    for (const fact of ["Mock API 1", "m-1", "u1@example.com", "mock_api.update", "UPDATE", "API"]) {
      assert.ok(facts.includes(fact), `${fact} in ${facts}`);
    }
    await page.getByRole("link", { name: "Next event" }).click();
    await page.getByRole("heading", { level: 1, name: "User 2 deleted mock API Mock API 2" }).waitFor();
    await page.getByRole("link", { name: "Previous event" }).click();
    await page.getByRole("heading", { level: 1, name: "User 1 updated mock API Mock API 1" }).waitFor();
    await page.getByRole("link", { name: "All events of this principal" }).click();
    await settled(page, /principalId=u-1/);
    assert.deepEqual(await listed(page), await log(organisation, "principalId=u-1"));
  });

  scene(`a filter finds what the API finds, and has an address${how}`, async (scene) => {
    const { organisation, page } = await withEvents(scene, 40, { javaScript });
    await organisation.record([event(100, { type: "vault.open", payload: { note: "Straße & <b>bold</b> +100%" } })]);
    for (const [label, value, query] of [
      ["Type", "vault.open", "type=vault.open"],
      ["Action", "DELETE", "action=DELETE"],
      ["Principal ID", "u-3", "principalId=u-3"],
      ["Entity type", "MOCK_API", "entityType=MOCK_API"],
      ["Entity ID", "m-7", "entityId=m-7"],
      ["Text", "<b>BOLD</b> +100%", `q=${encodeURIComponent("<b>BOLD</b> +100%")}`],
    ]) {
      await page.goto(eventsPage(scene.system));
      const field = page.getByLabel(label, { exact: true });
      if (!(await field.isVisible())) await page.locator("summary").filter({ hasText: "More filters" }).click();
      await field.fill(value);
      await show(page);
      await settled(page, new RegExp(query.split("=")[0]));
      const expected = await log(organisation, query);
      assert.deepEqual(await listed(page), expected, query);
      assert.ok(expected.length > 0 && expected.length < 42, query);
      assert.equal(await page.getByLabel(label, { exact: true }).inputValue(), value);
    }
    // Another user gets the same view from the address.
    const other = await scene.signedIn(organisation, { javaScript, role: "auditor" });
    await other.goto(page.url());
    assert.deepEqual(await listed(other), await listed(page));
    assert.equal(await other.getByLabel("Text", { exact: true }).inputValue(), "<b>BOLD</b> +100%");
    if (javaScript) await look(page, "events-filtered");
    // Each condition can be removed by itself.
    await other.goto(eventsPage(scene.system, "?type=mock_api.update&principalId=u-3"));
    await other.getByRole("list", { name: "Filters in use" }).getByRole("link", { name: /^Remove Type mock_api.update/ }).click();
    await settled(other, /^\?principalId=u-3$/);
    assert.deepEqual(await listed(other), await log(organisation, "principalId=u-3"));
    await page.getByRole("link", { name: "Clear the filter" }).first().click();
    await settled(page, /^\??$/);
    assert.deepEqual(await listed(page), await log(organisation, ""));

    await page.goto(eventsPage(scene.system, "?q=nowhere-to-be-found"));
    await page.getByRole("heading", { name: "No events" }).waitFor();
    if (javaScript) await look(page, "events-none-match");

    // A filter that finds nothing leads to one that does.
    await page.goto(eventsPage(scene.system, "?type=mock_api.updated"));
    await page.getByText("Did you mean one of these?").waitFor();
    if (javaScript) await look(page, "events-suggestions");
    await page.getByRole("link", { name: "mock_api.update", exact: true }).click();
    await settled(page, /type=mock_api\.update$/);
    assert.deepEqual(await listed(page), await log(organisation, "type=mock_api.update"));
  });

  scene(`older events can be loaded up to the oldest one${how}`, async (scene) => {
    const { organisation, page } = await withEvents(scene, 230, { javaScript });
    await page.goto(eventsPage(scene.system, "?entityType=MOCK_API"));
    const all = await log(organisation, "entityType=MOCK_API");
    const seen = await listed(page);
    assert.equal(seen.length, 50);
    while ((await page.getByRole("link", { name: "Older events" }).count()) > 0) {
      assert.ok(seen.length < all.length, "there is always more");
      const last = seen.at(-1);
      await page.getByRole("link", { name: "Older events" }).click();
      // A new page, or more rows below.
      await table(page).locator(`a[href*="${all[seen.length]}"]`).waitFor();
      const now = await listed(page);
      const rest = now.includes(last) ? now.slice(now.indexOf(last) + 1) : now;
      assert.ok(rest.length > 0);
      seen.push(...rest);
    }
    assert.deepEqual(seen, all);
    await page.getByText("These are the oldest events of this view").waitFor();
    if (javaScript) await look(page, "events-older");
  });

  scene(`filtered events can be exported as files${how}`, async (scene) => {
    const { organisation, page } = await withEvents(scene, 120, { javaScript });
    await organisation.record([event(200, { entity: { id: "m-200", name: `=1+1, "x"\n<script>`, entityType: "MOCK_API" } })]);
    const token = await organisation.token("auditor");
    for (const [name, accept] of [["NDJSON", "application/x-ndjson"], ["CSV", "text/csv"]]) {
      await page.goto(eventsPage(scene.system, "?entityType=MOCK_API"));
      const link = page.getByRole("link", { name, exact: true });
      let downloaded;
      if (javaScript) {
        // One click exports everything. Each part has a page, too.
        await page.goto(new URL(await link.getAttribute("href"), page.url()).href);
        await page.getByRole("heading", { level: 1, name: `Export as ${name}` }).waitFor();
        await look(page, `events-export-${name.toLowerCase()}`);
        await page.goto(eventsPage(scene.system, "?entityType=MOCK_API"));
        downloaded = page.waitForEvent("download");
        await link.click();
        await page.getByText("Exported 121 events").waitFor();
      } else {
        await link.click();
        await page.getByRole("heading", { level: 1, name: `Export as ${name}` }).waitFor();
        await page.getByText("121 events").waitFor();
        downloaded = page.waitForEvent("download");
        await page.getByRole("link", { name: "Download" }).click();
      }
      const download = await downloaded;
      const text = readFileSync(await download.path(), "utf8");
      const expected = await scene.system.call(200, "GET", "/audit?pageSize=1000&entityType=MOCK_API", { token, accept });
      // Excel takes CSV for UTF-8 only after a byte order mark.
      assert.equal(text.startsWith("\ufeff"), name === "CSV");
      assert.equal(text.replace(/^\ufeff/, ""), expected, name);
      assert.match(download.suggestedFilename(), new RegExp(`^${organisation.id}-events-.*\\.${name.toLowerCase()}$`));
      assert.equal(text.trimEnd().split("\n").length >= 121, true);
    }
  });

  scene(`an invalid address is answered with its faults${how}`, async (scene) => {
    const { page } = await withEvents(scene, 1, { javaScript });
    for (const query of ["?since=yesterday", "?range=3h", "?colour=red", `?from=${"A".repeat(22)}`, `?q=${"x".repeat(2000)}`]) {
      const response = await page.goto(eventsPage(scene.system, query));
      assert.equal(response.status(), 422, query);
      await page.getByRole("heading", { level: 1, name: "Event viewer" }).waitFor();
    }
    assert.equal((await page.goto(eventsPage(scene.system, "?q=%00"))).status(), 400);
    await page.getByRole("heading", { level: 1 }).waitFor();
    await page.goto(eventsPage(scene.system, "?since=2026-11-22T10:00&until=2026-11-21T10:00"));
    await page.getByText("To must be later than From.").waitFor();
    assert.equal(await page.getByLabel(/^To/).getAttribute("type"), "datetime-local", "the field stays what it was");
    await page.goto(eventsPage(scene.system, "?since=yesterday&colour=red"));
    if (javaScript) await look(page, "events-refused");
    for (const uuid of ["x", "A".repeat(22), "018c4f5e-1111-7000-8000-000000000000"]) {
      const response = await page.goto(`${eventsPage(scene.system)}/${uuid}`);
      assert.equal(response.status(), 404, uuid);
      await page.getByRole("heading", { level: 1, name: "Event not found" }).waitFor();
    }
    if (javaScript) await look(page, "events-no-such-event");
  });
}

for (const javaScript of [true, false]) {
  scene(`the values that occur are counted and lead to their events${javaScript ? "" : ", without JavaScript"}`, async (scene) => {
    const { organisation, page } = await withEvents(scene, 40, { javaScript });
    await organisation.record([event(50, { outcome: "FAILURE", context: { ipAddress: "192.0.2.77" } })]);
    await page.goto(eventsPage(scene.system, "?range=7d&entityType=MOCK_API"));
    if (javaScript) {
      // The fields are open, because one of them is used.
      await page.getByLabel("Type", { exact: true }).focus();
      await page.locator(`#type-known option[value="mock_api.update"][label$="of 41 events"]`).waitFor({ state: "attached" });
      await page.locator(`#principalId-known option[value="u-3"][label^="User 3 ·"]`).waitFor({ state: "attached" });
    }
    await page.getByRole("link", { name: "Values that occur" }).click();
    await page.getByRole("heading", { level: 1, name: "Values that occur" }).waitFor();
    if (javaScript) await look(page, "events-values");
    await page.getByRole("region", { name: "Addresses" }).getByRole("link", { name: "192.0.2.77" }).click();
    await settled(page, /q=192/);
    assert.deepEqual(await listed(page), await log(organisation, "entityType=MOCK_API&q=192.0.2.77"));
    await page.goBack();
    await page.getByRole("region", { name: "Outcomes" }).getByRole("link", { name: "FAILURE" }).click();
    await settled(page, /outcome=FAILURE/);
    assert.equal((await listed(page)).length, 1);
    await table(page).getByText("failed", { exact: true }).waitFor();
  });
}

scene("changes are shown as a difference", async (scene) => {
  const organisation = await scene.system.organisation();
  const before = { name: "Payments", limits: { requests: 100, burst: 20 }, tags: ["a", "b"], gone: true, same: { deep: [1, 2] } };
  const after = { name: "Payments v2", limits: { requests: 100, burst: 40 }, tags: ["a", "c"], came: null, same: { deep: [1, 2] } };
  const [update, creation, deletion] = await organisation.record([
    event(1, { before, after, context: { ipAddress: "192.0.2.1", userAgent: "curl/8" }, metadata: { ticket: "OPS-1" } }),
    event(0, { after }),
    event(2, { before }),
  ]);
  const page = await scene.signedIn(organisation, { role: "auditor" });
  await page.goto(`${eventsPage(scene.system)}/${update.uuid}`);
  const changes = page.getByRole("table", { name: "Changes" });
  const rows = await changes.getByRole("row").evaluateAll((rows) => rows.slice(1).map((row) => [...row.cells].map((cell) => cell.innerText.replaceAll(/\s+/g, " ").trim())));
  assert.deepEqual(rows.map(([member, old, now]) => [member.split(" ")[0], old.replace(/ none$/, ""), now.replace(/ none$/, "")]).sort(), [
    ["came", "—", "null"],
    ["gone", "true", "—"],
    ["limits.burst", "20", "40"],
    ["name", `"Payments"`, `"Payments v2"`],
    ["tags[1]", `"b"`, `"c"`],
  ].sort());
  assert.deepEqual(rows.map(([member]) => member.split(" ")[1]).sort(), ["added", "changed", "changed", "changed", "removed"]);
  await look(page, "event-difference");
  await page.goto(`${eventsPage(scene.system)}/${creation.uuid}`);
  await page.getByRole("table", { name: "State after" }).waitFor();
  await look(page, "event-created");
  await page.goto(`${eventsPage(scene.system)}/${deletion.uuid}`);
  await page.getByRole("table", { name: "State before" }).waitFor();
});

scene("each bar of the chart links to its period", async (scene) => {
  const organisation = await scene.system.demo();
  const page = await scene.signedIn(organisation, { role: "auditor" });
  await look(page, "events-demo-day");
  await page.getByRole("group", { name: "Time" }).getByRole("link", { name: "7 days" }).click();
  await settled(page, /range=7d/);
  await look(page, "events-demo-week");
  const chart = page.getByRole("region", { name: "Events over time" });
  const bars = chart.getByRole("link");
  const count = await bars.count();
  assert.ok(count > 10, `${count} bars`);
  // The highest bar except the last one, whose period has not ended.
  const labels = await bars.evaluateAll((links) => links.map((link) => link.getAttribute("aria-label")));
  const events = (label) => Number(label.match(/: ([\d\u202f]+) events?$/)[1].replaceAll("\u202f", ""));
  const index = labels.slice(0, -1).reduce((best, label, at) => (events(label) > events(labels[best]) ? at : best), 0);
  await bars.nth(index).click();
  await settled(page, /since=/);
  const { searchParams } = new URL(page.url());
  const [since, until] = [searchParams.get("since"), searchParams.get("until")];
  const expected = await log(organisation, `since=${since}&until=${until}`);
  assert.equal(expected.length, events(labels[index]));
  const found = await listed(page);
  assert.deepEqual(found, expected.slice(0, found.length));
  await look(page, "events-demo-bar");
  await page.getByRole("group", { name: "Time" }).getByRole("link", { name: "All" }).click();
  await settled(page, /range=all/);
  await look(page, "events-demo-all");
}, () => ["--demo"]);

scene("times are in the user's time zone, with UTC as a tooltip", async (scene) => {
  const { organisation, page } = await withEvents(scene, 3, { zone: "Asia/Kolkata" });
  const check = async (page, zone) => {
    const times = await page.locator("time").evaluateAll((times) => times.map(({ dateTime, textContent, title }) => ({ dateTime, text: textContent, title })));
    assert.ok(times.length > 3);
    for (const { dateTime, text, title } of times) {
      const local = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" }).format(new Date(dateTime));
      assert.ok(text.includes(local), `${text} of ${dateTime} in ${zone}`);
      assert.ok(title.includes("UTC") && title.includes(dateTime.slice(11, 19)), title);
    }
  };
  await check(page, "Asia/Kolkata");
  await page.getByText("Times are in your time zone, Asia/Kolkata.").or(page.getByText("Times are in your time zone, Asia/Calcutta.")).waitFor();
  await check(await scene.signedIn(organisation, { role: "auditor", zone: "America/New_York" }), "America/New_York");

  // The filter uses the same zone: everything happened after an hour ago, nothing after an hour from now.
  const typed = (hours) => {
    const parts = Object.fromEntries(new Intl.DateTimeFormat("sv-SE", { timeZone: "Asia/Kolkata", dateStyle: "short", timeStyle: "short" }).formatToParts(new Date(Date.now() + hours * 3_600_000)).map(({ type, value }) => [type, value]));
    return `${parts.year}-${parts.month}-${parts.day}T${parts.hour}:${parts.minute}`;
  };
  await page.getByLabel(/^From/).fill(typed(-1));
  await show(page);
  await settled(page, /since=/);
  assert.equal(new URL(page.url()).searchParams.get("since").endsWith("Z"), true, page.url());
  assert.ok((await listed(page)).length >= 3);
  assert.equal((await page.getByLabel(/^From/).inputValue()).slice(0, 16), typed(-1).slice(0, 16));
  await page.getByLabel(/^From/).fill(typed(1));
  await show(page);
  await page.getByRole("heading", { name: "No events" }).waitFor();

  const plain = await scene.signedIn(organisation, { role: "auditor", zone: "Asia/Kolkata", javaScript: false });
  await plain.getByText("Times are in UTC.").waitFor();
  const [time] = await plain.locator("table time").allInnerTexts();
  assert.match(time, new RegExp(`^${new Date().toISOString().slice(0, 10)} \\d\\d:\\d\\d:\\d\\d$`));
  await plain.getByLabel(/^From/).fill(new Date(Date.now() - 3_600_000).toISOString().slice(0, 16));
  await show(plain);
  await settled(plain, /since=/);
  assert.ok((await listed(plain)).length >= 3);
});

scene("thousands of events", async (scene) => {
  const { organisation, page } = await withEvents(scene, 5000);
  await page.goto(eventsPage(scene.system, "?q=Mock+API+17"));
  await table(page).waitFor();
  const found = await listed(page);
  assert.deepEqual(found, (await log(organisation, "q=Mock+API+17")).slice(0, found.length));
  assert.ok(found.length >= 49);
  await page.goto(eventsPage(scene.system));
  assert.equal(await table(page).getByRole("row").count(), 1 + 50);
  await look(page, "events-thousands");
});

scene("long names and the largest events", async (scene) => {
  const organisation = await scene.system.organisation({ name: `The ${"very ".repeat(30)}long company` });
  const long = "x".repeat(1000);
  const reference = { id: long, name: long, entityType: long.slice(0, 200), email: long.slice(0, 200) };
  const wide = Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`member ${index} ${long.slice(0, 50)}`, long.slice(0, 300)]));
  const receipts = await organisation.record([
    event(1, { entity: reference, principal: reference, subject: reference, type: long.slice(0, 200), before: wide, after: { ...wide, [long]: long } }),
    ...Array.from({ length: 60 }, () => event(1, { entity: reference, principal: reference })),
  ]);
  const page = await scene.signedIn(organisation, { role: "auditor", user: { id: "1", name: long.slice(0, 200) } });
  await look(page, "events-long");
  await page.goto(`${eventsPage(scene.system)}/${receipts[0].uuid}`);
  await look(page, "event-long");
});

scene("a filter and an event can be used with the keyboard alone", async (scene) => {
  const { page } = await withEvents(scene, 5);
  // Two links lead to the first row.
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("link", { name: "Skip to the events" }));
  await page.keyboard.press("Enter");
  let stops = 0;
  for (const first = table(page).getByRole("link").first(); !(await first.evaluate((link) => link === document.activeElement)); stops += 1) {
    assert.ok(stops < 4, "the first row is further than four stops");
    await page.keyboard.press("Tab");
  }
  // Letters move, and can be switched off.
  await page.goto(eventsPage(scene.system));
  const links = table(page).getByRole("link");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  assert.ok(await links.nth(1).evaluate((link) => link === document.activeElement));
  await page.keyboard.press("k");
  assert.ok(await links.first().evaluate((link) => link === document.activeElement));
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  await page.getByLabel(/^Keys:/).uncheck();
  await page.keyboard.press("j");
  assert.equal(await page.evaluate(() => document.activeElement.id), "keys");
  await page.getByLabel(/^Keys:/).check();
  await page.goto(eventsPage(scene.system));
  await tabTo(page, page.getByLabel("Text", { exact: true }));
  await page.keyboard.type("Mock API 3");
  await page.keyboard.press("Enter");
  await settled(page, /q=Mock/);
  await tabTo(page, table(page).getByRole("link").first());
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: /Mock API 3$/ }).waitFor();
});
