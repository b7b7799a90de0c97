/**
 * Entry for bundlers that build for Node: one ES module, made by `build-module.mjs`, which names nothing that a bundler
 * would follow. `node.ts` is the entry for Node itself.
 *
 * @module
 */

import { requireInstalledPackage } from "./node/installed-package.js";
import { nodePlatform } from "./node/platform.js";
import { plugPlatform } from "./platform.js";

plugPlatform(nodePlatform(requireInstalledPackage));

export * from "./index.js";
