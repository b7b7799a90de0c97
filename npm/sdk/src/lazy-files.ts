/**
 * What files need beyond single calls: a page loads it with the first of them.
 *
 * @module
 */

export { openWatch } from "./changes.js";
export { bytesOf, FileReader, FileWriter, FolderReader } from "./file-parts.js";
export { FileTransfer } from "./file-transfer.js";
export { watch } from "./file-watch.js";
