import { backend } from "./backend.js";
import type { ClientOptions, ConnectionOptions, NativeClient } from "./binding.js";
import { checkObject, checkOptionalNumber, checkOptionalString } from "./check.js";
import { AGBError, AuthenticationError, ConfigurationError } from "./errors.js";
import { currentPlatform } from "./platform.js";
import type { StreamingLimits } from "./streaming-limits.js";

/** Settings of the connection to the service: for {@link AGB}, and in Node for {@link Session.attach}. */
export interface AGBConfig {
  /**
   * Host (https), URL, or `local` for a server on this machine that starts with the first call and ends with this
   * process; it needs the package `agbcloud-local`. Default: `AGB_ENDPOINT`, else the public service.
   */
  endpoint?: string | undefined;
  /** Time limit of one HTTP call, milliseconds. Default: `AGB_TIMEOUT_MS`, else 60000. */
  timeoutMs?: number | undefined;
  /**
   * Forward proxy for all connections but those to this machine, in Node: `http://user:password@host:port`, or `false`
   * for none. Default: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`, in lower case too.
   */
  proxy?: string | false | undefined;
  /**
   * Certificates of authorities to trust, PEM, in Node: beside Node's own, the system's and those that
   * `NODE_EXTRA_CA_CERTS` names. `NODE_TLS_REJECT_UNAUTHORIZED=0` is not honoured; give the certificate here instead.
   */
  ca?: string | readonly string[] | undefined;
  /** Limits of the connections over which runs stream, in Node. */
  streaming?: StreamingLimits | undefined;
}

/** What {@link AGB} can be told. What is left out comes from the environment, then from a `.env` file, then from defaults. */
export interface AGBOptions {
  /** Default: `AGB_API_KEY`. Not needed with `endpoint: "local"`. */
  apiKey?: string | undefined;
  /** How to reach the service. */
  config?: AGBConfig | undefined;
  /** Path of a `.env` file. Default: the first `.env` from the working directory upwards. */
  envFile?: string | undefined;
}

/**
 * @internal The backend's client for these options.
 *
 * @throws what {@link AGB} throws.
 */
export function makeClient(options: string | AGBOptions | undefined): NativeClient {
  const clientOptions = toClientOptions(options);
  const { Client } = backend();
  return constructed(() => new Client(clientOptions));
}

/** @internal What the backend makes, or the typed error for what it throws. */
export function constructed<T>(make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw constructionError(error);
  }
}

function toClientOptions(options: string | AGBOptions | undefined): ClientOptions {
  if (typeof options === "string") {
    return toClientOptions({ apiKey: options });
  }
  const { apiKey, config = {}, envFile } = checkedOptions(options);
  checkObject("config", config);
  const env = currentPlatform().environment();
  const endpoint = checkOptionalString("config.endpoint", config.endpoint);
  return {
    apiKey: checkOptionalString("apiKey", apiKey),
    endpoint,
    envFile: checkOptionalString("envFile", envFile),
    env,
    localServer: mayBeLocal(endpoint, env) ? currentPlatform().findLocalServer() : null,
    ...toConnectionOptions(config),
  };
}

/**
 * @internal What was said of connections, if anything was.
 *
 * @throws TypeError when a setting has the wrong type.
 */
export function toConnectionOptions({ timeoutMs, streaming, proxy, ca }: AGBConfig): ConnectionOptions {
  const checkedProxy = proxy === false ? "" : checkOptionalString("config.proxy", proxy);
  const texts: readonly unknown[] = Array.isArray(ca) ? ca : [ca];
  const checkedCa = texts.map((text) => checkOptionalString("config.ca", text)).filter((text) => text !== null);
  // Absent ones are `null`: the addon takes an object that lacks them for a wrong one.
  return {
    timeoutMs: checkOptionalNumber("config.timeoutMs", timeoutMs, "milliseconds"),
    streaming: currentPlatform().streamingLimits?.(streaming) ?? null,
    proxy: checkedProxy,
    ca: checkedCa.length === 0 ? null : checkedCa,
  };
}

function checkedOptions(options: AGBOptions | undefined | null): AGBOptions {
  if (options === undefined || options === null) {
    return {};
  }
  checkObject("options", options);
  return options;
}

/** Whether to look for a server program: not when code or environment name another endpoint. A `.env` file might. */
function mayBeLocal(endpoint: string | null, env: ClientOptions["env"]): boolean {
  const named = endpoint ?? env.find(([name, value]) => name === "AGB_ENDPOINT" && value !== "")?.[1];
  return named === undefined || named.trim().toLowerCase() === "local";
}

/** The typed error for what the backend's constructor threw. */
function constructionError(error: unknown): unknown {
  // Not by `instanceof`: under Jest and in other realms the addon's errors are of another one.
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  if (typeof code !== "string" || typeof message !== "string") {
    return error;
  }
  switch (code) {
    case "NO_API_KEY":
      return new AuthenticationError(message, code);
    case "BAD_ENDPOINT":
    case "BAD_TIMEOUT":
    case "BAD_ENV_FILE":
    case "BAD_NETWORK":
    case "NO_LOCAL_SERVER":
      return new ConfigurationError(message, code);
    default:
      return new AGBError(message, code, { cause: error });
  }
}
