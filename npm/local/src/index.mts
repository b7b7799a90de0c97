/**
 * The ESM face of `index.ts`: the same functions, by name.
 *
 * @module
 */

export { serverPath, startLocalServer } from "./index.js";
export type { LocalServer, LocalServerOptions } from "./index.js";
