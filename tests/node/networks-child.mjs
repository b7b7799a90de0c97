/**
 * `CONFIG`: creates a session with these settings, runs a program in it, and prints what came of both as JSON. Where no
 * session can be created, the run is of a session that was attached to at the same address.
 */

import { readFileSync } from "node:fs";
import { AGB, Session } from "agbcloud-sdk";

const config = JSON.parse(process.argv[2]);
if (config.ca !== undefined) {
  config.ca = readFileSync(new URL("./certificates/authority.pem", import.meta.url), "utf8");
}

async function timed(work) {
  const began = performance.now();
  const outcome = await work();
  return { ...outcome, seconds: (performance.now() - began) / 1_000 };
}

const agb = new AGB({ config });
let session;
const created = await timed(async () => {
  const answer = await agb.create({ imageId: "agb-code-space-1" });
  session = answer.session;
  return { success: answer.success, message: answer.errorMessage };
});
if (session === undefined && process.env.HTTPS_PROXY === undefined) {
  const ws = config.endpoint.replace(/^http/, "ws");
  const access = { sessionId: "s", wsUrl: `${ws}/ws/s`, linkUrl: `${config.endpoint}/link/s`, token: "t", extensions: [], scope: "run" };
  session = Session.attach({ ...access, target: "any", expiresAt: new Date(Date.now() + 60_000).toISOString() });
}
const run = await timed(async () => {
  if (session === undefined) {
    return { success: false, message: "not tried", stdout: "", chunks: 0, interruptions: 0 };
  }
  let chunks = 0;
  const code = "import time\nfor i in range(3):\n    print(i, flush=True)\n    time.sleep(0.5)";
  const result = await session.code.run(code, "python", 30, { onStdout: () => chunks++ });
  return { success: result.success, message: result.errorMessage, stdout: result.logs.stdout.join(""), chunks, interruptions: result.interruptions };
});
console.log(JSON.stringify({ created, run }));
process.exit(0);
