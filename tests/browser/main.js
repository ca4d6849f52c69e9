// The organisation's page in a real browser, against the running program:
//
//   node --test-reporter=spec main.js PROGRAM [CHROMIUM]
//
// PROGRAM is annals-local. Screenshots are left in screenshots/. `bash .ci/run browser` does all of it.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Scene, launchBrowser, scenes, stage } from "./scene.js";
import { System, foreignSite } from "./system.js";

import "./detectors.js";
import "./entrance.js";
import "./forgery.js";
import "./frames.js";
import "./destinations.js";
import "./tokens.js";
import "./events.js";
import "./hostile.js";

const [program, chromium = "/usr/bin/chromium"] = process.argv.slice(2);
const AT_ONCE = 3;
const SCENE_MS = 180_000;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

before(async () => {
  stage.site = await foreignSite();
  stage.browser = await launchBrowser(chromium);
});

after(async () => {
  await stage.browser?.close();
  await stage.site?.stop();
});

describe("the organisation's page", { concurrency: AT_ONCE }, () => {
  for (const { name, play, options } of scenes) {
    it(name, { timeout: SCENE_MS }, async () => {
      const played = new Scene(name, await System.start(program, ...options()));
      let failure;
      try {
        await play(played);
      } catch (error) {
        failure = error;
      }
      const faults = await played.end({ failed: failure !== undefined });
      if (failure && faults.length > 0) failure.message += `\nand: ${faults.join("\n")}`;
      if (failure) throw failure;
      assert.deepEqual(faults, []);
    });
  }
});
