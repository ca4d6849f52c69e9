// What every scene looks for is found where there is something to find.

import assert from "node:assert/strict";

import { look, scene, stage } from "./scene.js";
import { check } from "./hostile.js";

/** A page that is wrong in one way is found to be. */
function detects(what, html, pattern, play = async () => {}) {
  scene(`that would be noticed: ${what}`, async (scene) => {
    const page = await scene.person({ hosts: [stage.site.origin] });
    await page.goto(stage.site.origin + stage.site.put(html));
    await play(page);
    const deadline = Date.now() + 5000;
    while (!page.faults.some((fault) => pattern.test(fault)) && Date.now() < deadline) await page.evaluate(() => {});
    page.expectFault(pattern);
    page.faults.length = 0;
  });
}

/** Looking at a page that is wrong in one way fails. */
function dislikes(what, html, pattern) {
  scene(`that would be noticed: ${what}`, async (scene) => {
    const page = await scene.person({ hosts: [stage.site.origin] });
    await page.goto(stage.site.origin + stage.site.put(html));
    await assert.rejects(look(page, null), (error) => pattern.test(error.message));
  });
}

detects("an error in a script", "<script>missing()</script>", /error in the page: .*missing/);
detects("a complaint in the console", "<script>console.error('oh')</script>", /console: oh/);
detects("a dialog", "<script>alert('oh')</script>", /dialog of the browser: oh/);
detects("another host", "<img src='http://localhost:1/x' alt=''>", /request to http:\/\/localhost:1\/x/);
detects("a missing file", "<link rel=stylesheet href=/missing.css>", /status 404: .*missing.css/);
detects("a page that is too large", "x".repeat(100_001), /\d+ bytes: /);
detects(
  "a violated policy",
  `<meta http-equiv=Content-Security-Policy content="script-src 'none'"><script>1</script>`,
  /security policy: script-src/,
);

const PAGE = "<main><h1>A page</h1>";
dislikes("a field without a name", `${PAGE}<input></main>`, /axe \(light, 1440\): label/);
dislikes("too little contrast in the dark", `<meta name=color-scheme content="light dark"><style>body { background: light-dark(white, black); color: light-dark(black, white) } p { color: light-dark(black, #333) }</style>${PAGE}<p>Hardly to be read</p></main>`, /axe \(dark, 360\): color-contrast/);
dislikes("something wider than the window", `${PAGE}<pre>${"x".repeat(200)}</pre></main>`, /scrolls sideways/);

scene("that would be noticed: an attack that creates elements", async (scene) => {
  const page = await scene.person({ hosts: [stage.site.origin] });
  for (const attack of ["<img alt=''>", "<b onclick=1>x</b>", "<a href='javascript:1'>x</a>", "<script>1</script>"]) {
    await page.goto(stage.site.origin + stage.site.put(attack));
    await assert.rejects(check(page, "elsewhere"), attack);
  }
});
