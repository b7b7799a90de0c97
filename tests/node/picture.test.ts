/** The README's picture: its program does what the picture shows, and what is drawn is what the terminal had. */

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { draw } from "../../examples/picture/svg.ts";
import { startServer } from "./local-server.ts";

const FOLDER = new URL("../../examples/picture/", import.meta.url);
const picture = readFileSync(new URL("picture.svg", FOLDER), "utf8");
/** The words of an SVG, without what only says how they look. */
const words = (svg: string): string => svg.replace(/<style>.*?<\/style>/gs, "").replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");

test("the picture is small, follows the reader's theme, and shows the program that ran", () => {
  assert.ok(statSync(new URL("picture.svg", FOLDER)).size < 300_000);
  assert.match(picture, /prefers-color-scheme:dark/);
  assert.match(picture, /prefers-reduced-motion/);
  assert.doesNotMatch(picture, /<script|href=|url\(/);
  const source = /shown: from here\n(.*?)\/\/ shown: to here/s.exec(readFileSync(new URL("watch.ts", FOLDER), "utf8"))![1]!;
  const plain = (text: string): string => text.replace(/&gt;/g, ">").replace(/&lt;/g, "<").replace(/&amp;/g, "&").replace(/\s/g, "");
  assert.ok(plain(words(picture)).includes(plain(source)), "examples/picture/watch.ts has changed: cargo xtask picture");
  for (const epoch of [1, 2, 3, 4, 5, 6, 7, 8]) {
    assert.equal(words(picture).split(`epoch ${epoch} `).length, 2, `epoch ${epoch} is there once`);
  }
  assert.match(words(picture), /the connection was cut .*resumed: no line lost, none twice .*epoch 5/);
});

test("the program of the picture runs", async () => {
  const server = await startServer();
  const watch = spawn(process.execPath, ["--import", "tsx", "watch.ts"], {
    cwd: fileURLToPath(FOLDER),
    env: { PATH: process.env["PATH"], AGB_ENDPOINT: server.endpoint, AGB_API_KEY: server.apiKey },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let text = "";
  watch.stdout.on("data", (data: Buffer) => (text += data.toString()));
  const [code] = (await once(watch, "close")) as [number];
  await server.stop();
  assert.equal(code, 0);
  assert.match(text, /^learning rate\? /);
  assert.match(text, /saving .* 100 %\nthe slope is 1\.\d\d\n.*status: finished/s);
});

test("a row is shown from the frame that has it to the first that has another", () => {
  const piece = (text: string) => ({ column: 0, text, look: "" });
  const frames = [
    { at: 5, rows: [[piece("a & b")], []] },
    { at: 6, rows: [[piece("a & b")], [piece("50 %")]] },
    { at: 7, rows: [[piece("a & b")], [piece("100 %")]] },
  ];
  const svg = draw({ columns: 10, rows: 2, source: ["const x"], frames });
  assert.equal(svg.split("a &amp; b").length, 2);
  // Six seconds in all, four of which show the end.
  assert.match(svg, /@keyframes k0\{0%\{visibility:hidden\}0%\{visibility:visible\}\}/);
  assert.match(svg, /@keyframes k1\{0%\{visibility:hidden\}16\.67%\{visibility:visible\}33\.33%\{visibility:hidden\}\}/);
  assert.match(svg, /<g id="t1" class="s p"><text[^>]*>50 %/);
});
