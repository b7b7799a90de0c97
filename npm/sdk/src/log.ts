/**
 * Log lines of this package and of the Rust core below it. Lines never contain keys, tokens or URL queries.
 *
 * @module
 */

import type { Binding, NativeLogLevel } from "./binding.js";
import { currentPlatform } from "./platform.js";

/** Levels as numbers, each with all above it, and the names of the numbers. `SILENT` writes nothing. */
export const LogLevel = {
  DEBUG: 0,
  INFO: 1,
  WARN: 2,
  ERROR: 3,
  SILENT: 4,
  0: "DEBUG",
  1: "INFO",
  2: "WARN",
  3: "ERROR",
  4: "SILENT",
} as const;

/** A level as a number. */
type LevelNumber = 0 | 1 | 2 | 3 | 4;

/** From which level on lines are written: a word, in any case, or a number of {@link LogLevel}. */
export type LogLevel =
  | NativeLogLevel
  | "silent"
  | "warning"
  | "DEBUG"
  | "INFO"
  | "WARN"
  | "WARNING"
  | "ERROR"
  | "SILENT"
  | LevelNumber;

/** Where lines go. `console` is one; so are the usual logging packages. */
export interface Logger {
  error(message: string): void;
  warn(message: string): void;
  info(message: string): void;
  debug(message: string): void;
  /** Lines of level `trace` go to `debug` when this is missing. */
  trace?(message: string): void;
}

const LEVELS: readonly NativeLogLevel[] = ["off", "error", "warn", "info", "debug", "trace"];
const DEFAULT_LEVEL: NativeLogLevel = "warn";

/** Writes to stderr, since stdout belongs to the program. */
const toStderr = (level: string) => (message: string) => console.error(`[agb] ${level} ${message}`);
const stderrLogger: Logger = { error: toStderr("ERROR"), warn: toStderr("WARN"), info: toStderr("INFO"), debug: toStderr("DEBUG") };

let chosenLevel: NativeLogLevel | null = null;
let logger: Logger = stderrLogger;
let attached: Binding | null = null;

/**
 * Sets from which level on lines are logged. Without it the environment variable `AGB_LOG_LEVEL` says so, and without
 * that it is `warn`.
 *
 * @throws TypeError for an unknown level.
 */
export function setLogLevel(level: LogLevel): void {
  const known = readLevel(level);
  if (known === null) {
    throw new TypeError(`the log level must be one of ${LEVELS.join(", ")}, or a number of LogLevel`);
  }
  chosenLevel = known;
  attached?.setLogger(known, logNative);
}

/** From which level on lines are logged. */
export function getLogLevel(): LevelNumber {
  // `trace` has no number of its own.
  return Math.max(0, 4 - LEVELS.indexOf(level())) as LevelNumber;
}

/** Logs a line of the caller's, at the level `debug`. */
export function logDebug(message: string, ...args: unknown[]): void {
  log("debug", lineOf(message, args));
}

/** Logs a line of the caller's, at the level `info`. */
export function logInfo(message: string, ...args: unknown[]): void {
  log("info", lineOf(message, args));
}

/** Logs a line of the caller's, at the level `warn`. */
export function logWarn(message: string, ...args: unknown[]): void {
  log("warn", lineOf(message, args));
}

/** Logs a line of the caller's, at the level `error`. */
export function logError(message: string, ...args: unknown[]): void {
  log("error", lineOf(message, args));
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
export function log(lineLevel: Exclude<NativeLogLevel, "off">, message: string): void {
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

function level(): NativeLogLevel {
  if (chosenLevel === null) {
    const wanted = currentPlatform()
      .environment()
      .find(([name]) => name === "AGB_LOG_LEVEL")?.[1]
      .trim();
    const known = readLevel(wanted);
    chosenLevel = known ?? DEFAULT_LEVEL;
    if (wanted && known === null) {
      log("warn", `AGB_LOG_LEVEL is not one of ${LEVELS.join(", ")}; using ${DEFAULT_LEVEL}`);
    }
  }
  return chosenLevel;
}

/** The level that a word or a number stands for; `null` for what is none. */
function readLevel(value: unknown): NativeLogLevel | null {
  if (typeof value === "number") {
    return value >= 0 && Number.isInteger(value) ? (LEVELS[4 - value] ?? null) : null;
  }
  const word = typeof value === "string" ? value.toLowerCase() : "";
  const known = word === "silent" ? "off" : word === "warning" ? "warn" : word;
  return LEVELS.find((level) => level === known) ?? null;
}

function lineOf(message: string, args: readonly unknown[]): string {
  const text = (value: unknown): string => {
    if (typeof value === "string") {
      return value;
    }
    try {
      return value instanceof Error ? String(value) : (JSON.stringify(value) ?? String(value));
    } catch {
      return String(value);
    }
  };
  return [message, ...args.map(text)].join(" ");
}
