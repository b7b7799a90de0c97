/**
 * Log lines of this package and of the Rust core below it. Lines never contain keys, tokens or URL queries.
 *
 * @module
 */

import type { Binding, NativeLogLevel } from "./binding.js";
import { currentPlatform } from "./platform.js";

/** From which level on lines are written. */
export type LogLevel = NativeLogLevel;

/** Where lines go. `console` is one; so are the usual logging packages. */
export interface Logger {
  error(message: string): void;
  warn(message: string): void;
  info(message: string): void;
  debug(message: string): void;
  /** Lines of level `trace` go to `debug` when this is missing. */
  trace?(message: string): void;
}

const LEVELS: readonly LogLevel[] = ["off", "error", "warn", "info", "debug", "trace"];
const DEFAULT_LEVEL: LogLevel = "warn";

/** Writes to stderr, since stdout belongs to the program. */
const stderrLogger: Logger = {
  error: (message) => console.error(`[agb] ERROR ${message}`),
  warn: (message) => console.error(`[agb] WARN ${message}`),
  info: (message) => console.error(`[agb] INFO ${message}`),
  debug: (message) => console.error(`[agb] DEBUG ${message}`),
};

let chosenLevel: LogLevel | null = null;
let logger: Logger = stderrLogger;
let attached: Binding | null = null;

/**
 * Sets from which level on lines are logged. Without it the environment variable `AGB_LOG_LEVEL` says so, and without
 * that it is `warn`.
 *
 * @throws TypeError for an unknown level.
 */
export function setLogLevel(level: LogLevel): void {
  if (!isLogLevel(level)) {
    throw new TypeError(`the log level must be one of ${LEVELS.join(", ")}`);
  }
  chosenLevel = level;
  attached?.setLogger(level, logNative);
}

/**
 * Sends log lines elsewhere; `null` goes back to stderr.
 *
 * ```ts
 * setLogger(console);
 * ```
 *
 * @throws TypeError when it lacks one of the methods of {@link Logger}.
 */
export function setLogger(target: Logger | null): void {
  if (target !== null) {
    for (const method of ["error", "warn", "info", "debug"] as const) {
      if (typeof target[method] !== "function") {
        throw new TypeError(`the logger has no method ${method}(message)`);
      }
    }
  }
  logger = target ?? stderrLogger;
}

/** @internal Lets a backend that was just loaded log. */
export function attachLog(binding: Binding): void {
  attached = binding;
  binding.setLogger(level(), logNative);
}

/** @internal Writes one line, if its level is wanted. */
export function log(lineLevel: Exclude<LogLevel, "off">, message: string): void {
  if (LEVELS.indexOf(lineLevel) > LEVELS.indexOf(level())) {
    return;
  }
  try {
    if (lineLevel === "trace" && logger.trace === undefined) {
      logger.debug(message);
    } else {
      logger[lineLevel]?.(message);
    }
  } catch (error) {
    console.error("[agb] ERROR the logger threw", error);
  }
}

function logNative(lineLevel: NativeLogLevel, target: string, message: string): void {
  if (lineLevel !== "off") {
    log(lineLevel, `${target}: ${message}`);
  }
}

function level(): LogLevel {
  if (chosenLevel === null) {
    const wanted = currentPlatform()
      .environment()
      .find(([name]) => name === "AGB_LOG_LEVEL")?.[1]
      .trim()
      .toLowerCase();
    chosenLevel = isLogLevel(wanted) ? wanted : DEFAULT_LEVEL;
    if (wanted && !isLogLevel(wanted)) {
      log("warn", `AGB_LOG_LEVEL is not one of ${LEVELS.join(", ")}; using ${DEFAULT_LEVEL}`);
    }
  }
  return chosenLevel;
}

function isLogLevel(value: unknown): value is LogLevel {
  return (LEVELS as readonly unknown[]).includes(value);
}
