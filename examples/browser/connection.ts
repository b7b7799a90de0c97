/** The way into a session, from this page's own server; kept over a reload, and renewed before it ends. */

import { Session, type SessionAccess } from "agbcloud-sdk";

const KEY = "agb-access";
/** Renewed when this much is left of it: time enough for a request, and for the next one where that fails. */
const MARGIN_MS = 60_000;

/** What this page's own server answers. */
interface Given {
  readonly access: SessionAccess;
  /** How long it lasts from now on. `access.expiresAt` is by the service's clock, and this machine's may be wrong by hours. */
  readonly lastsS: number;
}

export class Connection {
  #access: SessionAccess | null = null;
  #session: Session | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The session of this tab; a new one when there is none, or when the old one is no more. */
  async session(): Promise<Session> {
    if (this.#session === null) {
      const kept = sessionStorage.getItem(KEY);
      await this.#take(kept === null ? {} : { renew: JSON.parse(kept) as SessionAccess });
    }
    return this.#session!;
  }

  /** To be called when the service does not let us in any more: the next session is a new one. */
  forget(): void {
    clearTimeout(this.#timer);
    sessionStorage.removeItem(KEY);
    this.#session = null;
  }

  async #take(wish: { renew?: SessionAccess }): Promise<void> {
    const response = await fetch("/api/session", { method: "POST", body: JSON.stringify(wish) });
    if (!response.ok) {
      throw new Error(`this page's server answers ${response.status}: ${await response.text()}`);
    }
    const { access, lastsS } = (await response.json()) as Given;
    if (this.#session === null || access.token !== this.#access?.token) {
      this.#session = Session.attach(access);
    }
    this.#access = access;
    sessionStorage.setItem(KEY, JSON.stringify(access));
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#take({ renew: access }).catch(() => {}), lastsS * 1_000 - MARGIN_MS);
  }
}
