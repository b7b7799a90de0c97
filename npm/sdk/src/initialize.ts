import { currentPlatform } from "./platform.js";

/** What {@link initialize} can be told. All of it is for browsers. */
export interface InitializeOptions {
  /**
   * Where the WebAssembly is, when it is not beside the script: a `URL` or the text of one, a `Response` or the promise
   * of one, its bytes, or the compiled `WebAssembly.Module`.
   */
  readonly wasm?: string | object | undefined;
  /**
   * Load the larger build (`agb_account_bg.wasm`), which a page needs that makes an {@link AGB}; without it the one
   * that {@link Session.attach} needs (`agb_bg.wasm`).
   */
  readonly account?: boolean | undefined;
}

/**
 * Loads the native part now: the WebAssembly in a browser, the addon in Node. Calling it is not necessary, the first use
 * loads it as well; it is for loading early, from elsewhere (`wasm`), or for noticing here that it cannot be loaded.
 * Once it has resolved with
 * `account`, `new AGB(…)` checks its options at once in a browser too.
 *
 * ```ts
 * await initialize({ wasm: "/assets/agb_wasm_bg.wasm" });
 * ```
 *
 * @throws NativeAddonError (as a rejection) that says why it cannot be loaded.
 */
export async function initialize(options: InitializeOptions = {}): Promise<void> {
  await currentPlatform().initialize(options);
}
