/** What a program shows beside its output: pictures, tables, values. Nothing of it may run in this page. */

import type { ExecutionResult } from "agbcloud-sdk";

/** So many are shown; a program that draws in a loop shows its latest. */
const SHOWN = 50;

/** Shows a result below those before it. */
export function showResult(parent: HTMLElement, result: ExecutionResult): void {
  parent.append(figure(result));
  while (parent.childElementCount > SHOWN) {
    parent.firstElementChild?.remove();
  }
}

function figure(result: ExecutionResult): HTMLElement {
  const [kind, content] = draw(result);
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.textContent = result.isMainResult ? `${kind} (value of the last expression)` : kind;
  figure.append(caption, content);
  return figure;
}

/** The richest form that it has. */
function draw(result: ExecutionResult): [kind: string, content: HTMLElement] {
  if (result.png !== undefined) {
    return ["Picture", image(`data:image/png;base64,${result.png}`, result.text)];
  }
  if (result.jpeg !== undefined) {
    return ["Picture", image(`data:image/jpeg;base64,${result.jpeg}`, result.text)];
  }
  if (result.svg !== undefined) {
    // As an image, an SVG runs no scripts and loads nothing.
    return ["Picture", image(`data:image/svg+xml;charset=utf-8,${encodeURIComponent(result.svg)}`, result.text)];
  }
  if (result.html !== undefined) {
    return ["Document", frame(result.html)];
  }
  const value = result.chart ?? result.json;
  return ["Value", preformatted(value === undefined ? (result.markdown ?? result.text ?? "") : JSON.stringify(value, null, 2))];
}

function image(source: string, description: string | undefined): HTMLElement {
  const image = document.createElement("img");
  image.src = source;
  image.alt = description ?? "Picture that the program made";
  return image;
}

/** Tables as those of pandas, which come without a style of their own. */
const FRAME_STYLE =
  "<style>body{font:14px/1.45 system-ui,sans-serif;margin:10px;color:#1c2024}table{border-collapse:collapse}" +
  "th,td{padding:4px 12px;text-align:right}th{border-bottom:2px solid #d9dce1}tr:nth-child(even) td{background:#f6f7f9}</style>";

/**
 * Without it a picture or a style sheet in the document could carry what a program without network knows to any server,
 * by way of the viewer. It comes first: a policy holds from where it stands.
 */
const FRAME_POLICY =
  `<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; font-src data:">`;

function frame(html: string): HTMLElement {
  const frame = document.createElement("iframe");
  frame.sandbox.value = ""; // no scripts, no forms, an origin of its own
  frame.title = "Document that the program made";
  frame.srcdoc = `<!doctype html>${FRAME_POLICY}<meta charset="utf-8">${FRAME_STYLE}${html}`;
  return frame;
}

function preformatted(text: string): HTMLElement {
  const element = document.createElement("pre");
  element.textContent = text;
  return element;
}
