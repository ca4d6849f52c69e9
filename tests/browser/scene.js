// A scene: one test, with people in browsers who look at the page of an organisation of its own.
//
// Whatever happens in it, a browser may not complain, ask another host, or get an answer that is broken or too large.

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
const PATIENCE_MS = 20_000;
export const SCREENSHOTS = new URL("screenshots/", import.meta.url).pathname;

/** All scenes, in the order in which they were written. */
export const scenes = [];

/** What scenes share: a browser, and a site that is not ours. Set by who runs them. */
export const stage = { site: undefined, browser: undefined };

/** Says that there is a scene. `play` is called with a [`Scene`]; `options` gives what its program is started with. */
export function scene(name, play, options = () => []) {
  scenes.push({ name, play, options });
}

export async function launchBrowser(executablePath) {
  mkdirSync(SCREENSHOTS, { recursive: true });
  const quiet = ["--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const looks = ["--disable-gpu", "--hide-scrollbars", "--font-render-hinting=none"];
  // Who runs the scenes sees to signals.
  const signals = { handleSIGINT: false, handleSIGTERM: false, handleSIGHUP: false };
  return await chromium.launch({ executablePath, headless: true, chromiumSandbox: false, ...signals, args: [...quiet, ...looks] });
}

export class Scene {
  #people = [];

  /** `system` is a program of its own: what it ships, and what AWS it has, is no other scene's business. */
  constructor(name, system) {
    this.name = name;
    this.system = system;
  }

  /** Somebody in a browser of their own, who has not opened anything yet. */
  async person({ javaScript = true, zone = "Europe/Berlin", width = WIDTHS[0], hosts = [], ...options } = {}) {
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
    context.setDefaultTimeout(PATIENCE_MS);
    const faults = watch(context, [this.system.api, ...hosts]);
    const expected = [];
    this.#people.push({ context, faults, expected });
    const page = await context.newPage();
    page.faults = faults;
    // For what happens on purpose: it has happened, and may happen again.
    page.expectFault = (pattern) => {
      assert.ok(faults.some((fault) => pattern.test(fault)), `no fault like ${pattern} among ${JSON.stringify(faults)}`);
      expected.push(pattern);
    };
    return page;
  }

  /** Somebody who has entered an organisation's page. */
  async visitor(organisation, { role = "admin", user, ...options } = {}) {
    const page = await this.person(options);
    const response = await page.goto(await organisation.portalLink(role, user));
    assert.equal(response.status(), 200);
    return page;
  }

  /** Ends the scene: no browser may have complained. */
  async end({ failed }) {
    const faults = [];
    for (const [index, person] of this.#people.entries()) {
      if (failed) {
        for (const page of person.context.pages()) {
          const path = join(SCREENSHOTS, `failed-${this.name.replaceAll(/\W+/g, "-")}-${index}.png`);
          await page.screenshot({ path, fullPage: true, timeout: 3000 }).catch(() => {});
        }
      }
      await person.context.close();
      faults.push(...person.faults.filter((fault) => !person.expected.some((pattern) => pattern.test(fault))));
    }
    await this.system.stop();
    return faults;
  }
}

/** Collects what no page may cause. */
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
    faults.push(`a dialog of the browser: ${dialog.message()}`);
    dialog.dismiss().catch(() => {});
  });
  context.on("console", (message) => {
    // That a page was refused is looked at where its response is.
    const isStatus = /^Failed to load resource: the server responded with a status of/.test(message.text());
    if (["error", "warning"].includes(message.type()) && !isStatus) faults.push(`console: ${message.text()}`);
  });
  context.on("request", (request) => {
    if (!isOurs(request.url())) faults.push(`a request to ${request.url()}`);
  });
  context.on("response", (response) => {
    const [status, request] = [response.status(), response.request()];
    const isDocument = request.resourceType() === "document";
    if (request.headers()["sec-purpose"]) return; // nobody has asked for it yet
    if (status >= 500 || (status >= 400 && !isDocument)) faults.push(`status ${status}: ${response.url()}`);
    const { "content-type": type = "", "content-length": bytes } = response.headers();
    if (isOurs(response.url()) && type.startsWith("text/html") && Number(bytes) > MAX_PAGE_BYTES) {
      faults.push(`${bytes} bytes: ${response.url()}`);
    }
  });
  return faults;
}

/**
 * Looks at a page as it stands: axe finds nothing, and nothing is wider than the window, light and dark, wide and narrow;
 * and leaves screenshots.
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
    // The innermost: an element, or a text that does not fit into it; but for what scrolls within an element that fits.
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

/** Goes to something by Tab alone. Whatever has the focus on the way can be seen to have it. */
export async function tabTo(page, locator) {
  for (let stops = 0; stops < 60; stops += 1) {
    await page.keyboard.press("Tab");
    const { found, isSeen, html } = await locator.evaluate((element) => {
      const focused = document.activeElement;
      const outlines = [undefined, "::after"].map((part) => getComputedStyle(focused, part));
      const hasOutline = outlines.some(({ outlineStyle, outlineWidth }) => outlineStyle !== "none" && parseFloat(outlineWidth) >= 2);
      const box = focused.getBoundingClientRect();
      const isInView = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
      const isSeen = focused === document.body || (hasOutline && isInView);
      return { found: focused === element, isSeen, html: focused.outerHTML.slice(0, 200) };
    });
    assert.ok(isSeen, `the focus cannot be seen: ${html}`);
    if (found) return;
  }
  assert.fail(`not reached by Tab: ${locator}`);
}
