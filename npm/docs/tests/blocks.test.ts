/** Every code block of the documentation compiles, and those that say so run against the local server. */

import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type LocalServer, startLocalServer } from "agbcloud-local";
import { freePort } from "../../../tests/node/free-port.ts";
import { type Block, blocksOf, DOCS, pages, programOf } from "./blocks.ts";

const WORK = join(DOCS, ".work");
const PATIENCE_MS = 120_000;
const SCRIPTS = ["ts", "tsx", "js"];
/** A checkout has the addon in a folder, not as a package of its own, where the part for bundlers looks for it. */
const ADDON = join(DOCS, "../sdk/native", `agbcloud-sdk.${process.platform}-${process.arch}-gnu.node`);
/** A command as another user, which needs no other user to be looked at. */
const AS_ANOTHER = /^sudo (?:runuser -u \S+ -- )?(?:env (?:\w+=\S+ )*)?/;
const all = pages().flatMap(blocksOf);
const of = (...languages: string[]): Block[] => all.filter(({ language }) => languages.includes(language));
const marked = (mark: string): Block[] => all.filter(({ marks }) => marks.has(mark));
const folderOf = ({ page }: Block): string => join(WORK, page.replace(/\.md$/, ""));
const named = ({ page, line }: Block): string => `${page}:${line}`;

/** Writes a block where it can be run, and its neighbours of the same page. Two files of one name: the later one is apart. */
function place(block: Block): string {
  const same = all.filter(({ page, file }) => page === block.page && file === block.file);
  const file = join(folderOf(block), same.indexOf(block) > 0 ? String(block.line) : "", block.file);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, programOf(block));
  return file;
}

let server: LocalServer;
before(async () => {
  rmSync(WORK, { recursive: true, force: true });
  of(...SCRIPTS).forEach(place);
  server = await startLocalServer();
});
after(async () => {
  await server?.stop();
  rmSync(WORK, { recursive: true, force: true });
});

const environment = (more: Record<string, string> = {}): Record<string, string | undefined> => ({
  PATH: process.env["PATH"],
  HOME: process.env["HOME"],
  AGB_ENDPOINT: server.endpoint,
  AGB_API_KEY: server.apiKey,
  ...(process.env["AGB_SERVER"] === undefined ? {} : { AGB_SERVER: process.env["AGB_SERVER"] }),
  ...more,
});

function start(file: string, more: Record<string, string> = {}): { child: ChildProcess; ended: Promise<{ code: number | null; text: string }> } {
  const child = spawn(process.execPath, ["--import", "tsx", file], { cwd: dirname(file), env: environment(more), stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  }
  const killer = setTimeout(() => child.kill("SIGKILL"), PATIENCE_MS);
  const ended = once(child, "close").then(([code]) => (clearTimeout(killer), { code: code as number | null, text }));
  return { child, ended };
}

describe("blocks", () => {
  it("are in languages that this test knows", () => {
    const known = [...SCRIPTS, "sh", "python", "json", "toml", "yaml", "ini", "nginx"];
    assert.deepEqual(all.filter(({ language }) => !known.includes(language)).map(named), []);
    assert.ok(of(...SCRIPTS).length > 30, "there are fewer than there were");
  });

  it("compile, and so do the site and these tests: TypeScript", () => {
    const options = { module: "nodenext", moduleResolution: "nodenext", target: "ES2022", lib: ["ES2022", "DOM", "DOM.Iterable", "ESNext.Disposable"], types: ["node"], jsx: "react-jsx", strict: true, noEmit: true, skipLibCheck: true, allowJs: true, checkJs: false };
    writeFileSync(join(WORK, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["**/*"] }));
    writeFileSync(join(WORK, "package.json"), '{ "type": "module" }');
    try {
      for (const project of [WORK, DOCS]) {
        execFileSync(process.execPath, [join(DOCS, "node_modules/typescript/bin/tsc"), "--project", project], { encoding: "utf8" });
      }
    } catch (error) {
      assert.fail((error as { stdout: string }).stdout);
    }
  });

  it("compile: shell, Python, JSON", () => {
    for (const { text, page, line } of of("sh")) {
      execFileSync("bash", ["-n"], { input: text, stdio: ["pipe", "ignore", "inherit"] });
      assert.doesNotMatch(text, /^\$ /m, `${page}:${line}: a prompt cannot be copied`);
    }
    for (const { text } of of("python")) {
      execFileSync("python3", ["-c", "import ast, sys; ast.parse(sys.stdin.read())"], { input: text, stdio: ["pipe", "ignore", "inherit"] });
    }
    of("json").forEach(({ text }) => JSON.parse(text));
    for (const { text } of of("toml")) {
      execFileSync("python3", ["-c", "import sys, tomllib; tomllib.load(sys.stdin.buffer)"], { input: text, stdio: ["pipe", "ignore", "inherit"] });
    }
  });

  it("give the server no command and no option that it does not have", () => {
    const program = process.env["AGB_SERVER"] ?? join(DOCS, "../../target/debug/agb-server");
    const manuals = ["../../README.md", "../local/README.md", "../sdk/README.md"].flatMap(blocksOf);
    const lines = [...of("sh"), ...manuals.filter(({ language }) => language === "sh")].flatMap(({ text, page }) => text.replace(/\\\n/g, " ").split("\n").map((line) => ({ page, line })));
    const calls = lines.filter(({ line }) => /^[^#]*(agb-server|agbcloud-local)( |$)/.test(line) && !/apt|systemctl|npm install/.test(line));
    assert.ok(calls.length > 20, "there are fewer than there were");
    // With --help nothing is done, and what is not known is an error all the same.
    const stand = 'help() { "$AGB_SERVER" "$@" --help > /dev/null; }; agb-server() { help "$@"; }; npx() { shift; help "$@"; }';
    for (const { page, line } of calls) {
      const { status, stderr } = spawnSync("bash", ["--norc", "-c", `${stand}\n${line.replace(AS_ANOTHER, "").replace(/&( *#.*)?$/, "")}`], { encoding: "utf8", env: { PATH: process.env["PATH"], AGB_SERVER: program } });
      assert.equal(status, 0, `${page}: ${line}\n${stderr}`);
    }
  });

  for (const block of marked("run")) {
    it(`run: ${named(block)}`, async () => {
      const { code, text } = await start(place(block)).ended;
      assert.equal(code, 0, text);
      const pattern = block.marks.get("prints");
      assert.ok(pattern !== undefined, "a block that runs says what it prints");
      assert.match(text, new RegExp(pattern));
    });
  }
});

async function listens(port: number): Promise<void> {
  for (const deadline = Date.now() + PATIENCE_MS; Date.now() < deadline; await sleep(100)) {
    const socket = connect(port, "127.0.0.1");
    const answered = await Promise.race([once(socket, "connect").then(() => true), once(socket, "error").then(() => false)]).catch(() => false);
    socket.destroy();
    if (answered) return;
  }
  assert.fail(`nothing listens on port ${port}`);
}

const CODE = "import time\nfor i in range(3):\n    print(i)\n    time.sleep(0.6)";

/** Reads an answer to its end, and how long it took to come. */
async function read(answer: Response): Promise<{ text: string; spread: number }> {
  const decoder = new TextDecoder();
  const arrivals: number[] = [];
  let text = "";
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    arrivals.push(performance.now());
  }
  return { text, spread: arrivals.at(-1)! - arrivals[0]! };
}

describe("backends of the guides stream while the program runs", () => {
  for (const block of marked("server")) {
    it(named(block), async () => {
      const port = await freePort();
      const { child, ended } = start(place(block), { PORT: String(port) });
      try {
        await listens(port);
        const [method, path] = block.marks.get("server")!.split(" ") as [string, string];
        const body = method === "POST" ? { headers: { "content-type": "application/json" }, body: JSON.stringify({ code: CODE }) } : {};
        const { text, spread } = await read(await fetch(`http://127.0.0.1:${port}${path}`, { method, ...body }));
        if (method === "POST") {
          assert.equal(text, "0\n1\n2\n");
          assert.ok(spread > 500, `everything came within ${spread} ms`);
        } else {
          const ids = [...text.matchAll(/^id: (\d+)\ndata: (.*)$/gm)].map(([, id, data]) => ({ id: Number(id), data }));
          assert.deepEqual(ids.map(({ data }) => data), ['"0\\n"', '"1\\n"', '"2\\n"']);
          assert.match(text, /event: end\ndata: "finished"/);
          const rest = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { "last-event-id": String(ids[0]!.id) } });
          assert.deepEqual([...(await rest.text()).matchAll(/^data: (.*)$/gm)].map(([, data]) => data), ['"1\\n"', '"2\\n"', '"finished"']);
        }
      } finally {
        child.kill("SIGTERM");
        await ended;
      }
    });
  }

  for (const block of marked("handler")) {
    it(named(block), async () => {
      Object.assign(process.env, { AGB_ENDPOINT: server.endpoint, AGB_API_KEY: server.apiKey });
      const handlers = (await import(place(block))) as Record<string, (request: Request) => Promise<Response>>;
      const request = new Request("http://localhost/run", { method: "POST", body: JSON.stringify({ code: CODE }) });
      const { text, spread } = await read(await handlers[block.marks.get("handler")!]!(request));
      assert.equal(text, "0\n1\n2\n");
      assert.ok(spread > 500, `everything came within ${spread} ms`);
    });
  }
});

describe("the guides for models", () => {
  before(() => void Object.assign(process.env, { AGB_ENDPOINT: server.endpoint, AGB_API_KEY: server.apiKey }));
  const load = async <T>(page: string): Promise<T> => {
    const blocks = blocksOf(page).filter(({ language }) => language === "ts");
    blocks.forEach(place);
    return (await import(join(WORK, page.replace(/\.md$/, ""), "answer.ts"))) as T;
  };

  it("AI SDK: the model gets what the program printed", async () => {
    const { MockLanguageModelV3 } = await import("ai/test");
    const usage = { inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 }, outputTokens: { total: 1, text: 1, reasoning: 0 } };
    const prompts: string[] = [];
    const model = new MockLanguageModelV3({
      doGenerate: async ({ prompt }) => {
        prompts.push(JSON.stringify(prompt));
        return prompts.length === 1
          ? { content: [{ type: "tool-call", toolCallId: "1", toolName: "runPython", input: JSON.stringify({ code: "print(6 * 7)" }) }], finishReason: { unified: "tool-calls", raw: undefined }, usage, warnings: [] }
          : { content: [{ type: "text", text: "It is 42." }], finishReason: { unified: "stop", raw: undefined }, usage, warnings: [] };
      },
    });
    const { answer } = await load<{ answer(model: unknown, prompt: string): Promise<string> }>("guides/ai-sdk.md");
    assert.equal(await answer(model, "What is six times seven?"), "It is 42.");
    assert.match(prompts[1]!, /"status":"finished","output":"42\\n"/);
  });

  it("OpenAI SDK: the model gets what the program printed", async () => {
    const { default: OpenAI } = await import("openai");
    const asked: { messages: { role: string; content: string }[] }[] = [];
    const call = { id: "1", type: "function", function: { name: "run_python", arguments: JSON.stringify({ code: "print(6 * 7)" }) } };
    const fetchAsScripted = async (_: unknown, init?: RequestInit): Promise<Response> => {
      asked.push(JSON.parse(String(init!.body)) as (typeof asked)[number]);
      const message = asked.length === 1 ? { role: "assistant", content: null, tool_calls: [call] } : { role: "assistant", content: "It is 42." };
      return Response.json({ id: "x", object: "chat.completion", created: 0, model: "scripted", choices: [{ index: 0, message, finish_reason: "stop" }] });
    };
    const openai = new OpenAI({ apiKey: "none", baseURL: "http://scripted.invalid", fetch: fetchAsScripted as typeof fetch });
    const { answer } = await load<{ answer(openai: unknown, model: string, prompt: string): Promise<string> }>("guides/openai.md");
    assert.equal(await answer(openai, "scripted", "What is six times seven?"), "It is 42.");
    assert.deepEqual(asked[1]!.messages.at(-1), { role: "tool", tool_call_id: "1", content: "42\n" });
  });
});

describe("the guide for tests", () => {
  for (const block of marked("vitest")) {
    it(`Vitest: ${named(block)}`, async () => {
      const file = place(block);
      const vitest = spawn(process.execPath, [join(DOCS, "node_modules/vitest/vitest.mjs"), "run", file, "--root", dirname(file), "--pool", "threads", "--exclude", "[0-9]*/**"], { env: environment({ AGB_NATIVE: ADDON }), stdio: ["ignore", "pipe", "pipe"] });
      let text = "";
      vitest.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
      vitest.stderr.on("data", (chunk: Buffer) => (text += chunk.toString()));
      const [code] = (await once(vitest, "close")) as [number];
      assert.equal(code, 0, text);
      assert.match(text, /1 passed/);
    });
  }
});
