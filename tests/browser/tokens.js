// The section "Tokens": tokens are listed, created, replaced and revoked.

import assert from "node:assert/strict";

import { look, scene } from "./scene.js";

const TOKEN = /annals_[A-Za-z0-9]{12}_[A-Za-z0-9]{38,}/;
const notice = (page, text) => page.getByRole("status").filter({ hasText: text }).first();
const rowOf = (page, name) => page.getByRole("row").filter({ has: page.getByRole("rowheader", { name, exact: true }) });
const tokensPage = (system) => `${system.api}/console/tokens`;

/** Creates a token on the page and returns its text. */
async function create(page, { name, role = "Auditor: reads the log", expires = "In 90 days", date }) {
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Role").selectOption({ label: role });
  await page.getByLabel("Expires").selectOption({ label: expires });
  if (date !== undefined) await page.getByLabel("Date", { exact: true }).fill(date);
  await page.getByRole("button", { name: "Create the token" }).click();
  const created = page.getByRole("region", { name: "Copy the token now" });
  await created.waitFor();
  return (await created.innerText()).match(TOKEN)[0];
}

/** Follows a link to a question. Returns the dialog or, without JavaScript, the page. */
async function ask(page, link, javaScript) {
  await link.click();
  const question = javaScript ? page.getByRole("dialog") : page.getByRole("main");
  await question.getByRole("heading", { name: /\?$|^Replace/ }).waitFor();
  return question;
}

for (const javaScript of [true, false]) {
  const how = javaScript ? "" : ", without JavaScript";

  scene(`a token is shown once, works, and is revoked${how}`, async (scene) => {
    const { system } = scene;
    const organisation = await system.organisation();
    const page = await scene.signedIn(organisation, { javaScript });
    await page.getByRole("link", { name: "Tokens" }).click();
    await page.getByRole("heading", { level: 1, name: "Tokens" }).waitFor();
    if (javaScript) await look(page, "tokens-none");

    const token = await create(page, { name: "SIEM collector" });
    if (javaScript) await look(page, "tokens-created");
    await page.reload();
    assert.equal(await page.getByRole("rowheader", { name: "SIEM collector" }).count(), 1, "a reload creates another one");
    assert.ok(!(await page.content()).includes(token), "a reload shows it again");
    await system.call(200, "GET", "/audit?pageSize=1", { token });
    await system.call(403, "GET", `${organisation.path}/tokens`, { token });

    // The secret is not in the address, and is not shown again.
    const secret = token.slice("annals_".length + 12);
    assert.ok(!page.url().includes(secret));
    await page.goto(tokensPage(system));
    assert.ok(!(await page.content()).includes(secret), "it is shown again");
    assert.match(await rowOf(page, "SIEM collector").innerText(), /auditor[\s\S]*Active/i);
    if (javaScript) await look(page, "tokens-one");

    const revoke = rowOf(page, "SIEM collector").getByRole("link", { name: "Revoke SIEM collector" });
    let question = await ask(page, revoke, javaScript);
    await question.getByText("SIEM collector").waitFor();
    if (javaScript) await look(page, "tokens-revoke");
    await question.getByRole("link", { name: "No" }).or(question.getByRole("button", { name: "No" })).click();
    await question.getByRole("heading", { name: /\?$/ }).waitFor({ state: "hidden" });
    await system.call(200, "GET", "/audit?pageSize=1", { token });
    question = await ask(page, revoke, javaScript);
    await question.getByRole("button", { name: "Yes" }).click();
    await notice(page, "Revoked").waitFor();
    await system.call(401, "GET", "/audit?pageSize=1", { token });
    assert.equal(await rowOf(page, "SIEM collector").getByText("Active").count(), 0);
  });

  scene(`a token is replaced${how}`, async (scene) => {
    const { system } = scene;
    const organisation = await system.organisation();
    const page = await scene.signedIn(organisation, { javaScript });
    await page.goto(tokensPage(system));
    const old = await create(page, { name: "Nightly job", expires: "In 30 days" });
    await page.goto(tokensPage(system));
    const question = await ask(page, page.getByRole("link", { name: "Replace Nightly job" }), javaScript);
    if (javaScript) await look(page, "tokens-replace");
    await question.getByLabel("The old token").selectOption({ label: "Expires immediately" });
    await question.getByRole("button", { name: "Create the new token" }).click();
    const created = page.getByRole("region", { name: "Copy the token now" });
    await created.waitFor();
    const token = (await created.innerText()).match(TOKEN)[0];
    if (javaScript) await look(page, "tokens-replaced");
    assert.notEqual(token, old);
    await system.call(200, "GET", "/audit?pageSize=1", { token });
    await system.call(401, "GET", "/audit?pageSize=1", { token: old });
  });

  scene(`every fault of a new token is shown at its field${how}`, async (scene) => {
    const organisation = await scene.system.organisation();
    const page = await scene.signedIn(organisation, { javaScript });
    await page.goto(tokensPage(scene.system));
    const [name, date] = [page.getByLabel("Name", { exact: true }), page.getByLabel("Date", { exact: true })];
    await name.fill("x".repeat(201));
    await page.getByLabel("Expires").selectOption({ label: "At a date" });
    await date.fill("2020-01-31");
    await page.getByRole("button", { name: "Create the token" }).click();
    await page.getByRole("alert").waitFor();
    assert.equal(await name.getAttribute("aria-invalid"), "true");
    assert.equal(await date.getAttribute("aria-invalid"), "true");
    assert.equal(await name.inputValue(), "x".repeat(201));
    assert.equal(await date.inputValue(), "2020-01-31");
    if (javaScript) await look(page, "tokens-faults");
    await date.fill(new Date(Date.now() + 30 * 86_400_000).toISOString().slice(0, 10));
    await name.fill("Right");
    await page.getByRole("button", { name: "Create the token" }).click();
    await page.getByRole("region", { name: "Copy the token now" }).waitFor();
  });
}

scene("the text of a token can be copied", async (scene) => {
  const page = await scene.signedIn(await scene.system.organisation(), { permissions: ["clipboard-read", "clipboard-write"] });
  await page.goto(tokensPage(scene.system));
  const token = await create(page, { name: "To be copied" });
  await page.getByRole("button", { name: "Copy Token", exact: true }).click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), token);
});

scene("producers' tokens are listed but cannot be changed", async (scene) => {
  const { system } = scene;
  const organisation = await system.organisation();
  const token = await organisation.token("producer");
  const page = await scene.signedIn(organisation);
  await page.goto(tokensPage(system));
  const row = rowOf(page, "Test producer");
  assert.match(await row.innerText(), /producer/i);
  assert.equal(await row.getByRole("link").count(), 0);
  const formToken = await page.locator("input[name=formToken]").first().inputValue();
  const id = token.split("_")[1];
  const revoked = await page.request.post(`${system.api}/console/tokens/${id}/revoke`, { form: { formToken } });
  assert.ok([403, 404].includes(revoked.status()), `status ${revoked.status()}`);
  await organisation.record([{ action: "CREATE", entity: { id: "1", name: "x", entityType: "X" }, principal: { id: "1", name: "x", entityType: "USER" } }]);
});

scene("the token limit", async (scene) => {
  const { system } = scene;
  const organisation = await system.organisation();
  for (let number = 1; number <= 100; number += 1) {
    const name = number % 10 === 0 ? `A very long name ${"of a token ".repeat(15)}${number}` : `Collector ${number}`;
    await system.call(201, "POST", `${organisation.path}/tokens`, { body: { name, role: "auditor" } });
  }
  const page = await scene.signedIn(organisation);
  await page.goto(tokensPage(system));
  await page.getByText("There are already 100 tokens").waitFor();
  assert.ok((await page.getByRole("row").count()) >= 100);
  await look(page, "tokens-many");
  await page.getByLabel("Name", { exact: true }).fill("One more");
  await page.getByRole("button", { name: "Create the token" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "One more");
});
