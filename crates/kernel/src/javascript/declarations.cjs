// Names that are declared again in another way: `let x` and then `const x`, `function f` and then `const f`.
//
// V8 takes a `let` again as `let` and a `const` again as `const`, and refuses the rest before anything of the cell has
// run. The declaration is then rewritten to one that it takes. Only a `const` can never be changed: a later variable of
// its name gets a name that looks the same, here and in the cells that follow, and at the end of each run the constant is
// declared again with its value, for the functions of earlier cells.
"use strict";

const { assigned, edited, scan } = part("syntax");
const { post } = part("watcher");

const NAME = /^SyntaxError: Identifier '(.+)' has already been declared/;

/** How an earlier cell has declared the name: as a property of the global object ("var"), or as "let" or "const". */
function earlierKind(name) {
  if (Object.getOwnPropertyDescriptor(host.global, name)?.configurable === false) return "var";
  let kind = "let";
  post("Runtime.evaluate", { expression: `${name} = ${name}`, silent: true }, (_, { exceptionDetails }) => {
    const text = exceptionDetails?.exception?.description ?? "";
    if (text.startsWith("TypeError")) kind = "const";
    else if (text.startsWith("ReferenceError")) kind = "dead"; // its initializer has failed
  });
  return kind;
}

/** The place of the name among the variables that the keyword at `i` declares; -1 if it is not there. */
function placeAmong(tokens, i, name) {
  const { depth } = tokens[i];
  for (let at = i + 1; tokens[at]; at++) {
    const { close, text } = tokens[at];
    if (close > at) {
      for (let inside = at; inside < close; inside++) {
        if (tokens[inside].text === name && !tokens[inside].isProperty) return inside;
      }
      at = close;
    } else if (text === name) {
      return at;
    }
    // Over the initializer, to the next name.
    for (at++; tokens[at] && !(tokens[at].depth <= depth && /^[,;)]$/.test(tokens[at].text)); at++) {
      if (tokens[at].depth <= depth && tokens[at].isStatement) return -1;
      if (tokens[at].close > at) at = tokens[at].close;
    }
    if (tokens[at]?.text !== ",") return -1;
  }
  return -1;
}

/** The statements of a cell that declare the name for all of it: [keyword's place, name's place]. */
function declarationsOf(tokens, name) {
  const found = [];
  for (let i = 0; i < tokens.length; i++) {
    const { text, depth, functions, isKey, isProperty, isStatement } = tokens[i];
    if (isKey || isProperty || functions > 0) continue;
    if (text === "var" || (depth === 0 && isStatement && (text === "let" || text === "const"))) {
      const place = placeAmong(tokens, i, name);
      if (place >= 0) found.push([i, place]);
    } else if (depth === 0 && isStatement && (text === "class" || text === "function")) {
      const place = tokens[i + 1]?.text === "*" ? i + 2 : i + 1;
      if (tokens[place]?.text === name) found.push([i, place]);
    }
  }
  return found;
}

/** Whether a cell declares a name twice itself, which is an error of its own. */
function declaresTwice(code, name) {
  try {
    host.check(`(async () => {\n${code}\n})`);
    return false;
  } catch (error) {
    return NAME.exec(`SyntaxError: ${error.message}`)?.[1] === name;
  }
}

/** What the keyword of a declaration becomes for an earlier kind; undefined if nothing is taken. */
function keywordFor(kind, keyword, isTop, isAssigned) {
  if (kind === "var") return "var";
  if (kind === "let") return isTop ? "let" : "";
  if (!isTop) return "let"; // in a block of its own
  return isAssigned ? undefined : "const"; // by another name
}

/**
 * The cell with the declaration of the refused name written in another way; undefined if there is none. `tried` has the
 * names of the cell that were refused before: a keyword that suits all variables of one declaration may not exist.
 */
function resolve(code, description, tried) {
  const name = NAME.exec(description)?.[1];
  if (name === undefined || names.has(name) || declaresTwice(code, name)) return undefined;
  const tokens = scan(code);
  const found = declarationsOf(tokens, name);
  const keywords = found.map(([i]) => tokens[i].text);
  if (found.length === 0 || (found.length > 1 && keywords.some((keyword) => keyword !== "var"))) return undefined;
  if (tried.has(name)) {
    names.set(name, name + INVISIBLE);
    return rename(code);
  }
  tried.add(name);
  let kind = earlierKind(name);
  if (kind === "dead") kind = keywords[0] === "const" ? "let" : "const";
  const isAssigned = assigned(tokens, name);
  const edits = [];
  for (const [i, place] of found) {
    const { text: keyword, start, end, depth } = tokens[i];
    const replacement = keywordFor(kind, keyword, depth === 0, isAssigned);
    if (replacement === undefined) {
      names.set(name, name + INVISIBLE);
      return rename(code);
    }
    if (replacement === keyword) return undefined;
    if (keyword === "class" || keyword === "function") {
      const first = keyword === "function" && tokens[i - 1]?.text === "async" ? tokens[i - 1].start : start;
      const body = tokens.findIndex((token, at) => at > place && token.text === "{" && token.depth === depth);
      const last = tokens[tokens[body]?.close];
      if (!last) return undefined;
      edits.push([first, first, `${replacement} ${name} = `], [last.end, last.end, ";"]);
    } else {
      edits.push([start, end, replacement]);
      const isEmpty = keyword === "let" && place === i + 1 && tokens[place + 1]?.text !== "=";
      if (isEmpty) edits.push([tokens[place].end, tokens[place].end, " = undefined"]);
    }
  }
  return edited(code, edits);
}

const INVISIBLE = "\u200c"; // the zero-width non-joiner, which may be a part of names

/** The names of constants that are variables now, and what they are called. Such a name may become a constant, too. */
const names = new Map();

/** What a name is called now; undefined if by itself. */
function calledNow(name) {
  let last;
  for (let next = names.get(name); next !== undefined; next = names.get(next)) last = next;
  return last;
}

/** A cell with the names that it has here. */
function rename(code) {
  if (![...names.keys()].some((name) => code.includes(name))) return code;
  const tokens = scan(code);
  const edits = [];
  for (let i = 0; i < tokens.length; i++) {
    const { text, end, isField, isKey, isProperty } = tokens[i];
    const name = calledNow(text);
    if (name === undefined || isProperty) continue;
    // `{ a }` is short for `{ a: a }`.
    if (!isKey) edits.push([end, end, name.slice(text.length)]);
    else if (!isField && /^[,}=]$/.test(tokens[i + 1]?.text)) edits.push([end, end, `: ${name}`]);
  }
  return edited(code, edits);
}

/** Gives the constants the values of their variables. */
function synchronize() {
  for (const name of names.keys()) {
    const variable = calledNow(name);
    // It may have no value yet.
    const give = (expression) => post("Runtime.evaluate", { expression, replMode: true, silent: true }, () => {});
    give(`const ${name} = ${variable}`);
    give(`${name} = ${variable}`); // what is no constant
  }
}

module.exports = { rename, resolve, synchronize };
