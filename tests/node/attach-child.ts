/**
 * `begin SESSION CODE`: begins a run, prints what it saw as JSON once there is something, and dies without a goodbye.
 * `hesitate SESSION CODE`: the same, and it dies over the very first output, when the program has long ended.
 * `attach SESSION RUN AFTER`: takes a run up, and prints all that came.
 */

import { writeSync } from "node:fs";

import { AGB } from "agbcloud-sdk";

const [what, sessionId = "", subject = "", after = "0"] = process.argv.slice(2);
const { session, errorMessage } = await new AGB().get(sessionId);
if (session === undefined) {
  throw new Error(errorMessage);
}
const run = what === "attach" ? session.code.attach(subject, { afterSeq: Number(after) }) : session.code.stream(subject, "python");
let [text, last] = ["", 0];
for await (const event of run) {
  last = event.seq;
  if (event.type === "stdout") {
    text += event.text;
  }
  if (what === "begin" ? text.includes("line 50\n") : what === "hesitate" && text !== "") {
    await new Promise((resolve) => setTimeout(resolve, what === "hesitate" ? 1_500 : 0));
    report({});
    process.kill(process.pid, "SIGKILL");
  }
}
const { status, results } = await run.result;
report({ status, results: results.map((result) => result.text) });

function report(more: object): void {
  writeSync(1, `${JSON.stringify({ id: run.id, text, last, ...more })}\n`);
}
