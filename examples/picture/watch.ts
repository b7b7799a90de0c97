/** The program of the README's picture: follows a run event by event, answers it, and says when a connection was lost. */

import { AGB, throwIfFailed } from "agbcloud-sdk";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const program = readFileSync(new URL("train.py", import.meta.url), "utf8");
const note = (text: string): void => console.log(`\x1b[33m${text}\x1b[0m`);
/** As if somebody typed. */
async function ask(prompt: string): Promise<string> {
  process.stdout.write(prompt);
  for (const key of " 0.008") {
    await sleep(250);
    process.stdout.write(`\x1b[1m${key}\x1b[22m`);
  }
  console.log();
  return "0.008\n";
}

const agb = new AGB();
const { session } = throwIfFailed(await agb.create({ imageId: "agb-code-space-1" }));

// shown: from here
const run = session!.code.stream(program, "python");
for await (const event of run) {
  if (event.type === "stdout") process.stdout.write(event.text);
  if (event.type === "inputRequest") run.write(await ask(event.prompt));
  if (event.type === "error") note("  the connection was cut");
  if (event.type === "reconnected") note("  resumed: no line lost, none twice");
}
note(`status: ${(await run.result).status}`);
// shown: to here
await agb.delete(session!);
