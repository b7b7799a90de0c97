/**
 * Makes the README's picture from a real run: `cargo xtask picture`.
 *
 * It starts `watch.ts` behind a proxy that cuts the connection once in the middle, gives what it prints to a terminal's
 * buffer as it comes, and draws what the buffer showed from moment to moment.
 *
 * @module
 */

import headless from "@xterm/headless";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { type Frame, rowOf } from "./frame.js";
import { draw } from "./svg.js";

const HERE = new URL(".", import.meta.url);
const COLUMNS = 80;
/** As many as the program prints, and one for where the cursor ends. */
const ROWS = 14;
/** The line after which the connection is cut. */
const CUT_AFTER = "epoch 4";

/** Passes on bytes to the service, until it is told to cut all connections. */
async function proxyOf(service: URL): Promise<{ readonly endpoint: string; cut(): void; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(service.port), service.hostname);
    for (const [from, to] of [[client, upstream], [upstream, client]] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy()); // a cut reaches both ends
      from.on("close", () => (sockets.delete(from), to.destroy()));
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const cut = (): void => sockets.forEach((socket) => socket.resetAndDestroy());
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, cut, close: () => (cut(), server.close()) };
}

const endpoint = process.env["AGB_ENDPOINT"];
if (endpoint === undefined) {
  throw new Error("AGB_ENDPOINT and AGB_API_KEY name the server; `cargo xtask picture` starts one");
}
const proxy = await proxyOf(new URL(endpoint));
const terminal = new headless.Terminal({ cols: COLUMNS, rows: ROWS, convertEol: true, allowProposedApi: true });
const frames: Frame[] = [];
const began = performance.now();

const watch = spawn(process.execPath, ["--import", "tsx", "watch.ts"], {
  cwd: fileURLToPath(HERE),
  env: { ...process.env, AGB_ENDPOINT: proxy.endpoint },
  stdio: ["ignore", "pipe", "inherit"],
});
watch.stdout.setEncoding("utf8").on("data", (text: string) => {
  const at = (performance.now() - began) / 1_000;
  terminal.write(text, () => {
    const { active } = terminal.buffer;
    frames.push({ at, rows: Array.from({ length: ROWS }, (_, row) => rowOf(active.getLine(row), COLUMNS)) });
  });
  if (text.includes(CUT_AFTER)) {
    proxy.cut();
  }
});
const [code] = (await once(watch, "close")) as [number];
proxy.close();
if (code !== 0) {
  throw new Error(`watch.ts ended with ${code}`);
}
await new Promise<void>((resolve) => terminal.write("", resolve)); // all is in the buffer
const source = readFileSync(new URL("watch.ts", HERE), "utf8");
const shown = /\/\/ shown: from here\n(.*?)\/\/ shown: to here/s.exec(source)?.[1] ?? "";
const picture = draw({ columns: COLUMNS, rows: ROWS, source: shown.trimEnd().split("\n"), frames });
const file = new URL("picture.svg", HERE);
writeFileSync(file, picture);
console.log(`${fileURLToPath(file)}: ${(picture.length / 1_000).toFixed(1)} kB, ${frames.length} frames`);
