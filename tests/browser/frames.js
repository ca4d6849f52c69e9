// The console in an iframe of the product.

import assert from "node:assert/strict";

import { scene, stage } from "./scene.js";

/** The program's arguments: the product's origin is allowed. */
const allowing = () => ["--console-origins", stage.site.origin];
const embedding = (link) => stage.site.put(`<iframe src="${link}" title="Audit log" width="1000" height="700"></iframe>`);

scene("an allowed origin can show the console in an iframe", async (scene) => {
  const organisation = await scene.system.organisation();
  const { origin } = stage.site;
  const page = await scene.newUser({ hosts: [origin] });
  await page.goto(origin + embedding(await organisation.portalLink()));
  const frame = page.frameLocator("iframe");
  await frame.getByRole("button", { name: "Open the audit log" }).click();
  await frame.getByRole("link", { name: "Event viewer" }).click();
  await frame.getByRole("link", { name: "Event viewer", exact: true }).and(frame.locator("[aria-current=page]")).waitFor();
  await frame.getByRole("button", { name: "Sign out" }).click();
  await frame.getByRole("heading", { name: "You have signed out" }).waitFor();
}, allowing);

for (const [where, origin, options] of [
  ["another origin than the allowed one", "otherSite", allowing],
  ["any origin if none is allowed", "origin", () => []],
]) {
  scene(`the console is not shown in an iframe of ${where}`, async (scene) => {
    const organisation = await scene.system.organisation();
    const page = await scene.newUser({ hosts: [stage.site[origin]] });
    const reported = page.waitForEvent("console", (message) => /frame-ancestors/.test(message.text()));
    await page.goto(stage.site[origin] + embedding(await organisation.portalLink()));
    await reported;
    page.expectFault(/frame-ancestors/);
    assert.equal(await page.frameLocator("iframe").getByRole("heading", { level: 1 }).count(), 0);
  }, options);
}
