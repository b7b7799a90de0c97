/** The measured process of `e2e.ts`: a plain client on the npm package `ws`, for comparison. */

import { randomUUID } from "node:crypto";
import WebSocket from "ws";
import { report, task } from "./measure.mjs";
import { Stamps } from "./stamps.mjs";

const { endpoint, apiKey, code } = task();
const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
const post = async (call, body) => (await fetch(`${endpoint}${call}`, { method: "POST", headers, body })).json();
const { data } = await post("/mcp/createSession?imageId=agb-code-space-1", "{}");
const socket = new WebSocket(data.wsUrl, { headers: { "X-Access-Token": data.token } });
await new Promise((resolve, reject) => {
  socket.once("open", resolve);
  socket.once("error", reject);
});

/** @type {(code: string, onStdout: (chunk: string) => void) => Promise<void>} */
function run(code, onStdout) {
  const invocationId = randomUUID().replaceAll("-", "");
  const params = { language: "python", timeoutS: 60, code };
  const request = { invocationId, source: "SDK", target: "wuying_codespace", data: { method: "run_code", mode: "stream", params } };
  return new Promise((resolve, reject) => {
    socket.removeAllListeners("message");
    socket.on("message", (bytes) => {
      const { data } = JSON.parse(bytes.toString());
      if (data.phase === "event" && data.eventType === "stdout") {
        onStdout(data.chunk);
      } else if (data.phase === "end" && data.status === "finished") {
        resolve();
      } else if (data.phase !== "event") {
        reject(new Error(bytes.toString()));
      }
    });
    socket.send(JSON.stringify(request));
  });
}

await run("print(1)", () => {});
const stamps = new Stamps();
await run(code, stamps.take);
report(stamps.figures());
socket.close();
await post("/mcp/releaseSession", JSON.stringify({ sessionId: data.sessionId }));
