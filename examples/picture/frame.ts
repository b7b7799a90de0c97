/** What a terminal shows at one moment: rows of text in colours. */

import type { IBufferCell, IBufferLine } from "@xterm/headless";

/** Text of one look. */
export interface Piece {
  readonly column: number;
  readonly text: string;
  /** Names of the style sheet: `c1` to `c6` for colours, `dim`, `bold`. */
  readonly look: string;
}

/** One moment. */
export interface Frame {
  /** Seconds since the beginning. */
  readonly at: number;
  readonly rows: readonly (readonly Piece[])[];
}

/** The pieces of a row, without what is blank at its end. */
export function rowOf(line: IBufferLine | undefined, columns: number): readonly Piece[] {
  const pieces: { column: number; text: string; look: string }[] = [];
  for (let column = 0; column < columns; column += 1) {
    const cell = line?.getCell(column);
    if (cell === undefined) {
      break;
    }
    const look = lookOf(cell);
    const text = cell.getChars() || " ";
    const last = pieces.at(-1);
    if (last?.look === look) {
      last.text += text;
    } else {
      pieces.push({ column, text, look });
    }
  }
  const last = pieces.at(-1);
  if (last !== undefined) {
    last.text = last.text.trimEnd();
  }
  return pieces.filter(({ text }) => text !== "");
}

function lookOf(cell: IBufferCell): string {
  const looks = [cell.isFgPalette() ? `c${cell.getFgColor() % 8}` : "", cell.isDim() ? "dim" : "", cell.isBold() ? "bold" : ""];
  return looks.filter((look) => look !== "").join(" ");
}
