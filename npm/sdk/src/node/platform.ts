import { AsyncResource } from "node:async_hooks";
import type { Platform } from "../platform.js";
import { backend } from "../backend.js";
import { loadAddon, type RequirePackage } from "./addon.js";
import { attachWith } from "./attach.js";
import { localFiles } from "./local-files.js";
import { findLocalServer } from "./local-server.js";
import { checkedStreamingLimits } from "./streaming-limits.js";

/** What Node provides, with the addon found in this way. */
export const nodePlatform = (requirePackage: RequirePackage): Platform => ({
  loadBinding: () => loadAddon(requirePackage),
  initialize: async () => void backend(),
  environment: () =>
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[0].startsWith("AGB_") && entry[1] !== undefined),
  findLocalServer,
  streamingLimits: checkedStreamingLimits,
  attach: attachWith,
  defer: (task) => void setImmediate(task),
  decodeBase64: (text) => Buffer.from(text, "base64"),
  localFiles,
  bindContext: (task) => AsyncResource.bind(task),
});
