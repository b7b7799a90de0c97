/**
 * Entry for Node: the public API with the native addon behind it. This CommonJS module is the real one; `node.mts`
 * gives `import` the very same classes, so that a program that uses both has one copy.
 *
 * @module
 */

import { nodePlatform } from "./node/platform.js";
import { requirePlatformPackage } from "./node/platform-package.js";
import { plugPlatform } from "./platform.js";

plugPlatform(nodePlatform(requirePlatformPackage));

export * from "./index.js";
