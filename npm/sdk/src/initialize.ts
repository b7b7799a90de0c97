import { currentPlatform } from "./platform.js";

/** What {@link initialize} can be told. */
export interface InitializeOptions {
  /**
   * Where the WebAssembly is, when it is not beside the script: a URL, an answer of `fetch`, its bytes, or the compiled
   * module. Only for browsers.
   */
  readonly wasm?:
    | string
    | URL
    | ArrayBuffer
    | ArrayBufferView
    | WebAssemblyModule
    | FetchedResponse
    | Promise<FetchedResponse>
    | undefined;
}

/** A `WebAssembly.Module`, without asking for the browser's types. */
export type WebAssemblyModule = object & { readonly [Symbol.toStringTag]?: string };

/** A `Response`, without asking for the browser's types. */
export interface FetchedResponse {
  readonly status: number;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/**
 * Loads the native part now: the WebAssembly in a browser, the addon in Node. Calling it is not necessary, the first use
 * loads it as well; it is for loading early, from elsewhere (`wasm`), or for noticing here that it cannot be loaded.
 * Once it has resolved, `new AGB(…)` checks its options at once in a browser too.
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
