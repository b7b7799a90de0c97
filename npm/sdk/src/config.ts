import type { NativeClient } from "./binding.js";
import { makeClient } from "./client-options.js";
import { ConfigurationError } from "./errors.js";
import { currentPlatform } from "./platform.js";

/** How the service is reached. */
export type Config = {
  /** A host (https), a URL, or `local`. */
  endpoint: string;
  /** Time limit of one HTTP call, milliseconds. */
  timeoutMs: number;
};

/** Settings for {@link loadConfig}. What is left out is looked for elsewhere. */
export type ConfigOptions = {
  endpoint?: string | undefined;
  timeoutMs?: number | undefined;
};

/** Settings where nobody has said otherwise. */
export function defaultConfig(): Config {
  return { endpoint: "sdk-api.agb.cloud", timeoutMs: 60_000 };
}

/**
 * Settings from code, then the environment (`AGB_ENDPOINT`, `AGB_TIMEOUT_MS`), then a `.env` file, then
 * {@link defaultConfig}.
 *
 * @param envPath Path of the `.env` file; one that is not there is ignored. Default: the nearest upward.
 * @throws {@link ConfigurationError} for a setting that cannot be used.
 */
export function loadConfig(options: ConfigOptions | null = {}, envPath?: string | null): Config {
  const { endpoint, timeoutMs } = options ?? {};
  // A key is not needed here, and a client is not made without one.
  const load = (envFile: string | undefined) => makeClient({ apiKey: "none", config: { endpoint, timeoutMs }, envFile });
  try {
    return configOf(load(envPath ?? undefined), endpoint);
  } catch (error) {
    if (error instanceof ConfigurationError && error.code === "BAD_ENV_FILE") {
      return configOf(load(undefined), endpoint);
    }
    throw error;
  }
}

/** @internal The settings of a client; `given` is the endpoint that code named. */
export function configOf(client: NativeClient, given: string | undefined): Config {
  // A page's client does not know its endpoint before it is loaded; Node's has none until a local server is started.
  const unknown = currentPlatform().localFiles === undefined ? defaultConfig().endpoint : "local";
  const endpoint = client.endpoint?.replace(/^https:\/\//, "").replace(/\/$/, "") ?? given ?? unknown;
  return { endpoint, timeoutMs: client.timeoutMs };
}
