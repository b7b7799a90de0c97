/**
 * The ESM face of `worker.ts`, for its types: pages load `web/worker.js`.
 *
 * @module
 */

export * from "./worker.js";
