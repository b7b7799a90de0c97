/**
 * A client of `resume-memory.ts`: begins one run on each session, says when all have got to `until`, and holds them until
 * it is killed. What it is sent from then on it does not read.
 */

import { report, task } from "./measure.mjs";

const { accesses, code, until } = task();
const { Session } = await import("agbcloud-sdk");
const began = performance.now();
const held = await Promise.all(accesses.map(begin));
report({ ids: held.map(({ run }) => run.id), seconds: (performance.now() - began) / 1000 });
setInterval(() => held.length, 60_000);

async function begin(access) {
  const run = Session.attach(access).code.stream(code, "python", { timeoutS: 900, logLimit: 0 });
  const events = run[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await events.next();
    if (done) {
      throw new Error(`a run ended before ${until}: ${(await run.result).errorMessage}`);
    }
    if (value.type === until) {
      return { run, events };
    }
  }
}
