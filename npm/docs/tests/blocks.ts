/**
 * The code blocks of the pages. A comment before a block says more about it:
 *
 * * `<!-- with: session -->`: `agb` and `session` are there, made before it and deleted after it;
 * * `<!-- run -->`: it is run against the local server, and `<!-- prints: PATTERN -->` must be found in what it prints;
 * * `<!-- server: METHOD /path -->`, `<!-- handler: METHOD -->`, `<!-- vitest -->`: tried by a test of their own.
 *
 * @module
 */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const DOCS = fileURLToPath(new URL("..", import.meta.url));
const FOLDERS = ["", "guides", "concepts", "operating"];

export interface Block {
  /** From the folder of the documentation. */
  readonly page: string;
  readonly line: number;
  readonly language: string;
  /** The file's name in brackets, else one made of the block's line. */
  readonly file: string;
  readonly text: string;
  readonly marks: ReadonlyMap<string, string>;
}

/** The pages that somebody wrote. */
export function pages(): string[] {
  const files = FOLDERS.flatMap((folder) => readdirSync(join(DOCS, folder)).map((name) => join(folder, name)));
  return files.filter((file) => file.endsWith(".md")).sort();
}

export function blocksOf(page: string): Block[] {
  const blocks: Block[] = [];
  const lines = readFileSync(join(DOCS, page), "utf8").split("\n");
  let marks = new Map<string, string>();
  for (let index = 0; index < lines.length; index += 1) {
    const mark = /^<!-- ([a-z]+)(?:: (.*))? -->$/.exec(lines[index]!);
    if (mark !== null) {
      marks.set(mark[1]!, mark[2] ?? "");
      continue;
    }
    const fence = /^ *```([a-z]+)(?: \[(.+)\])?$/.exec(lines[index]!);
    if (fence === null) {
      if (lines[index]!.startsWith("```")) {
        throw new Error(`${page}:${index + 1}: a block without a language`);
      }
      marks = lines[index] === "" ? marks : new Map();
      continue;
    }
    const line = index + 1;
    const from = line;
    while (lines[index + 1] !== undefined && lines[index + 1]!.trim() !== "```") {
      index += 1;
    }
    const text = `${lines.slice(from, index + 1).join("\n")}\n`;
    index += 1;
    const language = fence[1]!;
    blocks.push({ page, line, language, file: fence[2] ?? `line-${line}.${language}`, text, marks });
    marks = new Map();
  }
  return blocks;
}

/** The block as a program: with its session, where it wants one. */
export function programOf({ text, marks, language }: Block): string {
  if (marks.get("with") !== "session") {
    return language.startsWith("ts") ? `${text}export {};\n` : text;
  }
  return [
    'import { AGB as TheAGB, throwIfFailed as orThrow } from "agbcloud-sdk";',
    "const agb = new TheAGB();",
    'const session = orThrow(await agb.create({ imageId: "agb-code-space-1" })).session!;',
    text,
    "await agb.delete(session);",
    "export {};\n",
  ].join("\n");
}
