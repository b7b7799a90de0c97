import type { NativeRun } from "./binding.js";
import { checkString, checkText } from "./check.js";
import { type CommandRunResult, toCommandResult } from "./command-result.js";
import { asyncDispose } from "./dispose.js";
import { AGBError } from "./errors.js";
import { currentPlatform } from "./platform.js";
import { RunDelivery } from "./run-delivery.js";
import type { ErrorEvent, EventStamp, OutputEvent, ReconnectedEvent } from "./run-events.js";
import type { RunCallbacks } from "./run-options.js";
import { EventReader, textStream } from "./run-readers.js";
import type { StopSignal } from "./stop-signal.js";

/** The command is over. Comes once, and last. */
export interface CommandEndEvent extends EventStamp {
  readonly type: "end";
  readonly result: CommandRunResult;
}

/** What a command yields. `switch (event.type)` tells them apart. */
export type CommandEvent = OutputEvent | ErrorEvent | ReconnectedEvent | CommandEndEvent;

/** What a command that is followed can be told and asked; decided when it is begun. */
export interface CommandAbilities {
  /** Its input is open. */
  readonly takesInput: boolean;
  /** It goes on when nobody reads it any more. */
  readonly goesOn: boolean;
}

/**
 * A shell command that is going on, to be followed event by event; see {@link Command.stream} and {@link Command.attach}.
 *
 * It is read as a {@link CodeRun} is: in a `for await` loop, by {@link CommandRun.stdout} and {@link CommandRun.stderr};
 * the slowest reader sets the pace, up to the command's own writes. Awaiting {@link CommandRun.result} and reading nothing
 * lets the events go by. When the last reader leaves before the end, the command is stopped; one that is detached, or that
 * was attached to, is left and goes on.
 */
export class CommandRun implements AsyncIterable<CommandEvent> {
  readonly #delivery: RunDelivery;
  readonly #takesInput: boolean;
  readonly #result: Promise<CommandRunResult>;
  #stdout: ReadableStream<string> | null = null;
  #stderr: ReadableStream<string> | null = null;

  private constructor(delivery: RunDelivery, takesInput: boolean) {
    this.#delivery = delivery;
    this.#takesInput = takesInput;
    this.#result = delivery.promise.then(toCommandResult);
  }

  /** @internal */
  static begin(
    begin: (wake: () => void) => NativeRun,
    callbacks: RunCallbacks,
    signal: StopSignal | null,
    { takesInput, goesOn }: CommandAbilities,
  ): CommandRun {
    const flows = callbacks.onStdout !== null || callbacks.onStderr !== null;
    return new CommandRun(new RunDelivery(begin, callbacks, signal, { flows, goesOn }), takesInput);
  }

  /**
   * Id of the run, by which {@link Command.attach} finds it again, in this process or another. Empty for one that was
   * refused, and in a page until the WebAssembly is loaded (see {@link initialize}).
   */
  get id(): string {
    return this.#delivery.id;
  }

  /** What the command came to. Never rejects: see `status` and `exitCode`. As {@link CodeRun.result} otherwise. */
  get result(): Promise<CommandRunResult> {
    // Not at once: whoever asks for the result first and reads then is not to find the beginning gone.
    currentPlatform().defer(() => this.#delivery.drainUnlessRead());
    return this.#result;
  }

  /** What the command writes to standard output, with a terminal all that it shows, as a stream. The same one each time. */
  get stdout(): ReadableStream<string> {
    this.#stdout ??= textStream(this.#delivery, "stdout");
    return this.#stdout;
  }

  /** What the command writes to standard error, likewise. */
  get stderr(): ReadableStream<string> {
    this.#stderr ??= textStream(this.#delivery, "stderr");
    return this.#stderr;
  }

  /** All events from here on, in order; the last one is `end`. */
  [Symbol.asyncIterator](): AsyncIterableIterator<CommandEvent> {
    return new CommandReader(new EventReader(this.#delivery), this.#result);
  }

  /**
   * Gives the command input; with a terminal it is what somebody types, e.g. `"\x03"` for Ctrl-C. It arrives once and in
   * order, however often connections break. What does not fit (1 MiB that the command does not read) is left out as a
   * whole, and an `error` event with the code `INPUT_REFUSED` says so. Without effect after the end.
   *
   * @throws {@link AGBError} (`NOT_OFFERED`) for a command that was started without input.
   */
  write(text: string): void {
    checkText("text", text);
    this.#checkInput();
    this.#delivery.native((run) => run.write(text));
  }

  /** Ends the command's input, with a terminal by Ctrl-D. Throws as {@link CommandRun.write} does. */
  end(): void {
    this.#checkInput();
    this.#delivery.native((run) => run.endInput());
  }

  /**
   * Sends a signal to the command's process group, e.g. `SIGTERM`, `SIGKILL` or `SIGUSR1`. The end follows if that is what
   * it does to the command; {@link CommandRun.cancel} waits for it, and kills what does not stop. Harmless after the end.
   *
   * On a terminal, the group is the shell's own; `write("\x03")` reaches what runs in the foreground.
   */
  kill(signal = "SIGTERM"): void {
    const name = checkString("signal", signal);
    this.#delivery.native((run) => run.signal(name));
  }

  /**
   * Changes the size of the command's terminal. What is written behind it finds the new size, and the program in the
   * foreground gets `SIGWINCH`.
   *
   * @throws TypeError when a side is not a whole number from 1 to 65535.
   */
  resize(cols: number, rows: number): void {
    const size = [checkedSide("cols", cols), checkedSide("rows", rows)] as const;
    this.#delivery.native((run) => run.resize(...size));
  }

  /**
   * Stops the command and resolves when it has ended, within 2.5 s even when it ignores that: it gets `SIGINT`, on a
   * terminal `SIGHUP`, and is killed with all that it has started where that does not help. Never rejects; harmless after
   * the end.
   */
  async cancel(): Promise<void> {
    this.#delivery.cancel();
    await this.#result;
  }

  /**
   * Follows the command no longer and lets it go on, where the service keeps it: for good when it was started with
   * `detached`, else for as long as the service keeps runs that nobody follows. Resolves when the service is known to have
   * it. The result's status is `interrupted` then. {@link Command.attach} finds it again.
   */
  async detach(): Promise<void> {
    this.#delivery.leaveRun();
    await this.#result;
  }

  /** For `await using`: {@link CommandRun.cancel}. */
  async [asyncDispose](): Promise<void> {
    await this.cancel();
  }

  #checkInput(): void {
    if (!this.#takesInput) {
      throw new AGBError("the command was started without input; start it with stdin: true", "NOT_OFFERED");
    }
  }
}

/** The events of a command: those of a run, with the command's own end. */
class CommandReader implements AsyncIterableIterator<CommandEvent> {
  readonly #events: EventReader;
  readonly #result: Promise<CommandRunResult>;

  constructor(events: EventReader, result: Promise<CommandRunResult>) {
    this.#events = events;
    this.#result = result;
  }

  async next(): Promise<IteratorResult<CommandEvent>> {
    for (;;) {
      const { value, done } = await this.#events.next();
      if (done === true) {
        return { value: undefined, done: true };
      }
      switch (value.type) {
        case "end":
          return { value: { ...value, result: await this.#result }, done: false };
        case "stdout":
        case "stderr":
        case "error":
        case "reconnected":
          return { value, done: false };
        default: // a command shows no values and asks for nothing
      }
    }
  }

  async return(): Promise<IteratorResult<CommandEvent>> {
    await this.#events.return();
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** One side of a terminal, in characters. */
export function checkedSide(name: string, value: unknown): number {
  if (typeof value !== "number" || !Number.isInteger(value) || value < 1 || value > 65_535) {
    throw new TypeError(`${name} must be a whole number of characters, from 1 to 65535`);
  }
  return value;
}
