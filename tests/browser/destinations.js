// The section "Audit Events": a destination from its creation to its deletion, in every state.

import assert from "node:assert/strict";

import { look, openLink, scene, tabTo } from "./scene.js";
import { event } from "./system.js";

const button = (page, name) => page.getByRole("button", { name: new RegExp(`^(✓ ?)?${name}\\b`) });
const testButton = (page) => button(page, "Test");
const summary = (page, text) => page.locator("summary").filter({ hasText: text });
const notice = (page, text) => page.getByRole("status").filter({ hasText: text }).first();
const YET_TO_BE_SENT = "Audit events are yet to be sent to this destination";

/** Fills in the form for a new destination and saves it. */
async function save(page, { bucket, roleArn }) {
  await page.getByLabel("Bucket name").fill(bucket);
  await page.getByLabel("Role ARN").fill(roleArn);
  await button(page, "Save").click();
}

/** Whether a button is green. */
async function isGreen(locator) {
  const colour = await locator.evaluate((element) => getComputedStyle(element).backgroundColor);
  const [red, green, blue] = colour.match(/\d+/g).map(Number);
  return green > red + 20 && green > blue + 20;
}

/** An organisation with a working destination, and a user who looks at it. */
async function withDestination(scene, options = {}) {
  const organisation = await scene.system.organisation();
  organisation.setUpAws();
  const { id } = await organisation.saveDestination();
  return { organisation, id, page: await scene.signedIn(organisation, options) };
}

for (const javaScript of [true, false]) {
  const how = javaScript ? "" : ", without JavaScript";

  scene(`a destination is saved, set up and tested${how}`, async (scene) => {
    const organisation = await scene.system.organisation();
    const page = await scene.signedIn(organisation, { javaScript });
    await page.getByText(organisation.externalId).waitFor();
    if (javaScript) await look(page, "destinations-empty");

    await save(page, organisation);
    await notice(page, "Saved").waitFor();
    await page.getByText(YET_TO_BE_SENT).waitFor();
    const destination = await organisation.destination();
    assert.equal(destination.bucket, organisation.bucket);
    assert.equal(destination.roleArn, organisation.roleArn);
    assert.equal(await isGreen(testButton(page)), false);
    if (javaScript) await look(page, "destinations-saved");

    // Nothing is set up in AWS yet.
    await testButton(page).click();
    await page.getByRole("heading", { name: "Test failed" }).waitFor();
    await page.getByText("Test failed", { exact: true }).first().waitFor();
    const step = page.getByRole("listitem").filter({ hasText: "Assume the role" }).first();
    assert.match(await step.innerText(), /failed[\s\S]*role_not_assumable[\s\S]*cannot be assumed[\s\S]*AWS answered/);
    assert.equal(await isGreen(testButton(page)), false);
    if (javaScript) await look(page, "destinations-test-failed");

    // The role exists, but without permissions.
    organisation.setUpAws(({ role }) => { role.policies = []; });
    await testButton(page).click();
    await page.getByText("put_denied").waitFor();
    await page.getByRole("group", { name: "aws iam put-role-policy" }).or(page.locator("figcaption", { hasText: "aws iam put-role-policy" })).first().waitFor();
    if (javaScript) await look(page, "destinations-test-half");

    organisation.setUpAws();
    await testButton(page).click();
    await page.getByRole("heading", { name: "Test passed", exact: true }).waitFor();
    assert.equal(await isGreen(testButton(page)), true);
    if (javaScript) await page.getByRole("status").filter({ hasText: /^Test passed$/ }).waitFor({ state: "attached" });
    assert.equal(await notice(page, "Saved").count(), 0, "the earlier notice is still shown");
    if (javaScript) await look(page, "destinations-test-passed");
    const [object, ...others] = organisation.objects();
    assert.equal(object.key, "test-wiremock-cloud-integration.txt");
    assert.match(object.text, new RegExp(new Date().toISOString().slice(0, 4)));
    assert.deepEqual(others, []);

    // The result is stored.
    await page.goto(`${scene.system.api}/console/destinations`);
    await page.getByRole("heading", { name: "Test passed", exact: true }).waitFor();
    assert.equal(await isGreen(testButton(page)), true);
  });

  scene(`an invalid form shows its values and faults${how}`, async (scene) => {
    const organisation = await scene.system.organisation();
    const page = await scene.signedIn(organisation, { javaScript });
    const [bucket, role] = [page.getByLabel("Bucket name"), page.getByLabel("Role ARN")];
    await save(page, { bucket: "s3://My bucket", roleArn: "arn:aws:iam::1:role/x" });
    await page.getByRole("alert").waitFor();
    for (const [field, typed] of [[bucket, "s3://My bucket"], [role, "arn:aws:iam::1:role/x"]]) {
      assert.equal(await field.inputValue(), typed);
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      const described = (await field.getAttribute("aria-describedby")).split(" ");
      assert.match(await page.locator(`[id="${described[0]}"]`).innerText(), /^(Bucket name|Role ARN) .+\.$/);
    }
    if (javaScript) {
      assert.ok(await bucket.evaluate((element) => element === document.activeElement), "the first one has the focus");
      await look(page, "destinations-faults");
    }

    await bucket.fill(organisation.bucket);
    await button(page, "Save").click();
    await page.getByRole("alert").waitFor();
    assert.equal(await bucket.getAttribute("aria-invalid"), null);
    assert.equal(await role.getAttribute("aria-invalid"), "true");

    assert.equal(await organisation.destination(), undefined);
    await save(page, organisation);
    await notice(page, "Saved").waitFor();
  });

  scene(`Delete asks for confirmation${how}`, async (scene) => {
    const { organisation, id, page } = await withDestination(scene, { javaScript });
    const ask = async () => {
      await page.getByRole("link", { name: /^Delete/ }).or(button(page, "Delete")).click();
      const dialog = javaScript ? page.getByRole("dialog") : page.getByRole("main");
      await dialog.getByRole("heading", { name: "Delete this destination?" }).waitFor();
      await dialog.getByText(organisation.bucket).waitFor();
      return dialog;
    };
    const isClosed = () => page.getByRole("heading", { name: "Delete this destination?" }).waitFor({ state: "hidden" });
    const no = (dialog) => dialog.getByRole("link", { name: "No" }).or(dialog.getByRole("button", { name: "No" }));

    const dialog = await ask();
    if (javaScript) await look(page, "destinations-delete-dialog");
    await no(dialog).click();
    await isClosed();
    assert.ok(await organisation.destination(), "No has deleted it");
    if (javaScript) {
      await ask();
      await page.keyboard.press("Escape");
      await isClosed();
      assert.ok(await organisation.destination(), "Escape has deleted it");
      await page.goto(`${scene.system.api}/console/destinations/${id}/delete`);
      await look(page, "destinations-delete-page");
      await no(page).click();
      await page.getByRole("heading", { level: 1, name: "Audit Events" }).waitFor();
    }
    await (await ask()).getByRole("button", { name: "Yes" }).click();
    await notice(page, "Deleted").waitFor();
    assert.equal(await organisation.destination(), undefined);
    await page.getByLabel("Bucket name").waitFor();
    if (javaScript) await look(page, "destinations-deleted");
  });

  scene(`a destination is paused and resumed${how}`, async (scene) => {
    const { organisation, page } = await withDestination(scene, { javaScript });
    await organisation.record([event(1)]);
    await button(page, "Pause").click();
    await notice(page, "Paused").waitFor();
    assert.equal((await organisation.destination()).state, "paused");
    if (javaScript) await look(page, "destinations-paused");
    await scene.system.tick();
    assert.deepEqual(organisation.objects(), []);
    await button(page, "Resume").click();
    await notice(page, "Resumed").waitFor();
    await scene.system.tick();
    assert.equal(organisation.objects().length, 1);
    await page.reload();
    await page.getByText("Healthy", { exact: true }).waitFor();
  });
}

scene("policies and templates are copied as the API returns them", async (scene) => {
  const organisation = await scene.system.organisation();
  const { id } = await organisation.saveDestination();
  const page = await scene.signedIn(organisation, { permissions: ["clipboard-read", "clipboard-write"] });
  await testButton(page).click();
  const result = page.getByRole("region", { name: "Test failed" });
  await result.getByRole("button", { name: "Copy Trust policy" }).click();
  await result.getByRole("button", { name: "Copied" }).waitFor();
  const token = await organisation.token("admin");
  const setup = await scene.system.call(200, "GET", `${organisation.path}/destinations/${id}/setup`, { token });
  assert.deepEqual(JSON.parse(await page.evaluate(() => navigator.clipboard.readText())), setup.trustPolicy);

  // Every way to set it up has the values filled in.
  for (const [way, label, expected] of [
    ["Policies", "Permission policy", JSON.stringify(setup.permissionPolicy, null, 2)],
    ["Policies", "Bucket policy", JSON.stringify(setup.bucketPolicy, null, 2)],
    ["AWS CLI", "setup.sh", setup.awsCli.script],
    ["Terraform", "main.tf", setup.terraform.files["main.tf"]],
    ["CloudFormation", "destination.yaml", setup.cloudFormation.template],
  ]) {
    const details = page.locator("details").filter({ has: page.getByRole("heading", { name: way, exact: true }) }).last();
    if (!(await details.evaluate((element) => element.open))) await details.locator("summary").click();
    await details.getByRole("button", { name: `Copy ${label}`, exact: true }).click();
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    if (label.endsWith("policy")) assert.deepEqual(JSON.parse(copied), JSON.parse(expected), way);
    else assert.equal(copied, expected, way);
    await look(page, `destinations-setup-${way.toLowerCase().replaceAll(" ", "-")}`);
  }
});

scene("deliveries are shown as a table and as charts", async (scene) => {
  const { organisation, page } = await withDestination(scene);
  await look(page, "destinations-no-deliveries");
  for (let round = 1; round <= 4; round += 1) {
    await organisation.record(Array.from({ length: round * 10 }, (_, index) => event(index)));
    await scene.system.tick();
  }
  await page.reload();
  await page.getByText("Healthy", { exact: true }).waitFor();
  const table = page.getByRole("table", { name: "Deliveries" });
  assert.equal(await table.getByRole("row").count(), 1 + 4);
  const delivered = organisation.objects();
  assert.equal(delivered.length, 4);
  for (const { key } of delivered) await table.getByText(key).waitFor();
  assert.equal(await page.locator("figure.chart").count(), 0, "they are all in the same ten minutes");
  await table.getByText(/^[0-9a-f]{64}$/).first().waitFor();
  await look(page, "destinations-deliveries");

  await Array.from({ length: 24 }).reduce(async (before, _, index) => {
    await before;
    await organisation.record([event(index)]);
    await scene.system.tick();
  }, Promise.resolve());
  await page.reload();
  await page.getByRole("link", { name: /^All of the last \d+ deliveries$/ }).click();
  await page.getByRole("heading", { level: 1, name: "The last deliveries" }).waitFor();
  assert.equal(await page.getByRole("table").getByRole("row").count(), 1 + 28);
  await look(page, "destinations-all-deliveries");
});

scene("a failing delivery shows cause and advice until it works again", async (scene) => {
  const { organisation, page } = await withDestination(scene);
  await organisation.record([event(1)]);
  await scene.system.tick();
  organisation.setUpAws(({ role }) => { role.policies = []; });
  await organisation.record([event(2)]);
  await scene.system.tick();
  await page.reload();
  await page.getByText("Failing", { exact: true }).waitFor();
  assert.match(await page.getByRole("main").innerText(), /put_denied/);
  await page.getByText(/^next attempt after /).waitFor();
  await look(page, "destinations-failing");
  organisation.setUpAws();
  await testButton(page).click();
  await page.getByRole("heading", { name: "Test passed", exact: true }).waitFor();
  await page.getByText("Recovering", { exact: true }).waitFor();
  await page.getByText("next attempt within 10 minutes").waitFor();
  await look(page, "destinations-recovering");
  await scene.system.tick();
  await page.goto(`${scene.system.api}/console/destinations`);
  await page.getByText("Healthy", { exact: true }).waitFor();
});

scene("settings are changed, and faults are shown at their fields", async (scene) => {
  const { organisation, page } = await withDestination(scene);
  await summary(page, "Settings").click();
  await page.getByLabel("Key prefix").fill("audit//x");
  await page.getByLabel("Region").fill("Frankfurt");
  await page.getByLabel("Bucket owner").fill("12");
  await button(page, "Save the settings").click();
  await page.getByRole("alert").waitFor();
  for (const label of ["Key prefix", "Region", "Bucket owner"]) {
    assert.equal(await page.getByLabel(label).getAttribute("aria-invalid"), "true", label);
  }
  await look(page, "destinations-settings-faults");
  await page.getByLabel("Key prefix").fill("audit/annals");
  await page.getByLabel("Region").fill("");
  await page.getByLabel("Bucket owner").fill("");
  await page.getByLabel("Compression").selectOption({ label: "gzip: keys end in .gz" });
  await button(page, "Save the settings").click();
  await notice(page, "The settings are saved").waitFor();
  const { prefix, compression } = await organisation.destination();
  assert.match(prefix, /^audit\/annals\/?$/);
  assert.equal(compression, "gzip");
});

scene("events are delivered again", async (scene) => {
  const { organisation, page } = await withDestination(scene);
  await organisation.record(Array.from({ length: 5 }, (_, index) => event(index)));
  await scene.system.tick();
  const before = organisation.objects().length;
  await summary(page, "Replay").click();
  await look(page, "destinations-replay");
  await page.getByLabel("First sequence").fill("3");
  await page.getByLabel("Last sequence").fill("2");
  await button(page, "Replay these sequences").click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Last sequence").getAttribute("aria-invalid"), "true");
  assert.equal(await page.getByLabel("First sequence").inputValue(), "3");
  await look(page, "destinations-replay-faults");
  await page.getByLabel("First sequence").fill("2");
  await page.getByLabel("Last sequence").fill("3");
  await button(page, "Replay these sequences").click();
  await notice(page, "The replay starts").waitFor();
  await page.getByText("A replay is in progress").waitFor();
  await look(page, "destinations-replaying");
  const address = page.url();
  await page.reload();
  assert.equal(await notice(page, "The replay starts").count(), 0, "a reload repeats what was done");
  await scene.system.tick();
  const plain = await scene.signedIn(organisation, { javaScript: false });
  await plain.goto(`${address}&done=replay-started&at=${Date.now()}`);
  await plain.getByRole("heading", { level: 1, name: "Audit Events" }).waitFor();
  assert.equal(await notice(plain, "The replay starts").count(), 0, "the replay is done");
  const replayed = organisation.objects().filter(({ key }) => /replay\//.test(key));
  assert.equal(replayed.length, 1);
  assert.deepEqual(replayed[0].text.trim().split("\n").map((line) => JSON.parse(line).sequence), [2, 3]);
  assert.ok(organisation.objects().length > before);
  await page.goto(`${scene.system.api}/console/destinations`);
  await page.getByRole("table", { name: "Deliveries" }).getByText("replay", { exact: true }).waitFor();

  // By time: everything of this day.
  await summary(page, "Replay").click();
  const [yesterday, tomorrow] = [-1, 1].map((days) => new Date(Date.now() + days * 86_400_000).toISOString().slice(0, 19));
  await page.getByLabel("From (UTC)").fill(yesterday);
  await page.getByLabel("To (UTC)").fill(tomorrow);
  await button(page, "Replay this time").click();
  await notice(page, "The replay starts").waitFor();
  await scene.system.tick();
  assert.equal(organisation.objects().filter(({ key }) => /replay\//.test(key)).length, 2);
});

scene("a plan without delivery is explained", async (scene) => {
  const organisation = await scene.system.organisation({ plan: "team" });
  const page = await scene.signedIn(organisation);
  await page.getByRole("heading", { name: "Your plan does not include delivery" }).waitFor();
  assert.equal(await page.getByLabel("Bucket name").count(), 0);
  await look(page, "destinations-not-in-plan");
  const formToken = await page.locator("input[name=formToken]").first().inputValue();
  const form = { formToken, bucket: organisation.bucket, roleArn: organisation.roleArn };
  const posted = await page.request.post(`${scene.system.api}/console/destinations`, { form });
  assert.ok([403, 409, 422].includes(posted.status()), `status ${posted.status()}`);
  assert.match(await posted.text(), /plan/i);
  assert.equal(await organisation.destination(), undefined);
});

scene("a destination is disabled by its plan, and enabled again", async (scene) => {
  const { organisation, page } = await withDestination(scene);
  await organisation.record([event(1)]);
  await organisation.change({ plan: "team" });
  await page.reload();
  await page.getByText("Disabled", { exact: true }).waitFor();
  assert.equal(await button(page, "Pause").count(), 0);
  await look(page, "destinations-disabled");
  await scene.system.tick();
  assert.deepEqual(organisation.objects(), []);
  await organisation.change({ plan: "enterprise" });
  await scene.system.tick();
  assert.equal(organisation.objects().length, 1);
  await page.reload();
  await page.getByText("Healthy", { exact: true }).waitFor();
});

scene("without a connection, Test reports it and can be used again", async (scene) => {
  const { page } = await withDestination(scene);
  await page.context().setOffline(true);
  await testButton(page).click();
  await notice(page, "No response").waitFor();
  page.expectFault(/ERR_INTERNET_DISCONNECTED/);
  assert.equal(await isGreen(testButton(page)), false);
  await look(page, "destinations-no-connection");
  await page.context().setOffline(false);
  await testButton(page).click();
  await page.getByRole("heading", { name: "Test passed", exact: true }).waitFor();
  assert.equal(await page.getByRole("status").filter({ hasText: "No response" }).count(), 0);
});

scene("after the session has expired, every action says so", async (scene) => {
  const { organisation, page } = await withDestination(scene);
  await organisation.record(Array.from({ length: 60 }, (_, index) => event(index)));
  for (const [path, press] of [
    ["/console/destinations", () => testButton(page).click()],
    ["/console/destinations", () => page.getByRole("link", { name: /^Delete/ }).click()],
    ["/console/destinations", () => button(page, "Pause").click()],
    ["/console/events", () => page.getByRole("link", { name: "Older events" }).click()],
  ]) {
    await openLink(page, await organisation.portalLink());
    await page.goto(scene.system.api + path);
    const [cookie] = await page.context().cookies();
    await scene.system.end("session", cookie.value);
    await press();
    await page.getByRole("heading", { level: 1, name: "You are not signed in" }).waitFor();
  }
  // The requests of the script were refused too: a test, a question, older events.
  page.expectFault(/^status 401/);
  const destination = await organisation.destination();
  assert.equal(destination.state === "paused", false);
});

scene("Save, Test and Delete can be used with the keyboard alone", async (scene) => {
  const organisation = await scene.system.organisation();
  organisation.setUpAws();
  const page = await scene.signedIn(organisation);
  // The first link skips the navigation.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByLabel("Bucket name"));
  await page.keyboard.type(organisation.bucket);
  await tabTo(page, page.getByLabel("Role ARN"));
  await page.keyboard.type(organisation.roleArn);
  await page.keyboard.press("Enter");
  await notice(page, "Saved").waitFor();
  await tabTo(page, testButton(page));
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Test passed", exact: true }).waitFor();
  const ask = page.getByRole("link", { name: /^Delete/ }).or(button(page, "Delete"));
  await tabTo(page, ask);
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.ok(await dialog.evaluate((element) => element.contains(document.activeElement)), "the focus is in the dialog");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  assert.ok(await ask.evaluate((element) => element === document.activeElement), "the focus is back");
  await page.keyboard.press("Enter");
  await dialog.waitFor();
  await tabTo(page, dialog.getByRole("button", { name: "Yes" }));
  await page.keyboard.press("Enter");
  await notice(page, "Deleted").waitFor();
  assert.equal(await organisation.destination(), undefined);
});
