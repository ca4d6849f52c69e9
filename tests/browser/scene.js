// A scene is one test. It has its own program, and users with their own browsers.
//
// In every scene, a browser must not report an error, send a request to another host, or get a response that is broken or too
// large.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
const SCHEMES = ["light", "dark"];
const WIDTHS = [1440, 360];
/** WCAG 2.2, 1.4.10 "Reflow". */
const NARROWEST = 320;
const MAX_PAGE_BYTES = 100_000;
const TIMEOUT_MS = 20_000;
export const SCREENSHOTS = new URL("screenshots/", import.meta.url).pathname;

/** All scenes, in the order in which they were written. */
export const scenes = [];

/** What all scenes share: a browser, and a site of another origin. main.js sets both. */
export const stage = { site: undefined, browser: undefined };

/** Declares a scene. `run` is called with a [`Scene`]; `options` returns the arguments of its program. */
export function scene(name, run, options = () => []) {
  scenes.push({ name, run, options });
}

export async function launchBrowser(executablePath) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const rendering = ["--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none"];
  // main.js handles signals.
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  return await chromium.launch({ executablePath, headless: true, chromiumSandbox: false, ...signals, args: [...quiet, ...rendering] });
}

export class Scene {
  #users = [];

  /** `system` belongs to this scene alone, with its own AWS. */
  constructor(name, system) {
    this.name = name;
    this.system = system;
  }

  /** A user with a new browser context, and nothing opened yet. */
  async newUser({ javaScript = true, zone = "Europe/Berlin", width = WIDTHS[0], hosts = [], ...options } = {}) {
    const context = await stage.browser.newContext({
      javaScriptEnabled: javaScript,
      timezoneId: zone,
      locale: "en-GB",
      viewport: { width, height: 900 },
      colorScheme: "light",
      reducedMotion: "reduce",
      acceptDownloads: true,
      ...options,
    });
    context.setDefaultTimeout(TIMEOUT_MS);
    const faults = watch(context, [this.system.api, ...hosts]);
    const expected = [];
    this.#users.push({ context, faults, expected });
    const page = await context.newPage();
    page.faults = faults;
    // Asserts that a fault has happened, and allows it from now on.
    page.expectFault = (pattern) => {
      assert.ok(faults.some((fault) => pattern.test(fault)), `no fault like ${pattern} among ${JSON.stringify(faults)}`);
      expected.push(pattern);
    };
    return page;
  }

  /** A user who has signed in by a portal link. */
  async signedIn(organisation, { role = "admin", user, ...options } = {}) {
    const page = await this.newUser(options);
    await openLink(page, await organisation.portalLink(role, user));
    return page;
  }

  /** Ends the scene. Returns the faults that were not expected. */
  async end({ failed }) {
    const faults = [];
    for (const [index, user] of this.#users.entries()) {
      if (failed) {
        for (const page of user.context.pages()) {
          const path = join(SCREENSHOTS, `failed-${this.name.replaceAll(/\W+/g, "-")}-${index}.png`);
          await page.screenshot({ path, fullPage: true, timeout: 3000 }).catch(() => {});
        }
      }
      await user.context.close();
      faults.push(...user.faults.filter((fault) => !user.expected.some((pattern) => pattern.test(fault))));
    }
    await this.system.stop();
    return faults;
  }
}

/** Collects everything that no page may cause. */
function watch(context, hosts) {
  const faults = [];
  const isOurs = (url) => /^(data|blob|about):/.test(url) || hosts.some((host) => url === host || url.startsWith(`${host}/`));
  context.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (violation) => {
      console.error(`security policy: ${violation.violatedDirective} ${violation.blockedURI}`);
    });
  });
  context.on("weberror", (error) => faults.push(`error in the page: ${error.error()}`));
  context.on("dialog", (dialog) => {
    faults.push(`a browser dialog: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  context.on("console", (message) => {
    // Responses are checked below.
    const isStatus = /^Failed to load resource: the server responded with a status of/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isStatus) faults.push(`console: ${message.text()}`);
  });
  context.on("request", (request) => {
    if (!isOurs(request.url())) faults.push(`a request to ${request.url()}`);
  });
  context.on("response", (response) => {
    const [status, request] = [response.status(), response.request()];
    const isDocument = request.resourceType() === "document";
    if (request.headers()["sec-purpose"]) return; // a prefetch, which is refused
    if (status >= 500 || (status >= 400 && !isDocument)) faults.push(`status ${status}: ${response.url()}`);
    const { "content-type": type = "", "content-length": bytes } = response.headers();
    if (isOurs(response.url()) && type.startsWith("text/html") && Number(bytes) > MAX_PAGE_BYTES) {
      faults.push(`${bytes} bytes: ${response.url()}`);
    }
  });
  return faults;
}

/** Opens a portal link, as a user does who clicks what it shows. */
export async function openLink(page, link) {
  assert.equal((await page.goto(link)).status(), 200);
  await page.getByRole("button", { name: "Open the audit log" }).click();
  await page.getByRole("banner").waitFor();
}

/**
 * Checks the current page in light and dark mode, on wide and narrow screens: axe finds no violation, and nothing is wider than
 * the window. Takes screenshots named after `state`.
 */
export async function look(page, state) {
  const before = page.viewportSize();
  const hasScript = await page.evaluate(AXE).then(() => true);
  assert.ok(hasScript);
  const faults = [];
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: width > 500 ? 900 : 780 });
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      const path = state === null ? undefined : join(SCREENSHOTS, `${state}-${colorScheme}-${width}.png`);
      await page.screenshot({ path, fullPage: true, animations: "disabled" });
      const violations = await page.evaluate(async (tags) => {
        const result = await axe.run(document, { runOnly: tags, resultTypes: ["violations"], elementRef: false });
        return result.violations.map(({ id, nodes }) => `${id}: ${nodes.slice(0, 5).map((node) => `${node.target} ${node.html.slice(0, 200)} ${node.failureSummary?.slice(0, 300)}`).join(" | ")}`);
      }, AXE_TAGS);
      faults.push(...violations.map((violation) => `axe (${colorScheme}, ${width}): ${violation}`));
    }
  }
  await page.setViewportSize({ width: NARROWEST, height: 780 });
  const wide = await page.evaluate(() => {
    const { clientWidth, scrollWidth } = document.documentElement;
    if (scrollWidth <= clientWidth) return [];
    // Finds the innermost elements that are too wide, except those inside an element that scrolls.
    const isClipped = (element) => {
      if (getComputedStyle(element).position === "absolute") return false;
      for (let outer = element.parentElement; outer; outer = outer.parentElement) {
        if (getComputedStyle(outer).overflowX !== "visible" && outer.getBoundingClientRect().right <= clientWidth + 1) return true;
      }
      return false;
    };
    const isBeyond = (element) => {
      const { left, right } = element.getBoundingClientRect();
      const isTextBeyond = getComputedStyle(element).overflowX === "visible" && left + element.scrollWidth > clientWidth + 1;
      return right > clientWidth + 1 || (element.clientWidth > 0 && isTextBeyond);
    };
    const beyond = [...document.querySelectorAll("body *")].filter((element) => isBeyond(element) && !isClipped(element)).reverse();
    return [`${scrollWidth} wide in ${clientWidth}:`, ...beyond.slice(0, 4).map((element) => element.outerHTML.slice(0, 150))];
  });
  if (wide.length > 0) faults.push(`the page scrolls sideways: ${wide.join(" ")}`);
  await page.setViewportSize(before);
  await page.emulateMedia({ colorScheme: "light" });
  if (faults.length > 0) assert.fail(`${state}:\n${faults.join("\n")}`);
}

/** Moves the focus to an element with the Tab key. Every element on the way must show that it has the focus. */
export async function tabTo(page, locator) {
  for (let stops = 0; stops < 60; stops += 1) {
    await page.keyboard.press("Tab");
    const { found, isVisible, html } = await locator.evaluate((element) => {
      const focused = document.activeElement;
      const outlines = [undefined, "::after"].map((part) => getComputedStyle(focused, part));
      const hasOutline = outlines.some(({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) >= 2);
      const box = focused.getBoundingClientRect();
      const isInView = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
      const isVisible = focused === document.body || (hasOutline && isInView);
      return { found: focused === element, isVisible, html: focused.outerHTML.slice(0, 200) };
    });
    assert.ok(isVisible, `the focus is not visible: ${html}`);
    if (found) return;
  }
  assert.fail(`not reached by Tab: ${locator}`);
}
