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
  // With the default image, which `cargo xtask test` prepares: two of the programs use its packages.
  // The cache is not in /tmp, where it goes without a home: sandboxes have a /tmp of their own.
  const target = fileURLToPath(new URL("../../target/", import.meta.url));
  server = await startServer("--image-dir", `${target}images`, "--cache-dir", `${target}tmp/cache`);
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

test("the README's conversation and its call by position", async () => {
  const live = (await runExample("live.ts")).map(({ text }) => text);
  assert.deepEqual(live, ["0: hello, Ada", "1: hello, Ada", "2: hello, Ada", "finished"]);
  const lines = await runExample("positional.ts");
  const texts = lines.map(({ text }) => text);
  assert.deepEqual(texts, [1, 2, 3, 4, 5].map((n) => `[STDOUT] Progress: ${n}/5`).concat("true 5"));
  for (const gap of gaps(lines.slice(0, 5))) {
    assert.ok(gap > 800, `lines came ${gap} ms apart, not as they were printed`);
  }
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

test("the stream of events is a conversation", async () => {
  const lines = (await runExample("stream.ts")).map(({ text }) => text);
  assert.match(lines.join("\n"), /1\. Hello, Ada!\n2\. Hello, Ada!\n3\. Hello, Ada!\n=> 3\nfinished after \d+\.\d s$/);
});

test("streaming errors reach onError and the result", async () => {
  const text = (await runExample("streaming-errors.ts")).map((line) => line.text).join("\n");
  assert.match(text, /Error/);
});

test("without streaming all output comes with the result", async () => {
  const text = (await runExample("non-streaming.ts")).map((line) => line.text).join("\n");
  assert.match(text, /hello/);
});

test("a data frame goes through three cells", async () => {
  const text = (await runExample("data-frame.ts")).map((line) => line.text);
  assert.deepEqual(
    text.filter((line) => line.startsWith("In [")),
    ["In [1]", "In [2]", "In [3]"],
  );
  assert.ok(text.includes("a table, 6 rows of HTML"), text.join("\n"));
  assert.ok(text.some((line) => /^Feb +130\.0 +121\.0$/.test(line)), text.join("\n"));
  assert.ok(text.includes("'Mar'"), text.join("\n"));
  assert.ok(text.some((line) => /^a picture, \d{4,} bytes of PNG$/.test(line)), text.join("\n"));
});

test("a training loop shows its progress", async () => {
  const text = (await runExample("training-loop.ts")).map((line) => line.text);
  assert.match(text[0]!, /^epoch 0: loss 0\.693$/);
  assert.equal(text.filter((line) => line.startsWith("epoch ")).length, 4);
  const [, bars] = /^(\d+) bars; good enough: (?:np\.)?True/.exec(text.at(-1)!) ?? assert.fail(text.join("\n"));
  assert.ok(Number(bars) >= 40, `${bars} bars`);
});

test("a server is started and called in one cell", async () => {
  const text = (await runExample("http-server.ts")).map((line) => line.text);
  assert.deepEqual(text, [
    "POST /users 200 { id: 2, name: 'Grace' }",
    "GET /users [ { id: 1, name: 'Ada' }, { id: 2, name: 'Grace' } ]",
    "GET /nothing 404",
    "2 users are still there in the next cell",
  ]);
});

test("R computes and plots", async () => {
  const text = (await runExample("r-plot.ts")).map((line) => line.text);
  assert.equal(text[0], "5.34 miles per gallon less for each 1000 lbs");
  assert.match(text[1]!, /^a plot, \d{4,} bytes of PNG$/);
  assert.match(text.slice(2).join("\n"), /cyl +mpg\n1 +4 26\.66364/);
});

test("a Java class is run, and is there for the next cell", async () => {
  const text = (await runExample("java-streams.ts")).map((line) => line.text);
  assert.deepEqual(text, ["{paint=12, tools=7}", "{paint=12, tools=4}", "and then: {a=2}"]);
});
