/** The documentation's examples, as they stand in `examples/`, against the real server. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { type LocalServer, startServer } from "./local-server.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples/", import.meta.url));

let server: LocalServer;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

interface Line {
  readonly at: number;
  readonly text: string;
}

async function runExample(file: string): Promise<Line[]> {
  const { PATH } = process.env;
  const child = spawn(process.execPath, ["--import", "tsx", file], {
    cwd: EXAMPLES,
    env: { PATH, AGB_ENDPOINT: server.endpoint, AGB_API_KEY: server.apiKey },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: Line[] = [];
  let errors = "";
  child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
  createInterface({ input: child.stdout }).on("line", (text) => {
    if (text !== "") {
      lines.push({ at: performance.now(), text });
    }
  });
  const [code] = (await once(child, "close")) as [number];
  assert.equal(code, 0, `${file} ended with ${code}: ${errors}`);
  assert.equal(errors, "");
  return lines;
}

function gaps(lines: readonly Line[]): number[] {
  return lines.slice(1).map((line, index) => line.at - lines[index]!.at);
}

test("the quickstart shows each line when it is printed", async () => {
  const lines = await runExample("quickstart.ts");
  const stdout = lines.filter(({ text }) => text.startsWith("[STDOUT] "));
  assert.deepEqual(
    stdout.map(({ text }) => text),
    ["Progress: 1/5", "Progress: 2/5", "Progress: 3/5", "Progress: 4/5", "Progress: 5/5", "Done!"].map((text) => `[STDOUT] ${text}`),
  );
  for (const gap of gaps(stdout.slice(0, 5))) {
    assert.ok(gap > 800, `lines came ${gap} ms apart, not as they were printed`);
  }
  assert.match(lines.at(-1)!.text, /^Execution completed in 5\.\d\ds$/);
});

test("the data-processing loop reacts while the rows are processed", async () => {
  const lines = await runExample("data-processing.ts");
  const reactions = lines.filter(({ text }) => /% done/.test(text));
  assert.ok(reactions.length >= 2, lines.map(({ text }) => text).join("\n"));
  assert.ok(reactions.at(-1)!.at - reactions[0]!.at > 1_000, "the reactions came in one go");
});

test("stdout and stderr are handled apart", async () => {
  const lines = (await runExample("stdout-and-stderr.ts")).map(({ text }) => text);
  assert.ok(lines.some((line) => /out/i.test(line)) && lines.some((line) => /err/i.test(line)), lines.join("\n"));
});

test("streaming errors reach onError and the result", async () => {
  const text = (await runExample("streaming-errors.ts")).map((line) => line.text).join("\n");
  assert.match(text, /Error/);
});

test("without streaming all output comes with the result", async () => {
  const text = (await runExample("non-streaming.ts")).map((line) => line.text).join("\n");
  assert.match(text, /hello/);
});
