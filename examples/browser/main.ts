/** The page: editor, language, run, stop, live output, results, and a shell. */

import "./style.css";
import type { CodeRun, ExecutionResult } from "agbcloud-sdk";
import { Connection } from "./connection.js";
import { Editor } from "./editor.js";
import { type KeptRun, keepWhenThePageGoes, takeKeptRun } from "./kept-run.js";
import { languages } from "./programs.js";
import { showResult } from "./results.js";
import { Shell } from "./shell.js";
import { Output } from "./terminal.js";

const element = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const language = element<HTMLSelectElement>("language");
const run = element<HTMLButtonElement>("run");
const stop = element<HTMLButtonElement>("stop");
const state = element("state");
const elapsed = element("elapsed");
const announcer = element("announcer");
const results = element("results");

const connection = new Connection();
const output = new Output(element("terminal"));
const editor = new Editor(element("code"), { "Mod-Enter": () => void start(), "Mod-.": halt });
let running: Running | null = null;

/** The run that is shown, for as long as it goes on. */
interface Running {
  readonly controller: AbortController;
  readonly began: number;
  readonly results: ExecutionResult[];
  run: CodeRun | null;
  seq: number;
}

/** Runs the program, or goes on with the run that this page had before it was loaded anew. */
async function start(kept: KeptRun | null = null): Promise<void> {
  if (running !== null) {
    return;
  }
  const now: Running = { controller: new AbortController(), began: kept?.began ?? Date.now(), results: [], run: null, seq: kept?.seq ?? 0 };
  running = now;
  select(element("output-tab"));
  const clock = begin(Date.now() - now.began);
  if (kept !== null) {
    output.restore(kept.text);
    kept.results.forEach((result) => present(now, result));
  }
  try {
    const { code } = await connection.session();
    const { signal } = now.controller;
    now.run =
      kept === null
        ? code.stream(editor.text, language.value, { timeoutS: 600, signal })
        : code.attach(kept.id, { afterSeq: kept.seq, signal });
    const result = await follow(now, now.run);
    const isStopped = result.error?.name === "Cancelled";
    if (result.error !== undefined && !isStopped) {
      output.write(`${result.error.traceback || result.errorMessage}\n`, true);
    }
    end(isStopped ? "stopped" : result.success ? "finished" : "failed", result.errorMessage);
    if (/code 440[134]/.test(result.errorMessage)) {
      connection.forget(); // the next run asks for a new way in
    }
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    output.write(`${words}\n`, true);
    end("failed", words);
  } finally {
    clearInterval(clock);
    running = null;
  }
}

/** Shows what happens in a run, to its end. While there is too much to draw nothing more is taken, and the program waits. */
async function follow(now: Running, run: CodeRun): Promise<Awaited<CodeRun["result"]>> {
  for await (const event of run) {
    now.seq = event.seq;
    if (event.type === "stdout" || event.type === "stderr") {
      lastLine = lastLineOf(lastLine + event.text);
      await output.write(event.text, event.type === "stderr");
    } else if (event.type === "result") {
      present(now, event.result);
    } else if (event.type === "inputRequest") {
      run.end(); // this page has no place to type
    }
  }
  return run.result;
}

function present(now: Running, result: ExecutionResult): void {
  now.results.push(result);
  showResult(results, result);
}

function halt(): void {
  running?.controller.abort();
}

keepWhenThePageGoes(() => {
  const { run, seq, began, results } = running ?? {};
  return run?.id && seq !== undefined && began !== undefined
    ? { id: run.id, seq, text: output.text, results: results ?? [], began, language: language.value, program: editor.text }
    : null;
});

/** What a screen reader hears of the output: the line that is being written, now and then. */
let lastLine = "";

function lastLineOf(text: string): string {
  const lines = text.slice(-2_000).split(/[\r\n]+/).filter((line) => line.trim() !== "");
  // eslint-disable-next-line no-control-regex -- escape sequences are for the eye
  return (lines.at(-1) ?? "").replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").slice(-200);
}

/** @param since how long the run has been going on, milliseconds */
function begin(since: number): ReturnType<typeof setInterval> {
  const began = performance.now() - since;
  let spoken = performance.now();
  let said = "";
  output.clear();
  results.replaceChildren();
  lastLine = "";
  show("running", "Running");
  run.disabled = true;
  stop.disabled = false;
  const tick = (): void => {
    const now = performance.now();
    elapsed.textContent = `${((now - began) / 1_000).toFixed(1)} s`;
    if (now - spoken > 3_000 && lastLine !== said) {
      said = lastLine;
      spoken = now;
      announcer.textContent = said;
    }
  };
  tick();
  return setInterval(tick, 100);
}

function end(kind: "finished" | "failed" | "stopped", words: string): void {
  show(kind, { finished: "Finished", failed: "Failed", stopped: "Stopped" }[kind]);
  announcer.textContent = [state.textContent, elapsed.textContent, kind === "failed" ? words : lastLine].join(", ");
  const hadFocus = document.activeElement === stop;
  run.disabled = false;
  stop.disabled = true;
  if (hadFocus) {
    run.focus(); // a button that is disabled loses it to nothing
  }
}

function show(kind: string, words: string): void {
  state.dataset["kind"] = kind;
  state.textContent = words;
  if (kind === "running") {
    announcer.textContent = words;
  }
}

const tabs = [
  { tab: element("output-tab"), panel: element("output-panel") },
  { tab: element("shell-tab"), panel: element("shell") },
];
let shell: Shell | null = null;

function select(selected: HTMLElement): void {
  for (const { tab, panel } of tabs) {
    tab.ariaSelected = String(tab === selected);
    panel.hidden = tab !== selected;
  }
  if (selected.id === "shell-tab") {
    shell ??= new Shell(element("shell"), () => connection.session());
    void shell.show();
  }
}

for (const { tab } of tabs) {
  tab.addEventListener("click", () => select(tab));
}
for (const [name, { label }] of Object.entries(languages)) {
  language.append(new Option(label, name));
}
const showProgram = (): void => editor.show(language.value, languages[language.value]?.program ?? "");
language.addEventListener("change", showProgram);
run.addEventListener("click", () => void start());
stop.addEventListener("click", halt);
document.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && (event.key === "Enter" || event.key === ".")) {
    event.preventDefault();
    void (event.key === "Enter" ? start() : halt());
  }
});

showProgram();
show("ready", "Ready");
run.focus();
const kept = takeKeptRun();
if (kept !== null) {
  language.value = kept.language;
  editor.show(kept.language, kept.program);
  void start(kept);
}
