import type { NativeRun } from "./binding.js";
import { checkText } from "./check.js";
import { asyncDispose } from "./dispose.js";
import { AGBError } from "./errors.js";
import type { EnhancedCodeExecutionResult } from "./execution-result.js";
import { currentPlatform } from "./platform.js";
import { RunDelivery } from "./run-delivery.js";
import type { RunEvent } from "./run-events.js";
import type { RunCallbacks } from "./run-options.js";
import { EventReader, textStream } from "./run-readers.js";
import type { StopSignal } from "./stop-signal.js";

declare global {
  // It is there already where the program's own types have it; the two declarations then are one.
  interface ReadableStream<R = any> {}
}

/**
 * A run that is going on, to be followed event by event; see {@link Code.stream} and {@link Code.attach}.
 *
 * There are three ways to read, to be chosen before the first `await`, and they can be combined: the run itself in a
 * `for await` loop, {@link CodeRun.stdout} and {@link CodeRun.stderr}. Each gets everything; the slowest sets the pace,
 * up to the program's own writes. So read what you ask for: a `stderr` that was asked for and is not read stops the
 * program once it is full. When the last reader leaves before the end, the run is cancelled. Awaiting
 * {@link CodeRun.result} and reading nothing lets the program run and its events go by.
 *
 * A run keeps the process alive until it has ended, but not while it waits for you to read: a program that prints more
 * than is held ready (some MiB) and that nobody reads does not keep Node from ending.
 */
export class CodeRun implements AsyncIterable<RunEvent> {
  readonly #delivery: RunDelivery;
  readonly #takesInput: boolean;
  #stdout: ReadableStream<string> | null = null;
  #stderr: ReadableStream<string> | null = null;

  private constructor(delivery: RunDelivery, takesInput: boolean) {
    this.#delivery = delivery;
    this.#takesInput = takesInput;
  }

  /** @internal */
  static begin(
    begin: (wake: () => void) => NativeRun,
    callbacks: RunCallbacks,
    signal: StopSignal | null,
    takesInput: boolean,
  ): CodeRun {
    return new CodeRun(new RunDelivery(begin, callbacks, signal, { flows: false }), takesInput);
  }

  /**
   * Id of the run, by which {@link Code.attach} finds it again, in this process or another. Empty for a run that was
   * refused, and in a page until the WebAssembly is loaded (see {@link initialize}).
   */
  get id(): string {
    return this.#delivery.id;
  }

  /**
   * What the run came to. Never rejects: see `status`. Where nobody reads the run's events, they go by once this is
   * asked for; to read them, begin before. Whoever begins later gets a TypeError that says so, also after the end.
   * A reader that began and stopped without leaving (no `break`, no `cancel()`) holds this back as it holds the program.
   */
  get result(): Promise<EnhancedCodeExecutionResult> {
    // Not at once: whoever asks for the result first and reads then is not to find the beginning gone.
    currentPlatform().defer(() => this.#delivery.drainUnlessRead());
    return this.#delivery.promise;
  }

  /** What the program writes to standard output, as a stream of the web's kind. The same one each time. */
  get stdout(): ReadableStream<string> {
    this.#stdout ??= textStream(this.#delivery, "stdout");
    return this.#stdout;
  }

  /** What the program writes to standard error, likewise. */
  get stderr(): ReadableStream<string> {
    this.#stderr ??= textStream(this.#delivery, "stderr");
    return this.#stderr;
  }

  /** All events from here on, in order; the last one is `end`. Leaving a loop early cancels the run. */
  [Symbol.asyncIterator](): AsyncIterableIterator<RunEvent> {
    return new EventReader(this.#delivery);
  }

  /**
   * Gives the program input, now or for its next request; a line has its `\n`. Without effect after the end.
   *
   * Where the service has the extension `stdinSeq`, it arrives once and in order, however often connections break.
   * Elsewhere it can be lost where one breaks, and an `error` event with the code `INPUT_UNCERTAIN` says so. What does not
   * fit, here (1 MiB, `inputLimitBytes` of {@link StreamingLimits}) or there, is left out as a whole, and an `error` event with the code `INPUT_REFUSED` says so.
   *
   * @throws {@link AGBError} (`NOT_OFFERED`) when the service takes no input for running programs.
   */
  write(text: string): void {
    checkText("text", text);
    this.#checkInput();
    this.#delivery.native((run) => run.write(text));
  }

  /** Ends the program's input: what was written is read first. Throws as {@link CodeRun.write} does. */
  end(): void {
    this.#checkInput();
    this.#delivery.native((run) => run.endInput());
  }

  /**
   * Stops the program and resolves when the run has ended, within 2.5 s even when the program ignores it: it is
   * interrupted as by Ctrl-C, and killed where that does not help. Events that nobody reads in time go by then; `end`
   * does not, and `result.logs` has what they said. Never rejects; harmless after the end.
   */
  async cancel(): Promise<void> {
    this.#delivery.cancel();
    await this.#delivery.promise;
  }

  /** For `await using`: {@link CodeRun.cancel}. */
  async [asyncDispose](): Promise<void> {
    await this.cancel();
  }

  #checkInput(): void {
    if (!this.#takesInput) {
      throw new AGBError("the service takes no input for running programs; put it into the code", "NOT_OFFERED");
    }
  }
}
