// Signing in and out.

import assert from "node:assert/strict";

import { look, openLink, scene, stage } from "./scene.js";
import { event } from "./system.js";

scene("a portal link signs an administrator in once", async (scene) => {
  const organisation = await scene.system.organisation();
  const link = await organisation.portalLink();
  const page = await scene.newUser();
  await page.goto(link);
  await page.getByText("Ada Bell (ada@example.com)").waitFor();
  await look(page, "entrance");
  await openLink(page, link);
  assert.equal(new URL(page.url()).pathname, "/console/destinations");
  assert.equal(await page.getByRole("navigation", { name: "Sections" }).getByRole("link").count(), 3);
  assert.deepEqual(await page.getByRole("navigation").getByRole("link").allInnerTexts(), ["Audit Events", "Event viewer", "Tokens"]);
  assert.ok((await page.title()).endsWith("· Northwind Mills"));
  await page.getByText("Ada Bell").waitFor();

  const other = await scene.newUser();
  assert.equal((await other.goto(link)).status(), 410);
  await other.getByRole("heading", { level: 1, name: "This link has been used" }).waitFor();
  assert.deepEqual(await other.context().cookies(), []);
  await look(other, "entrance-link-used");

  assert.equal((await page.reload()).status(), 200, "the first session continues");
  const signedIn = (await organisation.log()).filter((event) => event.principal.id === "42");
  assert.equal(signedIn.length, 1, JSON.stringify(signedIn));
  assert.equal(signedIn[0].principal.email, "ada@example.com");
});

scene("the cookie is limited to this host, to 8 hours, and hidden from scripts", async (scene) => {
  const page = await scene.signedIn(await scene.system.organisation());
  const [cookie, ...others] = await page.context().cookies();
  assert.deepEqual(others, []);
  const { name, value, expires, ...rest } = cookie;
  assert.deepEqual(rest, { domain: "127.0.0.1", path: "/", httpOnly: true, secure: false, sameSite: "Lax" });
  assert.equal(name, "annals");
  assert.match(value, /^[A-Za-z0-9]{43}$/);
  assert.ok(Math.abs(expires - Date.now() / 1000 - 28_800) < 30, `it expires at ${expires}`);
  assert.equal(await page.evaluate(() => document.cookie), "");
  assert.ok(!(await page.content()).includes(value), "the page contains it");
});

scene("HEAD requests and prefetching do not use up a link", async (scene) => {
  const organisation = await scene.system.organisation();
  const link = await organisation.portalLink();
  const page = await scene.newUser({ hosts: [stage.site.otherSite] });
  const head = await page.request.head(link);
  assert.equal(head.status(), 405);
  assert.equal(head.headers()["set-cookie"], undefined);
  const ended = (event) => page.waitForEvent(event, (request) => request.url() === link).catch(() => null);
  const prefetched = Promise.race([ended("requestfailed"), ended("requestfinished")]);
  await page.goto(stage.site.otherSite + stage.site.put(`<link rel="prefetch" href="${link}"><a href="${link}">Audit log</a>`));
  // The prefetch is refused, and the other site cannot read the response.
  assert.ok(await prefetched, "the browser did not prefetch it");
  assert.deepEqual(await page.context().cookies(), []);
  await page.getByRole("link", { name: "Audit log" }).click();
  await page.getByRole("button", { name: "Open the audit log" }).click();
  await page.getByRole("banner").waitFor();
  assert.equal(new URL(page.url()).pathname, "/console/destinations");
  page.expectFault(/ERR_BLOCKED_BY_RESPONSE/);
});

scene("an unknown link is refused", async (scene) => {
  const page = await scene.newUser();
  for (const token of ["x", "A".repeat(43), "%00", encodeURIComponent("<script>alert(1)</script>")]) {
    assert.equal((await page.goto(`${scene.system.api}/console/enter/${token}`)).status(), 404, token);
    await page.getByRole("heading", { name: "There is no such link" }).waitFor();
  }
});

scene("links and sessions expire", async (scene) => {
  const organisation = await scene.system.organisation();
  const link = await organisation.portalLink();
  await scene.system.end("link", link.split("/").at(-1));
  const late = await scene.newUser();
  assert.equal((await late.goto(link)).status(), 410);
  await late.getByRole("heading", { name: "This link has expired" }).waitFor();

  const page = await scene.signedIn(organisation);
  assert.equal((await page.reload()).status(), 200);
  const [cookie] = await page.context().cookies();
  await scene.system.end("session", cookie.value);
  assert.equal((await page.reload()).status(), 401);
  await page.getByRole("heading", { level: 1, name: "You are not signed in" }).waitFor();
});

for (const javaScript of [true, false]) {
  scene(`a deep link leads back after the sign-in${javaScript ? "" : ", without JavaScript"}`, async (scene) => {
    const organisation = await scene.system.organisation();
    const [{ uuid }] = await organisation.record([event(1)]);
    const page = await scene.newUser({ javaScript });
    assert.equal((await page.goto(`${scene.system.api}/console/events/${uuid}?range=7d`)).status(), 401);
    await openLink(page, await organisation.portalLink("auditor"));
    assert.equal(page.url(), `${scene.system.api}/console/events/${uuid}?range=7d`);
    await page.getByRole("heading", { level: 1, name: /Mock API 1$/ }).waitFor();
    await openLink(page, await organisation.portalLink("auditor"));
    assert.equal(new URL(page.url()).pathname, "/console/events", "it leads there once");
  });
}

scene("without a session every page says what to do", async (scene) => {
  const page = await scene.newUser();
  for (const path of ["/console", "/console/destinations", "/console/events", "/console/tokens"]) {
    assert.equal((await page.goto(scene.system.api + path)).status(), 401, path);
    await page.getByRole("heading", { level: 1, name: "You are not signed in" }).waitFor();
  }
  await page.getByText("the page that you asked for opens").waitFor();
  await look(page, "entrance-not-signed-in");
  const { hostname: domain } = new URL(scene.system.api);
  await page.context().addCookies([{ name: "annals", value: "A".repeat(43), domain, path: "/" }]);
  assert.equal((await page.goto(`${scene.system.api}/console/events`)).status(), 401, "an unknown session");
});

for (const javaScript of [true, false]) {
  const how = javaScript ? "" : ", without JavaScript";
  scene(`signing out ends the session on the server${how}`, async (scene) => {
    const page = await scene.signedIn(await scene.system.organisation(), { javaScript });
    const cookies = await page.context().cookies();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { level: 1, name: "You have signed out" }).waitFor();
    assert.deepEqual(await page.context().cookies(), []);
    if (javaScript) await look(page, "entrance-signed-out");
    await page.context().addCookies(cookies);
    assert.equal((await page.goto(`${scene.system.api}/console/events`)).status(), 401, "the old cookie");
  });
}

scene("an auditor reads events and cannot administer", async (scene) => {
  const organisation = await scene.system.organisation();
  const page = await scene.signedIn(organisation, { role: "auditor", user: { id: "7", name: "Grace Moss" } });
  assert.equal(new URL(page.url()).pathname, "/console/events");
  assert.deepEqual(await page.getByRole("navigation").getByRole("link").allInnerTexts(), ["Event viewer"]);
  for (const path of ["/console/destinations", "/console/tokens", "/console/nowhere"]) {
    assert.equal((await page.goto(scene.system.api + path)).status(), 404, path);
    await page.getByRole("heading", { level: 1, name: "Page not found" }).waitFor();
  }
  await look(page, "entrance-no-such-page");
  assert.equal((await page.goto(`${scene.system.api}/console`)).status(), 200);
  assert.equal(new URL(page.url()).pathname, "/console/events");
});

scene("a session only sees its own organisation", async (scene) => {
  const [one, other] = await Promise.all([scene.system.organisation({ name: "One" }), scene.system.organisation({ name: "Other" })]);
  await other.record([{ action: "CREATE", entity: { id: "secret", name: "Secret", entityType: "KEY" }, principal: { id: "1", name: "P", entityType: "USER" } }]);
  const page = await scene.signedIn(one);
  for (const path of ["/console/events", "/console/destinations", "/console/tokens"]) {
    await page.goto(scene.system.api + path);
    assert.ok(!(await page.content()).includes("Secret") && !(await page.title()).includes("Other"), path);
  }
});

scene("every response has the security headers", async (scene) => {
  const page = await scene.signedIn(await scene.system.organisation());
  const pages = ["/console/destinations", "/console/events", "/console/tokens", "/console/nowhere", "/console/enter/x"];
  const assets = await page.evaluate(() => [...document.querySelectorAll("link[rel=stylesheet], script")].map((element) => new URL(element.href ?? element.src).pathname));
  assert.equal(assets.length, 2);
  for (const path of [...pages, ...assets]) {
    const headers = (await page.request.get(scene.system.api + path)).headers();
    const policy = headers["content-security-policy"];
    for (const directive of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"]) {
      assert.ok(policy.split(/; */).includes(directive), `${path}: ${directive} in ${policy}`);
    }
    assert.ok(!/unsafe|\*|http/.test(policy), policy);
    assert.equal(headers["x-content-type-options"], "nosniff", path);
    assert.equal(headers["referrer-policy"], "no-referrer", path);
    const cacheControl = assets.includes(path) ? "public, max-age=31536000, immutable" : "no-store";
    assert.equal(headers["cache-control"], cacheControl, path);
  }
});
