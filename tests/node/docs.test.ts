/** What the documentation says of the code: every error has its entry, every metric and label of the dashboard is there. */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { startStage } from "./local-server.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** The metrics that a file registers: by name, with a unit, or as a counter by the function that a file has for it. */
function namesOf(source: string): string[] {
  const [, prefix] = /sub_registry_with_prefix\("(\w+)"\)/.exec(source) ?? [];
  const registered = [...source.matchAll(/(?:\.register(_with_unit)?\(|= counter\(all, )\s*"(\w+)"/g)];
  return registered.map(([, unit, name]) => `agb_${prefix === undefined ? "" : `${prefix}_`}${name!}${unit === undefined ? "" : "_seconds"}`);
}

test("each code of an error has an entry that says what to do, and no other has", () => {
  const native = [...read("npm/sdk/src/error-codes.ts").matchAll(/^ {2}\| "([A-Z_]+)"/gm)].map(([, code]) => code!);
  const own = /export type AGBErrorCode =(.*?);/s.exec(read("npm/sdk/src/errors.ts"))![1]!;
  const codes = [...native, ...[...own.matchAll(/"([A-Z_]+)"/g)].map(([, code]) => code!)].sort();
  assert.ok(codes.length > 40);
  const sections = read("npm/docs/errors.md").split(/^## /m).slice(1);
  assert.deepEqual(sections.map((section) => section.split("\n")[0]).sort(), codes);
  assert.deepEqual(sections.filter((section) => !section.includes("**What to do:** ")), []);
});

test("the dashboard and the page of metrics name what the server has", async () => {
  const { server, session, leave } = await startStage();
  await session.code.run("1 / 0", "python");
  const answer = await fetch(`${server.endpoint}/metrics`, { headers: { authorization: `Bearer ${server.apiKey}` } });
  const text = await answer.text();
  await leave();
  const folder = new URL("../../crates/server/src/observe/", import.meta.url);
  const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), "utf8"));
  const source = sources.join("\n");
  // What a quiet server has not yet counted is not in its answer, so the names are those that it registers.
  const names = new Set(sources.flatMap(namesOf));
  const told = new Map([...text.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map(([, name, type]) => [name!, type!]));
  assert.ok(told.size >= 9, text);
  assert.deepEqual([...told.keys()].filter((name) => !names.has(name)), []);
  const page = [...read("npm/docs/operating/metrics.md").matchAll(/^\| `(agb_\w+)` \| (\w+) /gm)];
  assert.deepEqual(page.map(([, name]) => name!).sort(), [...names].sort());
  for (const [, name, type] of page) {
    assert.equal(type, told.get(name!) ?? type, name);
  }
  const { panels } = JSON.parse(read("npm/docs/public/agb-dashboard.json")) as { panels: { targets: { expr: string; legendFormat: string }[] }[] };
  const targets = panels.flatMap((panel) => panel.targets);
  const used = targets.flatMap(({ expr }) => expr.match(/agb_\w+/g) ?? []);
  assert.deepEqual(used.filter((name) => !names.has(name.replace(/_(total|bucket)$/, ""))), []);
  assert.deepEqual([...names].filter((name) => !used.some((each) => each.startsWith(name))), [], "metrics without a panel");
  for (const { expr, legendFormat } of targets) {
    const labels = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label!);
    assert.deepEqual(labels.filter((label) => !source.includes(`("${label}", `)), [], expr);
  }
});
