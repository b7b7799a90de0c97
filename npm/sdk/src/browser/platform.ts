import type { Binding } from "../binding.js";
import type { Platform } from "../platform.js";

/** `setTimeout` waits at least 4 ms once it is nested, and up to a second in a hidden tab; a message does not. */
let channel: MessageChannel | null = null;
const deferred: Array<() => void> = [];

/** What a browser provides, with this binding. */
export const platformOf = (binding: Binding, initialize: Platform["initialize"]): Platform => ({
  loadBinding: () => binding,
  initialize,
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
  decodeBase64: (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0)),
  bindContext: (task) => task,
});
