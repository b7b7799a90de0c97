/**
 * Entry for browsers and web workers: the public API with the core as WebAssembly behind it. Importing it does nothing
 * that needs a browser, so that a framework can import it on its server.
 *
 * @module
 */

import { browserBinding, loadNow } from "./browser/binding.js";
import { plugPlatform } from "./platform.js";

/** `setTimeout` waits at least 4 ms once it is nested, and up to a second in a hidden tab; a message does not. */
let channel: MessageChannel | null = null;
const deferred: Array<() => void> = [];

plugPlatform({
  loadBinding: () => browserBinding,
  initialize: loadNow,
  environment: () => [],
  findLocalServer: () => null,
  defer(task) {
    if (channel === null) {
      channel = new MessageChannel();
      channel.port1.onmessage = () => deferred.shift()?.();
    }
    deferred.push(task);
    channel.port2.postMessage(null);
  },
  bindContext: (task) => task,
});

export * from "./index.js";
