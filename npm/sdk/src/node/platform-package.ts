import { checkLibrary } from "./addon-fault.js";
import { HERE, requireFrom } from "./location.js";

/**
 * The addon from the package of a platform, for the CommonJS entry.
 *
 * The name of the most usual one is written out: tools that copy what a program needs (Next.js' standalone output,
 * serverless packagers, `bun build --compile`) read it here. The others are not, since webpack warns of each that is not
 * installed; there those tools are told by their configuration.
 *
 * @throws Error of the loader, with the code `MODULE_NOT_FOUND` when the package is not installed.
 */
export function requirePlatformPackage(platform: string): unknown {
  const file = locate(`agbcloud-sdk-${platform}`);
  if (file !== null) {
    checkLibrary(file);
  }
  try {
    if (platform === "linux-x64-gnu") {
      return require("agbcloud-sdk-linux-x64-gnu");
    }
  } catch (error) {
    throw error; // what is tried may be missing for a bundler: on other platforms it is
  }
  if (file === null) {
    throw Object.assign(new Error(`there is no package for ${platform}`), { code: "MODULE_NOT_FOUND" });
  }
  return requireFrom(HERE)(file);
}

function locate(name: string): string | null {
  try {
    return requireFrom(HERE).resolve(name);
  } catch {
    return null; // not installed, or in a single file with everything else
  }
}
