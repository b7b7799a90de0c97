/**
 * Limits of the connections over which runs stream. What is left out keeps its default. In Node, for the sessions of an
 * `AGB` and for one that `Session.attach` takes up; a page keeps all of them.
 */
export interface StreamingLimits {
  /** Seconds after which a quiet service is asked for a sign of life. Default 10: a dead one is noticed within 30 s, and one lost ping is no alarm. */
  readonly heartbeatS?: number | undefined;
  /** Seconds that a service may be silent before the connection counts as lost. Default 25: two heartbeats, and 5 s for a slow network. */
  readonly silenceS?: number | undefined;
  /** Seconds that one handshake may take. Default 10: TCP and TLS with two lost packets on a mobile network. */
  readonly openTimeoutS?: number | undefined;
  /**
   * WebSockets in a row that may come to nothing before event streams are used, where the service offers them. Default 2: a
   * proxy that lets none through shows it each time, a server that is being restarted is back by then.
   */
  readonly socketAttempts?: number | undefined;
  /**
   * Seconds that a run waits for a first connection, over all attempts, and an interrupted one for a new connection.
   * Default 30: longer than a server's restart, shorter than a person's patience.
   */
  readonly giveUpS?: number | undefined;
  /** Seconds past its time limit that a run may go on without the service ending it. Default 10: the service's own grace (2 s) and the way back, with room. */
  readonly graceS?: number | undefined;
  /** Seconds that a cancelled run waits for the service to confirm. Default 2.5: the service's own grace before it kills is 2 s. */
  readonly cancelWaitS?: number | undefined;
  /** Bytes of output that the service may have on its way for one run. Default 1 MiB: keeps a 100 Mbit/s line of 80 ms busy. */
  readonly windowBytes?: number | undefined;
  /** Bytes of one run's output that may wait unread where it can neither be held back nor paused; beyond, the run ends with `OVERFLOW`. Default 64 MiB. */
  readonly unreadLimitBytes?: number | undefined;
  /** Bytes of code that may wait to be sent. Default 16 MiB: generated programs with data inside them are large. */
  readonly unsentLimitBytes?: number | undefined;
  /** Bytes of input that may wait for the service to take them, for one run; beyond, it is `INPUT_REFUSED`. Default 1 MiB: as much as the local server keeps. */
  readonly inputLimitBytes?: number | undefined;
}
