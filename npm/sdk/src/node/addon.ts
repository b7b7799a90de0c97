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
  const attempts: string[] = [];
  for (const request of [`agbcloud-sdk-${platform}`, join(PACKAGE_ROOT, "native", `agbcloud-sdk.${platform}.node`)]) {
    try {
      return checked(require(request), request);
    } catch (error) {
      if (error instanceof NativeAddonError) {
        throw error;
      }
      attempts.push(`${request}: ${reason(error)}`);
    }
  }
  throw missing(platform, attempts);
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
    throw new NativeAddonError(
      `AGB_NATIVE names ${path}, which cannot be loaded: ${reason(error)}. Correct it, or unset it to use the installed one`,
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

function missing(platform: string, attempts: readonly string[]): NativeAddonError {
  const remedy = PLATFORMS.includes(platform)
    ? "Reinstall with optional dependencies (`npm install agbcloud-sdk --include=optional`, and not with a lock file or" +
      " node_modules folder made on another platform); in a checkout, build it with `cargo xtask node`"
    : `There is no prebuilt addon for it (there is for ${PLATFORMS.join(", ")}); build one with \`cargo xtask node\` and` +
      " let AGB_NATIVE name it";
  return new NativeAddonError(
    `agbcloud-sdk has no native addon for this platform, ${platform} (Node ${process.version}). ${remedy}. ` +
      `Tried: ${attempts.join("; ")}`,
    "NATIVE_ADDON_MISSING",
  );
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
    const report = process.report?.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } } | undefined;
    return report?.header?.glibcVersionRuntime === undefined;
  }
}
