/**
 * `CONFIG`: creates a session with these settings, runs a program in it, and prints what came of both as JSON. Where no
 * session can be created, the run is of a session that was attached to at the same address. With `attach` beside them the
 * run is of the session as it is attached to with these settings; `lines` and `everyS` say what it prints. With its first
 * output the line `begun` goes to the standard error; where `AGB_SAY` is `clock`, with each the wall clock.
 */

import { readFileSync } from "node:fs";
import { AGB, Session } from "agbcloud-sdk";

const { attach, lines = 3, everyS = 0.5, ...config } = JSON.parse(process.argv[2]);
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
if (attach === true && session !== undefined) {
  session = Session.attach((await session.browserAccess()).access, { config });
}
if (session === undefined && process.env.HTTPS_PROXY === undefined) {
  const ws = config.endpoint.replace(/^http/, "ws");
  const access = { sessionId: "s", wsUrl: `${ws}/ws/s`, linkUrl: `${config.endpoint}/link/s`, token: "t", extensions: [], scope: "run" };
  session = Session.attach({ ...access, target: "any", expiresAt: new Date(Date.now() + 60_000).toISOString() });
}
const run = await timed(async () => {
  if (session === undefined) {
    return { success: false, message: "not tried", stdout: "", chunks: 0, interruptions: 0, errors: [] };
  }
  let chunks = 0;
  const code = `import time\nfor i in range(${lines}):\n    print(i, flush=True)\n    time.sleep(${everyS})`;
  const errors = [];
  const onStdout = () => {
    chunks += 1;
    if (chunks === 1) {
      console.error("begun");
    }
    if (process.env.AGB_SAY === "clock") {
      console.error(`clock ${Date.now()}`);
    }
  };
  const { success, errorMessage: message, logs, interruptions } = await session.code.run(code, "python", 60, {
    onStdout,
    onError: ({ code }) => errors.push(code),
  });
  return { success, message, stdout: logs.stdout.join(""), chunks, interruptions, errors };
});
console.log(JSON.stringify({ created, run }));
process.exit(0);
