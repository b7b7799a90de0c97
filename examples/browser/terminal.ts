/** The output: a terminal, so that colours and redrawn lines look as they do in one. */

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import "@xterm/xterm/css/xterm.css";
import { MONOSPACE } from "./editor.js";

/** While the terminal has more than this to draw, the program waits. Half a second of drawing. */
const MOST_UNDRAWN = 256 * 1024;
/** A page that is loaded anew shows so much of what it had shown. */
const MOST_KEPT = 256 * 1024;
const STDERR = "\x1b[38;5;216m";
const PLAIN = "\x1b[39m";

/** The colours of both terminals. */
export const THEME = {
  background: "#101214",
  foreground: "#e6e8eb",
  red: "#ff8b85",
  green: "#5fd68f",
  yellow: "#f2c55c",
  blue: "#7db4ff",
  magenta: "#d9a1ff",
  cyan: "#5ccfe6",
};

export class Output {
  readonly #terminal = new Terminal({
    convertEol: true,
    cursorInactiveStyle: "none",
    disableStdin: true,
    fontFamily: MONOSPACE,
    fontSize: 13,
    scrollback: 5_000,
    theme: { ...THEME, cursor: THEME.background },
  });
  #undrawn = 0;
  #text = "";

  constructor(parent: HTMLElement) {
    const fit = new FitAddon();
    this.#terminal.loadAddon(fit);
    this.#terminal.open(parent);
    new ResizeObserver(() => fit.fit()).observe(parent);
    this.#terminal.write("\x1b[2mOutput appears here while the program runs: press Run, or Ctrl+Enter.\x1b[0m");
  }

  clear(): void {
    this.#terminal.reset();
    this.#text = "";
  }

  /** The end of what is shown, colours and all. */
  get text(): string {
    return this.#text.slice(-MOST_KEPT);
  }

  /** Shows what another page has shown before. */
  restore(text: string): void {
    this.#text = text;
    this.#terminal.write(`\x1bc${text}`); // behind what is still to be drawn, unlike clear()
  }

  /**
   * Draws a chunk. Returns a promise while there is too much to draw: handed to the SDK it makes the program wait, and
   * the page stays responsive.
   */
  write(chunk: string, isError: boolean): Promise<void> | undefined {
    // A program's own reset is followed by the colour of its stream.
    const text = isError ? STDERR + chunk.replaceAll("\x1b[0m", `\x1b[0m${STDERR}`) + PLAIN : chunk;
    this.#undrawn += text.length;
    this.#text = this.#text.length > 4 * MOST_KEPT ? this.text + text : this.#text + text;
    const drawn = new Promise<void>((resolve) => {
      this.#terminal.write(text, () => {
        this.#undrawn -= text.length;
        resolve();
      });
    });
    return this.#undrawn > MOST_UNDRAWN ? drawn : undefined;
  }
}
