/**
 * A local AGB server for development, tests and CI.
 *
 * @module
 */

export { type LocalServer, type LocalServerOptions, startLocalServer } from "./local-server.js";
export { serverPath } from "./server-path.js";
