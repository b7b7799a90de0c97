/** Who may ask the page's server: pages of other sites may not, by whatever name they reach it. */

import type { IncomingMessage } from "node:http";

/**
 * Whether a request comes to a name of this machine and, if a page of any site sent it, from this server's own page.
 *
 * The `Host` is checked against DNS rebinding: a site whose name is made to lead to 127.0.0.1 sends its own name.
 */
export function isOwnPage({ headers: { host = "", origin } }: IncomingMessage): boolean {
  return /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(host) && (origin === undefined || origin === `http://${host}`);
}
