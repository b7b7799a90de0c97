import { checkObject, checkOptionalCount, checkOptionalNumber } from "../check.js";
import type { StreamingLimits } from "../streaming-limits.js";

const SECONDS = ["heartbeatS", "silenceS", "openTimeoutS", "giveUpS", "graceS", "cancelWaitS"];
const COUNTS = ["socketAttempts", "windowBytes", "unreadLimitBytes", "unsentLimitBytes", "inputLimitBytes"];

/**
 * What was said of {@link StreamingLimits}, and nothing else.
 *
 * @throws TypeError when a limit has the wrong type or is none.
 */
export function checkedStreamingLimits(value: unknown): StreamingLimits | null {
  if (value === undefined || value === null) {
    return null;
  }
  checkObject("config.streaming", value);
  const given = Object.entries(value).filter(([, limit]) => limit !== undefined && limit !== null);
  for (const [name, limit] of given) {
    if (SECONDS.includes(name)) {
      checkOptionalNumber(`config.streaming.${name}`, limit, "seconds");
    } else if (COUNTS.includes(name)) {
      checkOptionalCount(`config.streaming.${name}`, limit, name === "socketAttempts" ? "WebSockets" : "bytes");
    } else {
      throw new TypeError(`config.streaming has no ${name}; it has ${[...SECONDS, ...COUNTS].join(", ")}`);
    }
  }
  return Object.fromEntries(given);
}
