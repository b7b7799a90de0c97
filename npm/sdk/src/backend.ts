import type { Binding } from "./binding.js";
import { attachLog } from "./log.js";
import { currentPlatform } from "./platform.js";

let loaded: Binding | null = null;

/**
 * The backend, loaded at the first call.
 *
 * @throws NativeAddonError when this platform has none.
 */
export function backend(): Binding {
  if (loaded === null) {
    const binding = currentPlatform().loadBinding();
    attachLog(binding);
    loaded = binding;
  }
  return loaded;
}
