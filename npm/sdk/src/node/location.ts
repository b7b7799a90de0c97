import { readFileSync } from "node:fs";
import Module from "node:module";
import { dirname, join, resolve } from "node:path";

/**
 * The file that this code runs from: its own, or the bundle that it is part of. An ES module does not know; there it is
 * the script that Node was started with, never the working directory, which may be a stranger's.
 */
export const HERE: string = typeof __filename === "string" ? __filename : resolve(process.argv[1] ?? process.execPath);

/** `require` as a file there has it. Bundlers do not follow it; webpack would, if `createRequire` were imported by its name. */
export const requireFrom = (file: string): NodeJS.Require => Module.createRequire(file);

/** The folder of this package, unless the code was bundled. Compiled or not, this file is two folders below it. */
export const PACKAGE_ROOT = resolve(dirname(HERE), "..", "..");

/** Whether this code was taken out of its package by a bundler. */
export function isBundled(): boolean {
  try {
    const { name } = JSON.parse(readFileSync(join(PACKAGE_ROOT, "package.json"), "utf8")) as { readonly name?: unknown };
    return name !== "agbcloud-sdk";
  } catch {
    return true;
  }
}
