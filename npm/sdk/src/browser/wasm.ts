/**
 * Loads the WebAssembly, once and not before it is needed.
 *
 * @module
 */

import startWasm, * as exported from "#wasm";
import { NativeAddonError } from "../errors.js";
import type { InitializeOptions } from "../initialize.js";

/** What `crates/wasm` exports. */
export type Wasm = typeof exported;

let loaded: Wasm | null = null;
let loading: Promise<Wasm> | null = null;

/** The exports if they are there already. */
export function loadedWasm(): Wasm | null {
  return loaded;
}

/**
 * The exports. Of all calls the first one's options count; after a failure the next call tries anew.
 *
 * @throws NativeAddonError (as a rejection).
 */
export function load(options: InitializeOptions = {}): Promise<Wasm> {
  loading ??= start(options).catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function start({ wasm }: InitializeOptions): Promise<Wasm> {
  try {
    await startWasm(wasm === undefined ? undefined : { module_or_path: await wasm });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new NativeAddonError(
      `The WebAssembly part of agbcloud-sdk cannot be loaded: ${reason}. The file agb_wasm_bg.wasm must be served beside` +
        " the script, or be named with initialize({ wasm }); a Content-Security-Policy must allow 'wasm-unsafe-eval'",
      "NATIVE_ADDON_MISSING",
      { cause },
    );
  }
  loaded = exported;
  return exported;
}
