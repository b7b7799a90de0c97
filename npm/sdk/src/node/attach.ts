import { backend } from "../backend.js";
import type { NativeSession } from "../binding.js";
import { checkObject } from "../check.js";
import { type AGBConfig, constructed, toConnectionOptions } from "../client-options.js";
import { checkNames } from "../run-options.js";

/**
 * Takes up a session with the settings of `SessionAttachOptions`.
 *
 * @throws TypeError for what is none of them; ConfigurationError for one that cannot be used.
 */
export function attachWith(access: string, options: unknown): NativeSession {
  const connection = toConnectionOptions(configOf(options ?? {}));
  return constructed(() => backend().attach(access, connection));
}

function configOf(options: unknown): AGBConfig {
  checkObject("options", options);
  checkNames("Session.attach", options, ["config"]);
  const { config = {} } = options as { readonly config?: unknown };
  checkObject("config", config);
  return config;
}
