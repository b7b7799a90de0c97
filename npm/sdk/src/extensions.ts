/**
 * What a session's service offers for files, beyond the documented tools.
 *
 * @module
 */

import type { NativeSession } from "./binding.js";

/** @internal Whether the service carries bytes as they are. */
export const carriesBytes = (native: NativeSession): boolean => native.extensions.includes("files");

/** @internal Whether the service packs and unpacks folders. */
export const carriesFolders = (native: NativeSession): boolean => carriesBytes(native) && native.extensions.includes("folders");

/** @internal Whether the service tells of changes. */
export const tellsChanges = (native: NativeSession): boolean => native.extensions.includes("fileWatch");
