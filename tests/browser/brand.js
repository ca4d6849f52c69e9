// The console as a part of another product: its name, logo, colour, support, and the way there and back.

import assert from "node:assert/strict";

import { look, openLink, scene } from "./scene.js";

const SVG = `<svg xmlns="http://www.w3.org/2000/svg" width="96" height="24" viewBox="0 0 96 24"><circle cx="12" cy="12" r="10" fill="#7a0050"/></svg>`;
const LOGO = `data:image/svg+xml;base64,${Buffer.from(SVG).toString("base64")}`;
const PRODUCT = "https://app.example.com";
const BACK = `${PRODUCT}/settings?tab=audit`;
const OPTIONS = [
  "--product-name", "Acme Cloud",
  "--product-logo", LOGO,
  "--accent-colour", "#7a0050",
  "--support-url", "https://help.example.com/audit",
  "--sign-in-url", `${PRODUCT}/audit`,
  "--return-origins", PRODUCT,
  "--test-object-name", "connection-test.txt",
];

scene("the console appears as a part of the product that embeds it", async (scene) => {
  const organisation = await scene.system.organisation();
  organisation.setUpAws();
  await organisation.saveDestination();
  await scene.system.tick();
  const page = await scene.newUser();
  const asked = "/console/events?outcome=FAILURE";
  assert.equal((await page.goto(scene.system.api + asked)).status(), 401);
  const signIn = page.getByRole("link", { name: "Sign in to Acme Cloud" });
  assert.equal(await signIn.getAttribute("href"), `${PRODUCT}/audit?path=${encodeURIComponent(asked)}`);
  await look(page, "brand-not-signed-in");

  const body = { role: "admin", user: { id: "42", name: "Ada Bell" }, path: asked, returnUrl: BACK };
  const { url } = await scene.system.call(201, "POST", `${organisation.path}/portal-links`, { body });
  await openLink(page, url);
  assert.equal(page.url(), scene.system.api + asked);
  const pages = { events: "/console/events", destinations: "/console/destinations", tokens: "/console/tokens", check: "/console/events/check" };
  for (const [name, path] of Object.entries(pages)) {
    await page.goto(scene.system.api + path);
    const back = page.getByRole("link", { name: "Back to Acme Cloud" });
    assert.equal(await back.getAttribute("href"), BACK);
    assert.ok(await back.locator("img").evaluate((image) => image.naturalWidth > 0), "the logo is shown");
    assert.equal(await page.getByRole("link", { name: "Get help" }).getAttribute("href"), "https://help.example.com/audit");
    const seen = await page.locator("body").innerText();
    assert.ok(!/Annals|WireMock/.test(seen), `${name}: ${seen.match(/.{0,60}(Annals|WireMock).{0,60}/)?.[0]}`);
    await look(page, `brand-${name}`);
  }
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("link", { name: "Back to Acme Cloud" }).waitFor();
  await look(page, "brand-signed-out");
}, () => OPTIONS);
