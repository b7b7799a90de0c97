/**
 * Entry for browsers and web workers: the public API with the core as WebAssembly behind it. Importing it does nothing
 * that needs a browser, so that a framework can import it on its server.
 *
 * @module
 */

import { browserBinding, loadNow } from "./browser/binding.js";
import { platformOf } from "./browser/platform.js";
import { plugPlatform } from "./platform.js";

/** @internal For the SDK's own worker, which loads this very bundle. */
export const browserPlatform = platformOf(browserBinding, loadNow);

plugPlatform(browserPlatform);

export * from "./index.js";
