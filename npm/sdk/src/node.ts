/**
 * Entry for Node: the public API with the native addon behind it. This CommonJS module is the real one; `node.mts`
 * gives `import` the very same classes, so that a program that uses both has one copy.
 *
 * @module
 */

import { AsyncResource } from "node:async_hooks";
import { loadAddon } from "./node/addon.js";
import { findLocalServer } from "./node/local-server.js";
import { plugPlatform } from "./platform.js";

plugPlatform({
  loadBinding: loadAddon,
  environment: () =>
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[0].startsWith("AGB_") && entry[1] !== undefined),
  findLocalServer,
  defer: (task) => void setImmediate(task),
  bindContext: (task) => AsyncResource.bind(task),
});

export * from "./index.js";
