/** Here, not in tests/node: the quick start's server looks for the browser build when it starts. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

test("a page's server whose port is taken says so in a sentence, and how to choose another", async () => {
  const taken = createServer().listen(0, "127.0.0.1");
  await once(taken, "listening");
  const { port } = taken.address() as { port: number };
  try {
    for (const file of ["browser/server.ts", "browser-quickstart.ts", "chat/server.ts"]) {
      const { PATH } = process.env;
      // None of them speaks to the service before a page does.
      const service = { AGB_ENDPOINT: "http://127.0.0.1:1", AGB_API_KEY: "a-key" };
      const child = spawn(process.execPath, ["--import", "tsx", file], {
        cwd: EXAMPLES,
        env: { PATH, ...service, PORT: String(port) },
        stdio: ["ignore", "ignore", "pipe"],
      });
      const [errors, [code]] = await Promise.all([text(child.stderr), once(child, "close") as Promise<[number]>]);
      assert.equal(code, 1, `${file}: ${errors}`);
      assert.match(errors, new RegExp(`^.*in use.*${port}.*PORT.*\n$|^.*${port}.*in use.*PORT.*\n$`), file); // one line, no trace
    }
  } finally {
    taken.close();
  }
});
