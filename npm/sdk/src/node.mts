/**
 * The ESM face of `node.ts`: the same classes, by the names that Node finds in the CommonJS file.
 *
 * @module
 */

export * from "./node.js";
