/** A `WebSocket` for pages whose other side is the test itself. */

declare global {
  class FakeSocket {
    /** The newest one, once it has been given this many frames. */
    static opened(frames?: number): Promise<FakeSocket>;
    readonly sent: string[];
    say(frame: string): void;
  }
}

/** Its source, for `page.addScriptTag`. */
export const FAKE_SOCKET = `
globalThis.FakeSocket = class FakeSocket extends EventTarget {
  static OPEN = 1;
  static last = null;
  onopen = null;
  onmessage = null;
  onclose = null;
  bufferedAmount = 0;
  sent = [];
  constructor() {
    super();
    FakeSocket.last = this;
    setTimeout(() => this.onopen?.(new Event("open")));
  }
  static async opened(frames = 1) {
    while ((FakeSocket.last?.sent.length ?? 0) < frames) await new Promise((done) => setTimeout(done, 5));
    return FakeSocket.last;
  }
  say(frame) {
    this.onmessage?.(new MessageEvent("message", { data: frame }));
  }
  send(text) {
    this.sent.push(text);
  }
  close() {}
};`;
