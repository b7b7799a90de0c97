import { messageOf } from "../errors.js";
import { elfFault } from "./elf.js";
import { glibcVersion, libc } from "./libc.js";

/** What is wrong with an addon that is there, and what to do. */
export interface Fault {
  readonly what: string;
  readonly remedy: string;
}

export const REINSTALL =
  "Reinstall with optional dependencies (`npm install agbcloud-sdk --include=optional`, and not with a lock file or" +
  " node_modules folder made on another platform); in a checkout, build it with `cargo xtask node`";

/** What a loader's error says of a file that it found; `null` for one that is not there. */
export function faultOf(error: unknown): Fault | null {
  if (error instanceof UnloadableError) {
    return { what: error.message, remedy: REINSTALL };
  }
  const { code, name, message = "" } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown; readonly message?: string };
  if (code === "MODULE_NOT_FOUND") {
    return null;
  }
  if (code === "ERR_DLOPEN_DISABLED") {
    return { what: "Node's permission model forbids addons", remedy: "Start Node with --allow-addons" };
  }
  if (name === "NotCapable" || name === "PermissionDenied" || message.includes("--allow-ffi")) {
    return { what: "Deno does not allow it", remedy: "Start Deno with --allow-ffi, --allow-read, --allow-env and --allow-sys" };
  }
  const needed = [...message.matchAll(/GLIBC_([\d.]+)' not found/g)].map(([, version]) => version).join(", ");
  if (needed !== "") {
    return {
      what: `it needs glibc ${needed}, and this system has ${glibcVersion() ?? "another C library"}`,
      remedy: "Use a newer system, or build the addon on this one with `cargo xtask node` and let AGB_NATIVE name it",
    };
  }
  if (/file too short|invalid ELF header|not a mach-o|not a valid Win32|slice is not valid/i.test(message)) {
    return { what: `the file is damaged: ${reason(error)}`, remedy: REINSTALL };
  }
  return { what: reason(error), remedy: REINSTALL };
}

/** A file that the loader must not see. */
class UnloadableError extends Error {}

/**
 * Refuses a library that the loader would misunderstand.
 *
 * @throws UnloadableError that {@link faultOf} knows.
 */
export function checkLibrary(path: string): void {
  if (process.platform !== "linux" || !path.endsWith(".node")) {
    return;
  }
  let fault: string | null;
  try {
    fault = elfFault(path, libc());
  } catch {
    return; // not there or not readable: the loader says so in its own words
  }
  if (fault !== null) {
    throw new UnloadableError(fault);
  }
}

/** The first line of an error: Node appends the require stack to it. */
export function reason(error: unknown): string {
  const text = messageOf(error);
  return text.split("\n", 1)[0] ?? text;
}
