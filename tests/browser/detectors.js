// Tests of the checks that every scene makes: each of them finds a page that is wrong.

import assert from "node:assert/strict";

import { look, scene, stage } from "./scene.js";
import { check } from "./hostile.js";

/** Declares a scene in which the browser reports a fault. */
function detects(what, html, pattern) {
  scene(`the checks find ${what}`, async (scene) => {
    const page = await scene.newUser({ hosts: [stage.site.origin] });
    await page.goto(stage.site.origin + stage.site.put(html));
    const deadline = Date.now() + 5000;
    while (!page.faults.some((fault) => pattern.test(fault)) && Date.now() < deadline) await page.evaluate(() => {});
    page.expectFault(pattern);
    page.faults.length = 0;
  });
}

/** Declares a scene in which `look` fails. */
function rejects(what, html, pattern) {
  scene(`the checks find ${what}`, async (scene) => {
    const page = await scene.newUser({ hosts: [stage.site.origin] });
    await page.goto(stage.site.origin + stage.site.put(html));
    await assert.rejects(look(page, null), (error) => pattern.test(error.message));
  });
}

detects("an error in a script", "<script>missing()</script>", /error in the page: .*missing/);
detects("an error in the browser's console", "<script>console.error('oh')</script>", /console: oh/);
detects("a dialog", "<script>alert('oh')</script>", /browser dialog: oh/);
detects("a request to another host", "<img src='http://localhost:1/x' alt=''>", /request to http:\/\/localhost:1\/x/);
detects("a missing file", "<link rel=stylesheet href=/missing.css>", /status 404: .*missing.css/);
detects("a page that is too large", "x".repeat(100_001), /\d+ bytes: /);
detects(
  "a violated policy",
  `<meta http-equiv=Content-Security-Policy content="script-src 'none'"><script>1</script>`,
  /security policy: script-src/,
);

const PAGE = "<main><h1>A page</h1>";
rejects("a field without a name", `${PAGE}<input></main>`, /axe \(light, 1440\): label/);
rejects("too little contrast in dark mode", `<meta name=color-scheme content="light dark"><style>body { background: light-dark(white, black); color: light-dark(black, white) } p { color: light-dark(black, #333) }</style>${PAGE}<p>Hardly to be read</p></main>`, /axe \(dark, 360\): color-contrast/);
rejects("an element wider than the window", `${PAGE}<pre>${"x".repeat(200)}</pre></main>`, /scrolls sideways/);

scene("the checks find an attack that creates elements", async (scene) => {
  const page = await scene.newUser({ hosts: [stage.site.origin] });
  for (const attack of ["<img alt=''>", "<b onclick=1>x</b>", "<a href='javascript:1'>x</a>", "<script>1</script>"]) {
    await page.goto(stage.site.origin + stage.site.put(attack));
    await assert.rejects(check(page, "elsewhere"), attack);
  }
});
