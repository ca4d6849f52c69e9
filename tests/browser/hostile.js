// Values of events and users are always shown as text.

import assert from "node:assert/strict";

import { look, openLink, scene } from "./scene.js";

/** Texts that would call `hacked` or send a request to another host if they became markup, an attribute, an address or a
 * script. */
const ATTACKS = [
  `<script>hacked()</script>`,
  `</script><script>hacked()</script>`,
  `<img src=x onerror=hacked()>`,
  `"><svg onload=hacked()>`,
  `'><iframe srcdoc="<script>parent.hacked()</script>"></iframe>`,
  `" autofocus onfocus=hacked() x="`,
  `' onmouseover='hacked()`,
  `</title></style></textarea></template><body onload=hacked()>`,
  `javascript:hacked()`,
  `data:text/html,<script>hacked()</script>`,
  `<a href="javascript:hacked()">click</a>`,
  `<form action=//evil.example><button>Save</button></form>`,
  `<meta http-equiv=refresh content="0;url=//evil.example">`,
  `<link rel=stylesheet href=//evil.example/x.css>`,
  `<base href=//evil.example/>`,
  `<style>@import "//evil.example/x.css"</style>`,
  `<!--<img src="--><img src=x onerror=hacked()//">`,
  `<![CDATA[><script>hacked()</script>]]>`,
  `<math><mtext></table><mglyph><style><img src=x onerror=hacked()>`,
  `&lt;script&gt;hacked()&lt;/script&gt;&#60;b&#62;`,
  `{{constructor.constructor('hacked()')()}}\${hacked()}`,
  `\u202e\u2066txt.exe\u2069\u202c\u200b`,
  `=HYPERLINK("//evil.example")`,
  `../../../console/leave?x=1#y`,
  `%3Cscript%3Ehacked()%3C/script%3E`,
];

/** All attacks in one text, for long fields. */
const ALL = ATTACKS.join(" ");

/** An event with the attack in every value and in every name that a producer chooses. */
function hostileEvent(attack) {
  const reference = (role) => ({ id: attack, name: `${role} ${attack}`, entityType: attack, email: attack, [attack]: attack });
  return {
    action: attack,
    type: attack,
    clientType: attack,
    entity: reference("entity"),
    principal: reference("principal"),
    parentEntity: reference("parent"),
    subject: reference("subject"),
    permission: { permissions: [{ id: attack, friendlyId: attack }] },
    before: { [attack]: attack, both: attack, list: [attack, { [attack]: attack }] },
    after: { [`${attack} after`]: attack, both: `${attack} after`, list: [{ [attack]: null }, attack] },
    context: { ipAddress: attack, userAgent: attack, requestId: attack, location: attack, [attack]: attack },
    payload: { [attack]: [attack] },
    metadata: { [attack]: attack },
  };
}

/** A signed-in user whose browser reports an attack that succeeds. */
async function watchedUser(scene, organisation, options = {}) {
  const page = await scene.newUser(options);
  await page.context().addInitScript(() => {
    globalThis.hacked = () => console.error("an attack has succeeded");
  });
  await openLink(page, await organisation.portalLink(options.role, options.user));
  return page;
}

/** Asserts that no element of the page comes from an attack. */
export async function check(page, where) {
  const found = await page.evaluate(() => {
    const isInjected = (element) => {
      const tag = element.tagName.toUpperCase();
      const addresses = ["href", "src", "action", "formaction", "xlink:href", "data"].map((name) => element.getAttribute(name));
      return ["IFRAME", "IMG", "BASE", "OBJECT", "EMBED", "STYLE", "MATH"].includes(tag)
        || (tag === "SCRIPT" && !element.src)
        || (tag === "META" && element.httpEquiv)
        || element.hasAttribute("srcdoc")
        || [...element.attributes].some(({ name }) => name.startsWith("on"))
        || addresses.some((address) => address !== null && new URL(address, location.href).origin !== location.origin);
    };
    const injected = [...document.querySelectorAll("*")].filter(isInjected).map((element) => element.outerHTML.slice(0, 200));
    return document.querySelectorAll("script").length > 1 ? [...injected, "more than one script"] : injected;
  });
  assert.deepEqual(found, [], where);
}

/** Whether the page shows a text. White space may differ, and invisible characters are replaced. */
async function shows(page, text) {
  const visible = text.replaceAll(/[\u200b\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return await page.evaluate((text) => {
    const plain = (text) => text.replaceAll(/\s+/g, " ").trim();
    return plain(document.querySelector("main").textContent).includes(plain(text));
  }, visible);
}

scene("every value of an event is shown as text", async (scene) => {
  const organisation = await scene.system.organisation();
  const receipts = await organisation.record([...ATTACKS, ALL].map(hostileEvent));
  const page = await watchedUser(scene, organisation, { role: "auditor" });
  await check(page, "the list");
  for (const attack of ATTACKS.filter((attack) => attack.length < 30)) assert.ok(await shows(page, attack), `the list does not show ${attack}`);
  for (const [index, { uuid }] of receipts.entries()) {
    const response = await page.goto(`${scene.system.api}/console/events/${uuid}`);
    assert.equal(response.status(), 200);
    const attack = ATTACKS[index];
    await check(page, attack ?? "all in one");
    if (attack !== undefined) assert.ok(await shows(page, attack), `the event does not show ${attack}`);
  }
  await look(page, "hostile-event");

  // As filters, in addresses.
  for (const attack of ATTACKS) {
    const text = encodeURIComponent(attack);
    const response = await page.goto(`${scene.system.api}/console/events?q=${text}&type=${text}&principalId=${text}`);
    assert.equal(response.status(), 200, attack);
    await check(page, `filter: ${attack}`);
    const labelled = page.getByLabel("Principal ID", { exact: true });
    assert.equal(await labelled.inputValue(), attack);
  }
  for (const path of ["/console/events", "/console/destinations", "/console/tokens", "/console/events/export"]) {
    for (const name of ["since", "range", "done", "destination", "format", "from", "x"]) {
      await page.goto(`${scene.system.api}${path}?${name}=${encodeURIComponent(ALL)}&${encodeURIComponent(ALL)}=1`);
      await check(page, `${path}?${name}`);
    }
  }
});

scene("names of organisations, users and tokens are shown as text", async (scene) => {
  const { system } = scene;
  const organisation = await system.organisation();
  const token = await organisation.token("admin");
  const names = ATTACKS.filter((attack) => !/[\u202a-\u202e\u2066-\u2069]/.test(attack));
  const page = await watchedUser(scene, organisation);
  for (const name of names) {
    await organisation.change({ name });
    await system.call(201, "POST", `${organisation.path}/tokens`, { token, body: { name, role: "auditor" } });
    const link = await organisation.portalLink("admin", { id: name, name, email: name });
    await page.goto(link);
    await check(page, `${name}, at the entrance`);
    await openLink(page, link);
    await check(page, name);
    const shown = name.replaceAll(/\s+/g, " ");
    const banner = await page.getByRole("banner").innerText();
    assert.equal(banner.split(shown).length, 3, `the organisation's name and the user's: ${banner}`);
    assert.ok((await page.title()).endsWith(shown), await page.title());
  }
  for (const path of ["/console/events", "/console/tokens", "/console/events/export?format=csv"]) {
    await page.goto(system.api + path);
    await check(page, path);
  }
  await page.goto(`${system.api}/console/tokens`);
  for (const name of names) assert.ok(await shows(page, name.slice(0, 20)), name);
  await look(page, "hostile-tokens");
});

scene("an invalid form shows its values as text", async (scene) => {
  const organisation = await scene.system.organisation();
  const page = await watchedUser(scene, organisation);
  for (const attack of [...ATTACKS, ALL]) {
    await page.goto(`${scene.system.api}/console/destinations`);
    await page.getByLabel("Bucket name").fill(attack);
    await page.getByLabel("Role ARN").fill(attack);
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByRole("alert").waitFor();
    assert.equal(await page.getByLabel("Bucket name").inputValue(), attack.replaceAll("\n", ""));
    await check(page, attack);
  }
  await page.goto(`${scene.system.api}/console/tokens`);
  await page.getByLabel("Name", { exact: true }).fill(ALL);
  await page.getByRole("button", { name: "Create the token" }).click();
  await page.getByRole("alert").waitFor();
  await check(page, "a token's name");
});
