/**
 * `session.browser`: a browser beside a session. The sessions of this package have none: {@link Browser.initialize}
 * resolves `false`, and what needs a browser rejects with `BrowserError`. The classes for its options are plain data.
 *
 * @module
 */

import { bindMethods } from "../bind-methods.js";
import { BrowserError } from "../errors.js";

/** Options of a browser, as the service takes them. */
export type BrowserOption = Record<string, unknown>;

/** A session's browser; see {@link Session.browser}. */
export class Browser {
  readonly agent: BrowserAgent;
  readonly #image: string;

  /** @internal */
  constructor(image: string) {
    this.#image = image || "this session's image";
    this.agent = new BrowserAgent(this.#image);
    bindMethods(this);
  }

  /** Starts the browser. Resolves `false`: there is none. */
  async initialize(_option?: BrowserOption | object): Promise<boolean> {
    return false;
  }

  isInitialized(): boolean {
    return false;
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async getEndpointUrl(): Promise<string> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async screenshot(..._args: unknown[]): Promise<string> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async destroy(): Promise<void> {
    throw noBrowser(this.#image);
  }
}

/** What drives a browser by instructions. */
export class BrowserAgent {
  readonly #image: string;

  /** @internal */
  constructor(image: string) {
    this.#image = image;
    bindMethods(this);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async navigate(..._args: unknown[]): Promise<string> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async act(..._args: unknown[]): Promise<ActResult> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async observe(..._args: unknown[]): Promise<[boolean, ObserveResult[]]> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async extract(..._args: unknown[]): Promise<[boolean, unknown]> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async screenshot(..._args: unknown[]): Promise<string> {
    throw noBrowser(this.#image);
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async close(): Promise<boolean> {
    throw noBrowser(this.#image);
  }
}

/** Options for a browser. */
export type ActOptions = Record<string, unknown>;
/** What an action came to. */
export type ActResult = { readonly success: boolean; readonly message: string };
export type ObserveOptions = Record<string, unknown>;
export type ObserveResult = Record<string, unknown>;
export type ExtractOptions = Record<string, unknown>;
export type ExtractResult = Record<string, unknown>;
export type BrowserProxy = Record<string, unknown>;
/** Where a proxy comes from, as the service names it. */
export type BrowserProxyType = string;
/** How proxies take turns, as the service names it. */
export type BrowserProxyStrategy = string;
export type BrowserFingerprint = Record<string, unknown>;
/** What a fingerprint says of its browser, in parts. */
export type Fingerprint = Record<string, unknown>;
export type ScreenFingerprint = Record<string, unknown>;
export type NavigatorFingerprint = Record<string, unknown>;
export type UserAgentData = Record<string, unknown>;
export type Brand = Record<string, unknown>;
export type ExtraProperties = Record<string, unknown>;
export type VideoCard = Record<string, unknown>;
export type BrowserViewport = { readonly width: number; readonly height: number };
export type BrowserScreen = { readonly width: number; readonly height: number };

/** Data that keeps what it is made from: the fields of an object, or a list of values as `values`. */
class Data {
  [name: string]: unknown;

  constructor(first?: unknown, ...more: unknown[]) {
    if (typeof first === "object" && first !== null) {
      Object.assign(this, first);
    } else if (first !== undefined || more.length > 0) {
      this["values"] = [first, ...more];
    }
  }
}

/** Options of a browser. */
export class BrowserOptionClass extends Data {}
/** A proxy of a browser. */
export class BrowserProxyClass extends Data {}
/** Where a browser's fingerprint is kept. */
export class BrowserFingerprintContext extends Data {}
/** Contexts of a browser. Creating a session with them fails: its browser does not exist. */
export class BrowserContext extends Data {}
/** A browser's fingerprint. */
export class FingerprintFormat extends Data {}
/** An extension of a browser. */
export class Extension extends Data {}
/** Which extensions a browser is to have. */
export class ExtensionOption extends Data {}

/** Makes fingerprints from a local browser, which this package does not drive. */
export class BrowserFingerprintGenerator {
  /** @throws {@link BrowserError} (as a rejection). */
  async generateFingerprint(): Promise<never> {
    throw new BrowserError("Fingerprints are not generated by this package: pass one as an object", "NOT_SUPPORTED");
  }
}

/** The extensions of an account's browsers. */
export class ExtensionsService {
  constructor(_agb: object, _contextId?: string) {}

  /** @throws {@link BrowserError} (as a rejection). */
  async list(): Promise<never> {
    throw noExtensions();
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async create(..._args: unknown[]): Promise<never> {
    throw noExtensions();
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async update(..._args: unknown[]): Promise<never> {
    throw noExtensions();
  }

  /** @throws {@link BrowserError} (as a rejection). */
  async delete(..._args: unknown[]): Promise<never> {
    throw noExtensions();
  }
}

function noBrowser(image: string): BrowserError {
  return new BrowserError(`${image} has no browser: create the session from an image such as agb-browser-use-1`, "NOT_SUPPORTED");
}

function noExtensions(): BrowserError {
  return new BrowserError("Extensions need a browser, which this package does not drive", "NOT_SUPPORTED");
}
