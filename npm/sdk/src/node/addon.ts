import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Binding } from "../binding.js";
import { NativeAddonError } from "../errors.js";
import { VERSION } from "../version.js";
import { checkLibrary, faultOf, reason, REINSTALL } from "./addon-fault.js";
import { libc } from "./libc.js";
import { HERE, isBundled, PACKAGE_ROOT, requireFrom } from "./location.js";

/** Platforms that have an addon package; the same as in `npm/platforms.json`. */
export const PLATFORMS: readonly string[] = ["linux-x64-gnu", "linux-arm64-gnu", "linux-x64-musl", "linux-arm64-musl"];

/** How the addon of a platform's package is found, which differs for code that was bundled. */
export type RequirePackage = (platform: string) => unknown;

/**
 * Loads the native addon: the file that `AGB_NATIVE` names, else this platform's package, else the one that was built
 * in the checkout.
 *
 * @throws NativeAddonError that tells the platform, what was tried and what to do.
 */
export function loadAddon(requirePackage: RequirePackage): Binding {
  const override = process.env["AGB_NATIVE"];
  if (override !== undefined && override !== "") {
    return loadOverride(resolve(override));
  }
  const platform = platformName();
  const name = `agbcloud-sdk-${platform}`;
  const built = join(PACKAGE_ROOT, "native", `agbcloud-sdk.${platform}.node`);
  const attempts: Attempt[] = [];
  for (const [request, load] of [[name, () => requirePackage(platform)], [built, () => requireFile(built)]] as const) {
    try {
      return ofThisVersion(checked(load(), request), request);
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
    return `linux-${arch}-${libc() === "musl" ? "musl" : "gnu"}`;
  }
  return platform === "win32" ? `win32-${arch}-msvc` : `${platform}-${arch}`;
}

function loadOverride(path: string): Binding {
  try {
    return checked(requireFile(path), path);
  } catch (error) {
    if (error instanceof NativeAddonError) {
      throw error;
    }
    const fault = faultOf(error);
    throw new NativeAddonError(
      `AGB_NATIVE names ${path}, which cannot be loaded: ${fault?.what ?? reason(error)}. ` +
        `${fault === null ? "" : `${fault.remedy}. `}Correct it, or unset it to use the installed one`,
      existsSync(path) ? "NATIVE_ADDON_BROKEN" : "NATIVE_ADDON_MISSING",
      { cause: error },
    );
  }
}

/** By a `require` that no bundler follows: the file is not theirs. */
function requireFile(path: string): unknown {
  checkLibrary(path);
  return requireFrom(HERE)(path);
}

/** Refuses what loads but is something else. */
function checked(loaded: unknown, from: string): Binding {
  const binding = loaded as Partial<Binding> | null;
  if (typeof binding?.Client !== "function" || typeof binding.setLogger !== "function") {
    throw new NativeAddonError(`${from} loads, but it is not the addon of agbcloud-sdk; reinstall it`, "NATIVE_ADDON_BROKEN");
  }
  return binding as Binding;
}

/** Refuses an addon of another version, such as one that a bundle finds where it was carried to. */
function ofThisVersion(binding: Binding, from: string): Binding {
  if (binding.version !== VERSION) {
    throw new NativeAddonError(
      `${from} has version ${binding.version}, and agbcloud-sdk has ${VERSION}; install both in the same version`,
      "NATIVE_ADDON_BROKEN",
    );
  }
  return binding;
}

/** What was tried to load, and why it did not. */
interface Attempt {
  readonly request: string;
  readonly error: unknown;
}

const UNBUNDLE =
  "agbcloud-sdk was bundled, and the library cannot be part of a bundle. Leave the package out of the bundle and install" +
  ' it beside the program (Next.js: serverExternalPackages: ["agbcloud-sdk"]; esbuild and bun: --external:agbcloud-sdk and' +
  ' --external agbcloud-sdk; webpack: externals: { "agbcloud-sdk": "commonjs agbcloud-sdk" }; rollup and Vite: external:' +
  ' ["agbcloud-sdk"]), or let AGB_NATIVE name the library';

/** The error for an addon that is missing, or that is there and cannot be loaded. */
function notLoaded(platform: string, attempts: readonly Attempt[]): NativeAddonError {
  const about = `${platform}, Node ${process.version}`;
  for (const { request, error } of attempts) {
    const fault = faultOf(error);
    if (fault !== null) {
      const message = `The native addon ${fileOf(request)} (${about}) cannot be loaded: ${fault.what}. ${fault.remedy}`;
      return new NativeAddonError(message, "NATIVE_ADDON_BROKEN", { cause: error });
    }
  }
  const tried = attempts.map(({ request, error }) => `${request}: ${reason(error)}`).join("; ");
  return new NativeAddonError(
    `agbcloud-sdk has no native addon for this platform, ${platform} (Node ${process.version}). ${remedyFor(platform)}. Tried: ${tried}`,
    "NATIVE_ADDON_MISSING",
    { cause: attempts[0]?.error },
  );
}

/** What to do about an addon that is nowhere. */
function remedyFor(platform: string): string {
  if (!PLATFORMS.includes(platform)) {
    return (
      `There is no prebuilt addon for it (there is for ${PLATFORMS.join(", ")}); build one with` +
      " `cargo build --release -p agb-node`, and let AGB_NATIVE name the library, as a file *.node"
    );
  }
  const others = PLATFORMS.map((other) => fileOf(`agbcloud-sdk-${other}`)).filter(existsSync);
  if (others.length > 0) {
    return `Installed is the one for another platform, ${others.join(", ")}. ${REINSTALL}`;
  }
  return isBundled() ? UNBUNDLE : REINSTALL;
}

/** The file behind what was required, as far as it can be told. */
function fileOf(request: string): string {
  try {
    return requireFrom(HERE).resolve(request);
  } catch {
    return request;
  }
}
