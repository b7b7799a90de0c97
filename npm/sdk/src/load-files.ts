import * as parts from "./lazy-files.js";

/** What files need beyond single calls. */
export type FileParts = typeof parts;

/**
 * Loads what files need beyond single calls: streams, copies, watches. Here it is loaded already; the bundle of a page has
 * `browser/load-files.ts` in this place, so that a page which only runs code does not load it.
 */
export const loadFiles = async (): Promise<FileParts> => parts;
