import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Binding } from "../binding.js";
import { NativeAddonError } from "../errors.js";

/** The folder of this package. Compiled or not, this file is two folders below it. */
const PACKAGE_ROOT = resolve(__dirname, "..", "..");

/** Platforms that have an addon package; the same as in `npm/platforms.json`. */
export const PLATFORMS: readonly string[] = [
  "linux-x64-gnu",
  "linux-x64-musl",
  "linux-arm64-gnu",
  "linux-arm64-musl",
  "darwin-x64",
  "darwin-arm64",
  "win32-x64-msvc",
];

/**
 * Loads the native addon: the file that `AGB_NATIVE` names, else this platform's package, else the one that was built
 * in the checkout.
 *
 * @throws NativeAddonError that tells the platform, what was tried and what to do.
 */
export function loadAddon(): Binding {
  const override = process.env["AGB_NATIVE"];
  if (override !== undefined && override !== "") {
    return loadOverride(resolve(override));
  }
  const platform = platformName();
  const attempts: Attempt[] = [];
  for (const request of [`agbcloud-sdk-${platform}`, join(PACKAGE_ROOT, "native", `agbcloud-sdk.${platform}.node`)]) {
    try {
      return checked(require(request), request);
    } catch (error) {
      if (error instanceof NativeAddonError) {
        throw error;
      }
      attempts.push({ request, error });
    }
  }
  throw notLoaded(platform, attempts);
}

/** E.g. `linux-x64-gnu`, `darwin-arm64`. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === "linux") {
    return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  }
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function loadOverride(path: string): Binding {
  try {
    return checked(require(path), path);
  } catch (error) {
    const fault = faultOf(error);
    throw new NativeAddonError(
      `AGB_NATIVE names ${path}, which cannot be loaded: ${fault?.what ?? reason(error)}. ` +
        `${fault === null ? "" : `${fault.remedy}. `}Correct it, or unset it to use the installed one`,
      existsSync(path) ? "NATIVE_ADDON_BROKEN" : "NATIVE_ADDON_MISSING",
      { cause: error },
    );
  }
}

/** Refuses what loads but is something else. */
function checked(loaded: unknown, from: string): Binding {
  const binding = loaded as Partial<Binding> | null;
  if (typeof binding?.Client !== "function" || typeof binding.setLogger !== "function") {
    throw new NativeAddonError(`${from} loads, but it is not the addon of agbcloud-sdk; reinstall it`, "NATIVE_ADDON_BROKEN");
  }
  return binding as Binding;
}

/** What was tried to load, and why it did not. */
interface Attempt {
  readonly request: string;
  readonly error: unknown;
}

/** What is wrong with an addon that is there, and what to do. */
interface Fault {
  readonly what: string;
  readonly remedy: string;
}

const REINSTALL =
  "Reinstall with optional dependencies (`npm install agbcloud-sdk --include=optional`, and not with a lock file or" +
  " node_modules folder made on another platform); in a checkout, build it with `cargo xtask node`";

/** The error for an addon that is missing, or that is there and cannot be loaded. */
function notLoaded(platform: string, attempts: readonly Attempt[]): NativeAddonError {
  const about = `${platform}, Node ${process.version}`;
  for (const { request, error } of attempts) {
    const fault = faultOf(error);
    if (fault !== null) {
      const file = fileOf(request);
      const message = `The native addon ${file} (${about}) cannot be loaded: ${fault.what}. ${fault.remedy}`;
      return new NativeAddonError(message, "NATIVE_ADDON_BROKEN", { cause: error });
    }
  }
  const remedy = PLATFORMS.includes(platform)
    ? REINSTALL
    : `There is no prebuilt addon for it (there is for ${PLATFORMS.join(", ")}); build one with \`cargo xtask node\` and` +
      " let AGB_NATIVE name it";
  const tried = attempts.map(({ request, error }) => `${request}: ${reason(error)}`).join("; ");
  return new NativeAddonError(
    `agbcloud-sdk has no native addon for this platform, ${platform} (Node ${process.version}). ${remedy}. Tried: ${tried}`,
    "NATIVE_ADDON_MISSING",
    { cause: attempts[0]?.error },
  );
}

/** What a loader's error says of a file that it found; `null` for one that is not there. */
function faultOf(error: unknown): Fault | null {
  const { code, name, message = "" } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown; readonly message?: string };
  if (code === "MODULE_NOT_FOUND") {
    return null;
  }
  if (code === "ERR_DLOPEN_DISABLED") {
    return { what: "Node's permission model forbids addons", remedy: "Start Node with --allow-addons" };
  }
  if (name === "NotCapable" || name === "PermissionDenied" || message.includes("--allow-ffi")) {
    return { what: "Deno does not allow it", remedy: "Start Deno with --allow-ffi, --allow-read and --allow-env" };
  }
  const needed = [...message.matchAll(/GLIBC_([\d.]+)' not found/g)].map(([, version]) => version).join(", ");
  if (needed !== "") {
    return {
      what: `it needs glibc ${needed}, and this system has ${glibcVersion() ?? "another C library"}`,
      remedy: "Use a newer system, or build the addon on this one with `cargo xtask node` and let AGB_NATIVE name it",
    };
  }
  if (message.includes("musl")) {
    return { what: `it is for musl (Alpine): ${reason(error)}`, remedy: REINSTALL };
  }
  if (/file too short|invalid ELF header|not a mach-o|not a valid Win32|slice is not valid/i.test(message)) {
    return { what: `the file is damaged: ${reason(error)}`, remedy: REINSTALL };
  }
  return { what: reason(error), remedy: REINSTALL };
}

/** The file behind what was required, as far as it can be told. */
function fileOf(request: string): string {
  try {
    return require.resolve(request);
  } catch {
    return request;
  }
}

function glibcVersion(): string | null {
  const report = process.report?.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } } | undefined;
  const version = report?.header?.glibcVersionRuntime;
  return version === undefined ? null : `glibc ${version}`;
}

/** The first line of an error: Node appends the require stack to it. */
function reason(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split("\n", 1)[0] ?? message;
}

/** Whether this Linux has musl (Alpine) for its C library. */
function isMusl(): boolean {
  try {
    return readFileSync("/usr/bin/ldd", "latin1").includes("musl");
  } catch {
    return glibcVersion() === null;
  }
}
