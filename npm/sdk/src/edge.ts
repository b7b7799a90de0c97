/**
 * Entry for run times that can load neither the addon nor the page's WebAssembly: Cloudflare's workerd, edge functions.
 * Importing it does nothing, so that a framework can render a page there that uses the SDK in the browser only; the
 * first use says what to do.
 *
 * @module
 */

import { NativeAddonError } from "./errors.js";
import { plugPlatform } from "./platform.js";

function refuse(): never {
  throw new NativeAddonError(
    "agbcloud-sdk does not run in edge functions and Cloudflare Workers: call it from a function that runs in Node" +
      ' (Next.js: export const runtime = "nodejs") or from the page (Session.attach)',
    "NATIVE_ADDON_MISSING",
  );
}

plugPlatform({
  loadBinding: refuse,
  initialize: async () => refuse(),
  environment: () => [],
  findLocalServer: () => null,
  defer: (task) => void Promise.resolve().then(task),
  decodeBase64: refuse,
  bindContext: (task) => task,
});

export * from "./index.js";
