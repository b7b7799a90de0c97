/**
 * `begin SESSION CODE`: begins a run, prints what it saw as JSON once there is something, and dies without a goodbye.
 * `attach SESSION RUN AFTER`: takes a run up, and prints all that came.
 */

import { writeSync } from "node:fs";

import { AGB } from "agbcloud-sdk";

const [what, sessionId = "", subject = "", after = "0"] = process.argv.slice(2);
const { session, errorMessage } = await new AGB().get(sessionId);
if (session === undefined) {
  throw new Error(errorMessage);
}
const run = what === "begin" ? session.code.stream(subject, "python") : session.code.attach(subject, { afterSeq: Number(after) });
let [text, last] = ["", 0];
for await (const event of run) {
  last = event.seq;
  if (event.type === "stdout") {
    text += event.text;
  }
  if (what === "begin" && text.includes("line 50\n")) {
    report({});
    process.kill(process.pid, "SIGKILL");
  }
}
const { status, results } = await run.result;
report({ status, results: results.map((result) => result.text) });

function report(more: object): void {
  writeSync(1, `${JSON.stringify({ id: run.id, text, last, ...more })}\n`);
}
