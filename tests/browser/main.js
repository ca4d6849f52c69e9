// Tests of the console in a real browser, against a running annals-local:
//
//   node --test-reporter=spec main.js PROGRAM [CHROMIUM]
//
// PROGRAM is the path of annals-local. Screenshots are written to screenshots/. `bash .ci/run browser` installs what is needed.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import { Scene, launchBrowser, scenes, stage } from "./scene.js";
import { System, foreignSite } from "./system.js";

import "./detectors.js";
import "./sign_in.js";
import "./forgery.js";
import "./frames.js";
import "./destinations.js";
import "./tokens.js";
import "./events.js";
import "./hostile.js";
import "./brand.js";

const [program, chromium = "/usr/bin/chromium"] = process.argv.slice(2);
const CONCURRENCY = 3;
const SCENE_TIMEOUT_MS = 300_000;

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(signal, () => process.exit(1));

before(async () => {
  stage.site = await foreignSite();
  stage.browser = await launchBrowser(chromium);
});

after(async () => {
  await stage.browser?.close();
  await stage.site?.stop();
});

describe("the console", { concurrency: CONCURRENCY }, () => {
  for (const { name, run, options } of scenes) {
    it(name, { timeout: SCENE_TIMEOUT_MS }, async () => {
      const scene = new Scene(name, await System.start(program, ...options()));
      let failure;
      try {
        await run(scene);
      } catch (error) {
        failure = error;
      }
      const faults = await scene.end({ failed: failure !== undefined });
      if (failure && faults.length > 0) failure.message += `\nand: ${faults.join("\n")}`;
      if (failure) throw failure;
      assert.deepEqual(faults, []);
    });
  }
});
