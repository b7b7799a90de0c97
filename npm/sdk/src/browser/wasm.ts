/**
 * Loads the WebAssembly, once and not before it is needed.
 *
 * There are two builds of it: a page that its server has let into a session loads the small one, a page that makes an
 * `AGB` the one with everything over HTTP in it.
 *
 * @module
 */

import startSession, { attach, setLogger } from "#wasm";
import { NativeAddonError } from "../errors.js";
import type { InitializeOptions } from "../initialize.js";

/** What both builds of `crates/wasm` export. (Named one by one: of a namespace the bundler keeps all.) */
export interface Wasm {
  readonly attach: typeof attach;
  readonly setLogger: typeof setLogger;
}
/** What the larger one exports. */
export type AccountWasm = typeof import("./account.js");

/** Where a build comes from. That it is one of these is for whoever loads it to say. */
type Source = NonNullable<Parameters<typeof startSession>[0]>["module_or_path"] | undefined;

/** One build: there, on its way, or not asked for yet. */
export class Build<W extends Wasm> {
  readonly #file: string;
  readonly #start: (source: Source) => Promise<W>;
  readonly #onLoad: (wasm: Wasm) => void;
  #loading: Promise<W> | null = null;
  /** Its exports, once they are there. */
  loaded: W | null = null;

  constructor(
    file: string,
    start: (source: Source) => Promise<W>,
    onLoad: (wasm: Wasm) => void,
  ) {
    this.#file = file;
    this.#start = start;
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
      this.loaded = await this.#start((await source) as Source);
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new NativeAddonError(
        `The WebAssembly part of agbcloud-sdk cannot be loaded: ${reason}. The file ${this.#file} must be served beside` +
          " the script, or be named with initialize({ wasm }); a Content-Security-Policy must allow 'wasm-unsafe-eval'",
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
      async (source) => {
        await startSession(source === undefined ? source : { module_or_path: source });
        return { attach, setLogger };
      },
      onLoad,
    ),
    account: new Build(
      "agb_account_bg.wasm",
      async (source) => {
        const account = await import("./account.js");
        await account.default(source === undefined ? source : { module_or_path: source });
        return account;
      },
      onLoad,
    ),
  };
}
