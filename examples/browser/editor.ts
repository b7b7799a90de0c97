/** The editor: CodeMirror with the language that was chosen. */

import { indentWithTab } from "@codemirror/commands";
import { java } from "@codemirror/lang-java";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { StreamLanguage } from "@codemirror/language";
import { r } from "@codemirror/legacy-modes/mode/r";
import { Compartment, type Extension } from "@codemirror/state";
import { oneDark } from "@codemirror/theme-one-dark";
import { EditorView, keymap } from "@codemirror/view";
import { basicSetup } from "codemirror";

/** The font of the editor and of the terminal. */
export const MONOSPACE = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace";

const grammars: Readonly<Record<string, () => Extension>> = {
  python,
  javascript,
  java,
  r: () => StreamLanguage.define(r),
};

const darkness = matchMedia("(prefers-color-scheme: dark)");
const theme = (): Extension => (darkness.matches ? oneDark : []);

export class Editor {
  readonly #view: EditorView;
  readonly #theme = new Compartment();
  readonly #grammar = new Compartment();

  /** `keys` are commands of the page that work inside of the editor too. */
  constructor(parent: HTMLElement, keys: Readonly<Record<string, () => void>>) {
    const commands = Object.entries(keys).map(([key, run]) => ({
      key,
      run: () => {
        run();
        return true;
      },
    }));
    this.#view = new EditorView({
      parent,
      extensions: [
        keymap.of([...commands, indentWithTab]), // Escape, then Tab leaves the editor
        basicSetup,
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "Code; Escape and then Tab leaves the editor" }),
        EditorView.theme({ ".cm-scroller": { fontFamily: MONOSPACE }, ".cm-gutters": { border: "0" } }),
        this.#grammar.of([]),
        this.#theme.of(theme()),
      ],
    });
    darkness.addEventListener("change", () => this.#view.dispatch({ effects: this.#theme.reconfigure(theme()) }));
  }

  get text(): string {
    return this.#view.state.doc.toString();
  }

  show(language: string, text: string): void {
    const { doc } = this.#view.state;
    this.#view.dispatch({
      changes: { from: 0, to: doc.length, insert: text },
      effects: this.#grammar.reconfigure(grammars[language]?.() ?? []),
    });
  }
}
