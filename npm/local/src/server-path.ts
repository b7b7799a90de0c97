import { existsSync, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";

/** The folder of this package. Compiled or not, this file is one folder below it. */
const PACKAGE_ROOT = resolve(__dirname, "..");
const PROGRAM = process.platform === "win32" ? "agb-server.exe" : "agb-server";
/** Platforms that have a package with the program; the same as in `npm/platforms.json`. */
export const PLATFORMS: readonly string[] = ["linux-x64-gnu", "linux-arm64-gnu", "linux-x64-musl", "linux-arm64-musl"];

/**
 * Path of the server program: what `AGB_SERVER` names, else that of this platform's package, else the one that was
 * built last in the checkout.
 *
 * @throws Error (`NO_LOCAL_SERVER`) that tells the platform, what was looked for and what to do.
 */
export function serverPath(): string {
  const named = process.env["AGB_SERVER"];
  if (named !== undefined && named !== "") {
    if (!existsSync(named)) {
      throw notFound(`AGB_SERVER names ${named}, where there is no file. Correct it, or unset it to use the installed server`);
    }
    return resolve(named);
  }
  const platform = platformName();
  const path = packagedServer(platform) ?? builtServer(resolve(PACKAGE_ROOT, "..", ".."));
  if (path === null) {
    throw notFound(whyMissing(platform));
  }
  return path;
}

function whyMissing(platform: string): string {
  const others = PLATFORMS.map(packagedServer).filter((other) => other !== null);
  if (others.length > 0) {
    return (
      `there is no server program for this platform, ${platform}; installed is the one for another, ${others.join(", ")}.` +
      " Reinstall with `npm install agbcloud-local --include=optional`, without a lock file or node_modules folder made on" +
      " another platform, or let AGB_SERVER name a program"
    );
  }
  return PLATFORMS.includes(platform)
    ? `there is no server program: the package agbcloud-local-${platform} is not installed. Reinstall with optional` +
        " dependencies (`npm install agbcloud-local --include=optional`), in a checkout run" +
        " `cargo build -p agb-server`, or let AGB_SERVER name a program"
    : `there is no server program for this platform, ${platform} (there is for ${PLATFORMS.join(", ")}). Let AGB_SERVER` +
        " name one that you have built, or use a server on another machine";
}

/** E.g. `linux-x64-gnu`, `darwin-arm64`. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") {
    return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  }
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function packagedServer(platform: string): string | null {
  try {
    // Not by `require`, which a bundler would follow.
    const path = join(dirname(createRequire(__filename).resolve(`agbcloud-local-${platform}/package.json`)), "bin", PROGRAM);
    return existsSync(path) ? path : null;
  } catch {
    return null; // not installed
  }
}

function builtServer(checkout: string): string | null {
  if (!existsSync(join(checkout, "crates", "server", "Cargo.toml"))) {
    return null;
  }
  const target = process.env["CARGO_TARGET_DIR"] || join(checkout, "target");
  const built = ["debug", "release"].map((profile) => resolve(target, profile, PROGRAM)).filter((path) => existsSync(path));
  const age = (path: string): number => statSync(path).mtimeMs;
  return built.sort((a, b) => age(b) - age(a))[0] ?? null;
}

/** Whether this Node has musl (Alpine) for its C library: by what it has loaded, since a system may have both. */
function isMusl(): boolean {
  const maps = textOf("/proc/self/maps");
  if (/\/(ld-musl-[^/]*|libc)\.so(\.1)?$/m.test(maps)) {
    return true;
  }
  return !/\/libc(\.so\.6|-2\.\d+\.so)$/m.test(maps) && textOf("/usr/bin/ldd").includes("musl");
}

/** Empty where there is no such file, or it may not be read. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}

/** Why a program was not started. Of one for another C library the system says that there is no such file: its loader. */
export function startFault(program: string, error: Error): string {
  const withoutLoader = (error as NodeJS.ErrnoException).code === "ENOENT" && existsSync(program);
  return withoutLoader
    ? `it was built for another C library than this system's (${platformName()}), whose loader is missing. Reinstall agbcloud-local` +
        " here, without a node_modules folder made on another platform, or let AGB_SERVER name a program for this system"
    : error.message;
}

function notFound(message: string): Error & { readonly code: "NO_LOCAL_SERVER" } {
  return Object.assign(new Error(`agbcloud-local: ${message}`), { code: "NO_LOCAL_SERVER" as const });
}
