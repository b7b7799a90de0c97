import { readFileSync } from "node:fs";

/** The C libraries of Linux: musl is Alpine's. */
export type Libc = "glibc" | "musl";

/**
 * The C library of this Node. A system may have both, so what this process has loaded goes before what the system says. Node's
 * own report comes last: before Node 20.13 it asks the network for the names of all peers.
 */
export function libc(): Libc {
  return libcOfMaps(textOf("/proc/self/maps")) ?? libcOfLdd(textOf("/usr/bin/ldd")) ?? (glibcVersion() === null ? "musl" : "glibc");
}

/** The C library among the files that a process has mapped: musl's loader and library are one file, of either name. */
export function libcOfMaps(maps: string): Libc | null {
  if (/\/(ld-musl-[^/]*|libc)\.so(\.1)?$/m.test(maps)) {
    return "musl";
  }
  return /\/libc(\.so\.6|-2\.\d+\.so)$/m.test(maps) ? "glibc" : null;
}

function libcOfLdd(script: string): Libc | null {
  return script === "" ? null : script.includes("musl") ? "musl" : "glibc";
}

/** Empty where there is no such file, or the run time may not read it. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** E.g. `glibc 2.36`; `null` for another C library. */
export function glibcVersion(): string | null {
  const report = process.report?.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } } | undefined;
  const version = report?.header?.glibcVersionRuntime;
  return version === undefined ? null : `glibc ${version}`;
}
