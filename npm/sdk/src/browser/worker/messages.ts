/**
 * What the page and the SDK's worker say to each other. Output goes as bytes that change hands: a text would be copied
 * twice, on the page's main thread once.
 *
 * @module
 */

import type { AttachRequest, Batch, CommandRequest, NativeLogLevel, RunRequest, RunResult } from "../../binding.js";

/** From the page. Sessions and runs have numbers that the page gives them. */
export type Order =
  | { readonly do: "load"; readonly call: number; readonly wasm: unknown }
  | { readonly do: "log"; readonly level: NativeLogLevel }
  | { readonly do: "attach"; readonly session: number; readonly access: string }
  | { readonly do: "leave"; readonly session: number }
  | { readonly do: "invoke"; readonly call: number; readonly session: number; readonly name: string; readonly args: string }
  | {
      readonly do: "transfer";
      readonly call: number;
      readonly session: number;
      readonly name: string;
      readonly args: string;
      readonly bytes: Uint8Array | null;
    }
  | { readonly do: "begin"; readonly session: number; readonly run: number; readonly begin: Begin }
  /** A message of output has been taken: another may come. */
  | { readonly do: "taken"; readonly run: number }
  | { readonly do: "write"; readonly run: number; readonly text: string | null }
  | { readonly do: "signal"; readonly run: number; readonly name: string }
  | { readonly do: "resize"; readonly run: number; readonly cols: number; readonly rows: number }
  | { readonly do: "leaveRun"; readonly run: number }
  | { readonly do: "cancel"; readonly run: number };

/** What begins a run: a method of the session, and what it gets. */
export type Begin =
  | { readonly by: "stream"; readonly request: RunRequest }
  | { readonly by: "command"; readonly request: CommandRequest }
  | { readonly by: "attach" | "attachCommand"; readonly request: AttachRequest };

/** From the worker. */
export type Word =
  | { readonly say: "output"; readonly output: Output }
  | { readonly say: "answer"; readonly call: number; readonly value?: unknown; readonly fault?: string }
  | { readonly say: "log"; readonly level: NativeLogLevel; readonly target: string; readonly message: string };

/** A batch of a run: some of the core's in one, for each costs the page. */
export interface Output extends Omit<Batch, "text"> {
  readonly run: number;
  /** Its id on the wire. */
  readonly id: string;
  /** Its text, in UTF-8. */
  readonly bytes: Uint8Array;
  /** With the last batch of a run: what it came to. */
  readonly result: SentResult | null;
}

/** A run's result on its way. Its log is text in UTF-8, which the page reads when it is asked for. */
export interface SentResult extends Omit<RunResult, "logs"> {
  readonly logs: { readonly bytes: Uint8Array; readonly marks: Uint32Array };
}
