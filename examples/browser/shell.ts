/** The shell tab: a terminal on a real shell of the session, found again after a reload. */

import type { CommandRun, Session } from "agbcloud-sdk";
import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import { MONOSPACE } from "./editor.js";
import { THEME } from "./terminal.js";

const KEY = "agb-shell";
/** While the terminal has more than this to draw, the shell waits. */
const MOST_UNDRAWN = 256 * 1024;

export class Shell {
  readonly #terminal = new Terminal({ cursorBlink: true, fontFamily: MONOSPACE, fontSize: 13, scrollback: 5_000, theme: THEME });
  readonly #fit = new FitAddon();
  readonly #session: () => Promise<Session>;
  #run: CommandRun | null = null;
  #undrawn = 0;
  /** What was typed before the shell was there. */
  #typedAhead = "";

  constructor(parent: HTMLElement, session: () => Promise<Session>) {
    this.#session = session;
    this.#terminal.loadAddon(this.#fit);
    this.#terminal.open(parent);
    this.#terminal.onData((text) => {
      if (this.#run === null) {
        this.#typedAhead += text;
      } else {
        this.#run.write(text);
      }
    });
    this.#terminal.onResize(({ cols, rows }) => this.#run?.resize(cols, rows));
    new ResizeObserver(() => this.#fit.fit()).observe(parent);
  }

  /** To be called when the tab is shown: begins a shell, or finds the one from before a reload. */
  async show(): Promise<void> {
    this.#fit.fit();
    this.#terminal.focus();
    if (this.#run === null) {
      try {
        await this.#follow(await this.#session());
      } catch (error) {
        this.#terminal.writeln(error instanceof Error ? error.message : String(error));
      }
    }
  }

  async #follow(session: Session): Promise<void> {
    const { cols, rows } = this.#terminal;
    const onStdout = (chunk: string): Promise<void> | undefined => this.#draw(chunk);
    const known = sessionStorage.getItem(KEY);
    const isKnown = known !== null && (await session.command.list()).commands.some(({ id, status }) => id === known && status === "running");
    const run = isKnown
      ? session.command.attach(known, { onStdout })
      : session.command.stream("exec bash -i || exec sh -i", { pty: { cols, rows }, detached: true, onStdout });
    this.#run = run;
    run.resize(cols, rows);
    if (this.#typedAhead !== "") {
      run.write(this.#typedAhead);
      this.#typedAhead = "";
    }
    void run.result.then(({ status, exitCode, errorMessage }) => {
      this.#run = null;
      this.#terminal.writeln(`\r\n[${status === "exited" ? `the shell ended with ${exitCode}` : errorMessage}; show this tab again for a new one]`);
    });
    await this.#keep(run);
  }

  /** The id is there once the WebAssembly is. */
  async #keep(run: CommandRun): Promise<void> {
    while (run.id === "" && this.#run === run) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    sessionStorage.setItem(KEY, run.id);
  }

  #draw(chunk: string): Promise<void> | undefined {
    this.#undrawn += chunk.length;
    const drawn = new Promise<void>((resolve) => {
      this.#terminal.write(chunk, () => {
        this.#undrawn -= chunk.length;
        resolve();
      });
    });
    return this.#undrawn > MOST_UNDRAWN ? drawn : undefined;
  }
}
