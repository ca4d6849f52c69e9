// Forged forms.

import assert from "node:assert/strict";

import { look, scene, stage } from "./scene.js";

/** Sends a form from a page of another site by clicking its button. Returns the status of the response. */
async function sendFrom(page, origin, action, fields) {
  const inputs = Object.entries(fields).map(([name, value]) => `<input type="hidden" name="${name}" value="${value}">`);
  await page.goto(origin + stage.site.put(`<form method="post" action="${action}">${inputs.join("")}<button>Win</button></form>`));
  const answered = page.waitForResponse((response) => response.url() === action);
  await page.getByRole("button", { name: "Win" }).click();
  return (await answered).status();
}

const formToken = (page) => page.locator("input[name=formToken]").first().inputValue();

scene("a form of another origin is refused, even with the form token", async (scene) => {
  const organisation = await scene.system.organisation();
  const { origin, otherSite } = stage.site;
  const page = await scene.signedIn(organisation, { hosts: [origin, otherSite] });
  const token = await formToken(page);
  assert.match(token, /^[0-9a-f]{64}$/);
  const leave = `${scene.system.api}/console/leave`;
  const save = `${scene.system.api}/console/destinations`;
  const fields = { bucket: organisation.bucket, roleArn: organisation.roleArn };
  // Another port is another origin, but the same site: the browser sends the cookie.
  assert.equal(await sendFrom(page, origin, leave, {}), 403);
  await page.getByRole("heading", { level: 1, name: "Nothing was changed" }).waitFor();
  await look(page, "forged");
  assert.equal(await sendFrom(page, origin, leave, { formToken: token }), 403);
  assert.equal(await sendFrom(page, origin, save, { ...fields, formToken: token }), 403);
  // From another site, the browser does not send it.
  assert.equal(await sendFrom(page, otherSite, leave, { formToken: token }), 401);
  assert.equal(await sendFrom(page, otherSite, save, { ...fields, formToken: token }), 401);

  assert.equal((await page.goto(`${scene.system.api}/console/destinations`)).status(), 200, "still signed in");
  assert.equal(await organisation.destination(), undefined);
});

scene("a form without its form token, or with that of another session, is refused", async (scene) => {
  const organisation = await scene.system.organisation();
  const page = await scene.signedIn(organisation);
  const other = await scene.signedIn(organisation);
  const [own, others] = [await formToken(page), await formToken(other)];
  assert.notEqual(own, others);
  const leave = `${scene.system.api}/console/leave`;
  for (const form of [{}, { formToken: "" }, { formToken: others }, { formToken: own.slice(1) }]) {
    assert.equal((await page.request.post(leave, { form })).status(), 403, JSON.stringify(form));
  }
  // The right form token, but the browser says that another site sent the form.
  const headers = { "sec-fetch-site": "cross-site" };
  assert.equal((await page.request.post(leave, { form: { formToken: own }, headers })).status(), 403);
  assert.equal((await page.reload()).status(), 200, "still signed in");
  assert.equal((await page.request.post(leave, { form: { formToken: own } })).status(), 200, "the right form token");
  assert.equal((await page.reload()).status(), 401);
});

scene("a link cannot change anything", async (scene) => {
  const page = await scene.signedIn(await scene.system.organisation());
  assert.equal((await page.request.get(`${scene.system.api}/console/leave`)).status(), 405);
  assert.equal((await page.reload()).status(), 200);
});
