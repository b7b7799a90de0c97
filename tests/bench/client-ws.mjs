/**
 * The measured process of `client.ts`: the baseline, a plain client on the npm package `ws`. Per message it does what a
 * client cannot do without: `JSON.parse`, finding the run, keeping the chunk for `logs.stdout`, the callback.
 */

import { randomUUID } from "node:crypto";
import WebSocket from "ws";
import { codeOf, measure, Meter, report, task } from "./measure.mjs";

const { endpoint, image, load, warmUp } = task();
const response = await fetch(`${endpoint}/mcp/createSession?imageId=${image}`, { method: "POST", body: "{}" });
const { data } = await response.json();

const runs = new Map();
const socket = new WebSocket(data.wsUrl, { headers: { "X-Access-Token": data.token } });
await new Promise((resolve, reject) => {
  socket.once("open", resolve);
  socket.once("error", reject);
});

socket.on("message", (bytes) => {
  const message = JSON.parse(bytes.toString());
  const run = runs.get(message.invocationId);
  if (run === undefined) {
    return;
  }
  const { phase, eventType, chunk } = message.data;
  if (phase === "event" && eventType === "stdout") {
    run.logs.stdout.push(chunk);
    run.onStdout(chunk);
  } else if (phase === "event" && eventType === "stderr") {
    run.logs.stderr.push(chunk);
  } else if (phase === "end") {
    runs.delete(message.invocationId);
    run.resolve(run.logs);
  } else {
    run.reject(new Error(bytes.toString()));
  }
});

/** @type {(meter: Meter, load: object) => Promise<void>} */
function run(meter, load) {
  const invocationId = randomUUID().replaceAll("-", "");
  const params = { language: "python", timeoutS: 600, code: codeOf(load) };
  const request = { invocationId, source: "SDK", target: "wuying_codespace", data: { method: "run_code", mode: "stream", params } };
  return new Promise((resolve, reject) => {
    runs.set(invocationId, { logs: { stdout: [], stderr: [] }, onStdout: meter.take, resolve, reject });
    socket.send(JSON.stringify(request));
  });
}

await run(new Meter(warmUp), warmUp);
const meter = new Meter(load);
const figures = await measure(meter, () => run(meter, load));
report(figures);
socket.close();
