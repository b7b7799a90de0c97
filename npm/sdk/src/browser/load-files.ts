import { NativeAddonError } from "../errors.js";
import type { FileParts } from "../load-files.js";

/** Loads what files need beyond single calls, when it is first needed: their calls need the rest of that part as well. */
export async function loadFiles(): Promise<FileParts> {
  try {
    return (await import("./account.js")).files;
  } catch (cause) {
    const words = "A part of agbcloud-sdk cannot be loaded: the files that its bundle consists of must be served together";
    throw new NativeAddonError(words, "NATIVE_ADDON_MISSING", { cause });
  }
}
