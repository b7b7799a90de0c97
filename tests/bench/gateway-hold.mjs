/**
 * A client of `gateway.ts`: makes sessions, with a run in each that has ended, and says so; when it is told to go on it
 * begins many runs in each, says when all have printed something, and holds them until it is killed.
 */

import { once } from "node:events";
import { task } from "./measure.mjs";

const { endpoint, sessions, runs, code } = task();
const { AGB, CreateSessionParams } = await import("agbcloud-sdk");
const agb = new AGB({ apiKey: "load", config: { endpoint } });
const made = await Promise.all(Array.from({ length: sessions }, () => agb.create(new CreateSessionParams({ imageId: "load" }))));
for (const { session, errorMessage } of made) {
  const result = session === undefined ? { success: false, errorMessage } : await session.code.run("blast n=10 s=64", "python");
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
}
console.log("sessions");
await once(process.stdin, "data");
const held = await Promise.all(
  made.flatMap(({ session }) =>
    Array.from({ length: runs }, async () => {
      const run = session.code.stream(code, "python", { timeoutS: 3_600, logLimit: 0 });
      const events = run[Symbol.asyncIterator](); // a loop that is left would stop the run
      for (;;) {
        const { value, done } = await events.next();
        if (done) {
          throw new Error((await run.result).errorMessage);
        }
        if (value.type === "stdout") {
          return events;
        }
      }
    }),
  ),
);
console.log("runs");
setInterval(() => held.length, 60_000);
