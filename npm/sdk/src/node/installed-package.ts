import { checkLibrary } from "./addon-fault.js";
import { HERE, requireFrom } from "./location.js";

/**
 * The addon from the package of a platform, for code that a bundler took out of this package: looked for at run time,
 * from the bundle and from the script that Node was started with. pnpm shows the platform's package to `agbcloud-sdk`
 * only, so the search goes through that.
 *
 * @throws Error of the loader, with the code `MODULE_NOT_FOUND` when no package is installed there.
 */
export function requireInstalledPackage(platform: string): unknown {
  const name = `agbcloud-sdk-${platform}`;
  let missing: unknown;
  for (const base of new Set([HERE, process.argv[1] ?? HERE])) {
    try {
      const near = requireFrom(requireFrom(base).resolve("agbcloud-sdk/package.json"));
      checkLibrary(near.resolve(name));
      return near(name);
    } catch (error) {
      if ((error as { readonly code?: unknown } | null)?.code !== "MODULE_NOT_FOUND") {
        throw error;
      }
      missing ??= error;
    }
  }
  throw missing;
}
