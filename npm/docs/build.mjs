/**
 * Builds the site into target/docs: the API reference from the TypeScript's comments, the server's options from its own
 * help, `llms.txt`, and the pages. AGB_SERVER names the server. `cargo xtask docs` calls it.
 *
 * @module
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const server = process.env["AGB_SERVER"] ?? join(HERE, "../../target/debug/agb-server");
const run = (program, args, options = {}) => execFileSync(program, args, { cwd: HERE, encoding: "utf8", ...options });
const tool = (path, args) => run(process.execPath, [join(HERE, "node_modules", path), ...args], { stdio: "inherit" });

/** The written pages, with their paths from here. */
export function pages(folder = "") {
  return readdirSync(join(HERE, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      return ["guides", "concepts", "operating"].includes(path) ? pages(path) : [];
    }
    return path.endsWith(".md") ? [path] : [];
  });
}

/** The title of a page and its first sentence. */
function summary(path) {
  const text = readFileSync(join(HERE, path), "utf8").replace(/<!--@include: (\S+)-->/g, (_, file) => readFileSync(join(HERE, file), "utf8"));
  const [, title = path] = /^# (.+)$/m.exec(text) ?? [];
  const first = text.split(/\n\n+/).find((paragraph) => /^[A-Z`]/.test(paragraph)) ?? "";
  return { title, first: first.replace(/\s+/g, " ").replace(/(?<=[.:]) .*$/, ""), text };
}

/** https://llmstxt.org: what there is, for a model that reads the documentation. */
function llms() {
  const lines = ["# AGB in Rust", "", "> A code interpreter with live output that you can host, embed and show in a page.", ""];
  for (const [heading, folder] of [["Get started", ""], ["Guides", "guides/"], ["Concepts", "concepts/"], ["Operating", "operating/"]]) {
    lines.push(`## ${heading}`, "");
    for (const path of pages().filter((path) => path.slice(0, path.lastIndexOf("/") + 1) === folder && path !== "index.md")) {
      const { title, first } = summary(path);
      lines.push(`- [${title}](/${path}): ${first}`);
    }
    lines.push("");
  }
  return lines.join("\n");
}

function sources() {
  rmSync(join(HERE, "api"), { recursive: true, force: true });
  tool("typedoc/bin/typedoc", ["--logLevel", "Error"]);
  const help = run(server, ["serve", "--help"], { env: { PATH: process.env["PATH"], COLUMNS: "100" } });
  writeFileSync(join(HERE, "operating/serve-help.txt"), help);
  mkdirSync(join(HERE, "public"), { recursive: true });
  writeFileSync(join(HERE, "public/llms.txt"), llms());
  // The pages as they were written, at the addresses that llms.txt names.
  writeFileSync(join(HERE, "public/llms-full.txt"), pages().map((path) => summary(path).text).join("\n\n---\n\n"));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  sources();
  if (!process.argv.includes("--only-sources")) {
    tool("vitepress/bin/vitepress.js", ["build"]);
  }
}
