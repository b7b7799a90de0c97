/**
 * The measured process of `resume.ts`: one program, run and read by the SDK's public API over each of two accesses, which
 * differ in the extensions that they offer. Both in one process and one after the other, so that what else goes on on
 * the machine meets both.
 */

import { readFileSync } from "node:fs";
import { report, task } from "./measure.mjs";

const { accesses, code, pid } = task();
const { Session } = await import("agbcloud-sdk");
const sessions = accesses.map((access) => Session.attach(access));
for (const session of sessions) {
  await session.code.run("print(1)", "python", 60, true, () => {}); // the interpreter's start and the connection
}
const figures = [];
for (const session of sessions) {
  globalThis.gc?.();
  let characters = 0;
  const [began, server, client] = [performance.now(), processorMs(pid), process.cpuUsage()];
  const result = await session.code.run(code, "python", 60, { logLimit: 0, onStdout: (chunk) => void (characters += chunk.length) });
  if (!result.success) {
    throw new Error(result.errorMessage);
  }
  const used = process.cpuUsage(client);
  figures.push({
    characters,
    seconds: (performance.now() - began) / 1000,
    clientMs: (used.user + used.system) / 1000,
    serverMs: processorMs(pid) - server,
  });
}
report(figures);

/** Processor time of a process so far: counted in hundredths of a second, on every Linux that Node runs on. */
function processorMs(process) {
  const stat = readFileSync(`/proc/${process}/stat`, "utf8");
  const [user, system] = stat.slice(stat.lastIndexOf(")") + 2).split(" ").slice(11, 13);
  return (Number(user) + Number(system)) * 10;
}
