/**
 * An animated SVG of a terminal: each state of a row is one text that CSS shows for as long as it was there. It has no
 * script, follows `prefers-color-scheme`, and stands still at its end for `prefers-reduced-motion`.
 *
 * @module
 */

import type { Frame, Piece } from "./frame.js";

export interface Scene {
  readonly columns: number;
  readonly rows: number;
  /** The program above the terminal. */
  readonly source: readonly string[];
  readonly frames: readonly Frame[];
}

/** A state of a row, in seconds. */
interface State {
  readonly row: number;
  readonly pieces: readonly Piece[];
  readonly from: number;
  /** Absent where it stays. */
  readonly to?: number;
}

const CELL = 8.43; // of 14 px DejaVu Sans Mono, Menlo and their kin: `textLength` holds others to it
const LINE = 19;
const MARGIN = 18;
/** The end stays for so long before it begins anew, seconds. */
const HOLD = 4;
const LIGHT = { page: "#ffffff", edge: "#d0d7de", text: "#1f2328", dim: "#59636e", c1: "#b3261e", c2: "#1a7f37", c3: "#9a6700", c4: "#0969da", c5: "#8250df", c6: "#0b7285", word: "#8250df", string: "#0a6640" };
const DARK = { page: "#101214", edge: "#30363d", text: "#e6e8eb", dim: "#9198a1", c1: "#ff8b85", c2: "#5fd68f", c3: "#f2c55c", c4: "#7db4ff", c5: "#d9a1ff", c6: "#5ccfe6", word: "#d9a1ff", string: "#7ee2b8" };

const escape = (text: string): string => text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]!);
const fixed = (value: number): string => String(Number(value.toFixed(2)));

export function draw(scene: Scene): string {
  const { columns, rows, source, frames } = scene;
  const start = frames[0]?.at ?? 0;
  const end = (frames.at(-1)?.at ?? 0) - start + HOLD;
  const top = MARGIN + source.length * LINE;
  const width = Math.round(columns * CELL + 2 * MARGIN);
  const height = Math.round(top + MARGIN + rows * LINE + MARGIN);
  const states = statesOf(frames, rows, start);
  const shown = states.map((state, index) => {
    const share = (seconds: number): string => `${fixed((seconds / end) * 100)}%`;
    const until = state.to === undefined ? "" : `${share(state.to)}{visibility:hidden}`;
    const rule = `@keyframes k${index}{0%{visibility:hidden}${share(state.from)}{visibility:visible}${until}}#t${index}{animation-name:k${index}}`;
    const classes = state.to === undefined ? "s" : "s p"; // what passes is not there at the end
    return { rule, text: `<g id="t${index}" class="${classes}">${state.pieces.map((piece) => textOf(piece, top + 2 * MARGIN + state.row * LINE)).join("")}</g>` };
  });
  const colours = (of: typeof LIGHT): string =>
    Object.entries(of).map(([name, colour]) => (name === "page" ? `.page{fill:${colour}}` : name === "edge" ? `.page,.edge{stroke:${colour}}` : `.${name}{fill:${colour}}`)).join("");
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="title">`,
    "<title id=\"title\">A program's output arrives line by line; the connection is cut in the middle, and the run is resumed without a lost line.</title>",
    `<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;white-space:pre}.bold{font-weight:700}${colours(LIGHT)}`,
    `@media(prefers-color-scheme:dark){${colours(DARK)}}`,
    `.s{animation:${fixed(end)}s step-end infinite}${shown.map(({ rule }) => rule).join("")}`,
    "@media(prefers-reduced-motion:reduce){.s{animation:none}.p{visibility:hidden}}</style>",
    `<rect class="page" x=".5" y=".5" width="${width - 1}" height="${height - 1}" rx="8"/>`,
    ...source.map((line, index) => `<g>${highlight(line).map((piece) => textOf(piece, MARGIN + 10 + index * LINE)).join("")}</g>`),
    `<path class="edge" d="M0 ${top + 6.5}H${width}"/>`,
    ...shown.map(({ text }) => text),
    "</svg>\n",
  ].join("\n");
}

function textOf({ column, text, look }: Piece, y: number): string {
  const lead = text.length - text.trimStart().length; // leading blanks are not drawn
  const words = text.trimStart();
  const x = MARGIN + (column + lead) * CELL;
  const size = `textLength="${fixed(words.length * CELL)}" lengthAdjust="spacingAndGlyphs"`;
  return words === "" ? "" : `<text x="${fixed(x)}" y="${y}" class="${look === "" || look === "bold" ? `text ${look}`.trim() : look}" ${size}>${escape(words)}</text>`;
}

/** Each state of each row, from the frame that has it to the first one that has another. */
function statesOf(frames: readonly Frame[], rows: number, start: number): State[] {
  const states: State[] = [];
  for (let row = 0; row < rows; row += 1) {
    let open: { pieces: readonly Piece[]; from: number; key: string } | undefined;
    for (const frame of frames) {
      const pieces = frame.rows[row] ?? [];
      const key = JSON.stringify(pieces);
      const at = frame.at - start;
      if (open !== undefined && open.key !== key) {
        states.push({ row, pieces: open.pieces, from: open.from, to: at });
        open = undefined;
      }
      if (open === undefined && pieces.length > 0) {
        open = { pieces, from: at, key };
      }
    }
    if (open !== undefined) {
      states.push({ row, pieces: open.pieces, from: open.from });
    }
  }
  return states;
}

/** TypeScript's words and strings, for a picture. */
function highlight(line: string): Piece[] {
  const pieces: Piece[] = [];
  for (const match of line.matchAll(/("[^"]*"|`[^`]*`)|\b(const|for|await|of|if)\b|[^"`]+?(?="|`|\b(?:const|for|await|of|if)\b|$)/g)) {
    pieces.push({ column: match.index, text: match[0], look: match[1] !== undefined ? "string" : match[2] !== undefined ? "word" : "" });
  }
  return pieces;
}
