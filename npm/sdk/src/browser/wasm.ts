/**
 * Loads the WebAssembly, once and not before it is needed.
 *
 * There are two builds of it: a page that its server has let into a session loads the small one, a page that makes an
 * `AGB` the one with everything over HTTP in it.
 *
 * @module
 */

import init, { attach, setLogger } from "#wasm";
import { NativeAddonError } from "../errors.js";
import type { InitializeOptions } from "../initialize-options.js";

/** What both builds of `crates/wasm` export. (Named one by one: of a namespace the bundler keeps all.) */
export interface Wasm {
  readonly attach: typeof attach;
  readonly setLogger: typeof setLogger;
  readonly init: typeof init;
}
/** What the larger one exports. */
export type AccountWasm = typeof import("./account.js");

/** One build: there, on its way, or not asked for yet. */
export class Build<W extends Wasm> {
  readonly #file: string;
  readonly #url: () => URL;
  readonly #glue: () => W | Promise<W>;
  readonly #onLoad: (wasm: Wasm) => void;
  #loading: Promise<W> | null = null;
  /** Its exports, once they are there. */
  loaded: W | null = null;

  /** The file is beside the script; `url` is written where a bundler sees it. */
  constructor(file: string, url: () => URL, glue: () => W | Promise<W>, onLoad: (wasm: Wasm) => void) {
    this.#file = file;
    this.#url = url;
    this.#glue = glue;
    this.#onLoad = onLoad;
  }

  /**
   * Its exports. Of all calls the first one's source counts; after a failure the next call tries anew.
   *
   * @throws NativeAddonError (as a rejection).
   */
  load(source?: InitializeOptions["wasm"]): Promise<W> {
    this.#loading ??= this.#load(source).catch((error: unknown) => {
      this.#loading = null;
      throw error;
    });
    return this.#loading;
  }

  async #load(source: InitializeOptions["wasm"]): Promise<W> {
    try {
      const glue = await this.#glue();
      await glue.init({ module_or_path: (await source) ?? this.#url() });
      this.loaded = glue;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NativeAddonError(
        `The WebAssembly part of agbcloud-sdk cannot be loaded: ${reason}. Serve ${this.#file} beside the script, or name it` +
          " with initialize({ wasm }); a Content-Security-Policy must allow 'wasm-unsafe-eval'. In Node, let the bundler use" +
          ' the condition "node" (rollup: exportConditions: ["node"]), or leave the package out',
        "NATIVE_ADDON_MISSING",
        { cause },
      );
    }
    this.#onLoad(this.loaded);
    return this.loaded;
  }
}

/** The two builds; `onLoad` is called with each as it arrives. */
export function builds(onLoad: (wasm: Wasm) => void): { session: Build<Wasm>; account: Build<AccountWasm> } {
  return {
    session: new Build(
      "agb_bg.wasm",
      () => new URL("agb_bg.wasm", import.meta.url),
      () => ({ attach, init, setLogger }),
      onLoad,
    ),
    account: new Build(
      "agb_account_bg.wasm",
      () => new URL("agb_account_bg.wasm", import.meta.url),
      () => import("./account.js"),
      onLoad,
    ),
  };
}
