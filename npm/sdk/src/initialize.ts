import type { InitializeOptions } from "./initialize-options.js";
import { currentPlatform } from "./platform.js";

/**
 * Loads the native part now: the WebAssembly in a browser, the addon in Node. Calling it is not necessary, the first use
 * loads it as well; it is for loading early, from elsewhere (`wasm`), or for noticing here that it cannot be loaded.
 * Once it has resolved with
 * `account`, `new AGB(…)` checks its options at once in a browser too.
 *
 * ```ts
 * await initialize({ wasm: "/assets/agb_bg.wasm" });
 * ```
 *
 * @throws NativeAddonError (as a rejection) that says why it cannot be loaded.
 */
export async function initialize(options: InitializeOptions = {}): Promise<void> {
  await currentPlatform().initialize(options);
}
