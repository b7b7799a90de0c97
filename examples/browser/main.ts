/** The page: editor, language, run, stop, live output, results, and a shell. */

import "./style.css";
import { Connection } from "./connection.js";
import { Editor } from "./editor.js";
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
let running: AbortController | null = null;

async function start(): Promise<void> {
  if (running !== null) {
    return;
  }
  const controller = new AbortController();
  running = controller;
  select(element("output-tab"));
  const clock = begin();
  const write = (chunk: string, isError: boolean): Promise<void> | undefined => {
    lastLine = lastLineOf(lastLine + chunk);
    return output.write(chunk, isError);
  };
  try {
    const session = await connection.session();
    const result = await session.code.run(editor.text, language.value, 600, {
      onStdout: (chunk) => write(chunk, false),
      onStderr: (chunk) => write(chunk, true),
      onResult: (result) => showResult(results, result),
      signal: controller.signal,
    });
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

function halt(): void {
  running?.abort();
}

/** What a screen reader hears of the output: the line that is being written, now and then. */
let lastLine = "";

function lastLineOf(text: string): string {
  const lines = text.slice(-2_000).split(/[\r\n]+/).filter((line) => line.trim() !== "");
  // eslint-disable-next-line no-control-regex -- escape sequences are for the eye
  return (lines.at(-1) ?? "").replace(/\x1b\[[0-9;]*[A-Za-z]/g, "").slice(-200);
}

function begin(): ReturnType<typeof setInterval> {
  const began = performance.now();
  let spoken = began;
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
