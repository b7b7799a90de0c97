// Import statements and `import()`, which evaluated code cannot do by itself: they are rewritten.
//
// Loaded for the first cell that has the word in it.
"use strict";

const nodeModule = require("module");
const path = require("path");
const { pathToFileURL } = require("url");

const REGEX_BEFORE = new Set(
  ("return typeof case do else in instanceof new void delete throw await yield of " +
    "( , = : [ ! & | ? { } + - * % ~ ^ < > ;").split(" "),
);
const WORD = /[\p{ID_Start}$_\u200c\u200d\\][\p{ID_Continue}$\u200c\u200d\\]*/uy;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])+\/[a-z]*/y;
const SPACE = /(?:\s|\/\/[^\n]*|\/\*[^]*?\*\/)+/y;
const STRING = /"(?:\\[^]|[^"\\\n])*"|'(?:\\[^]|[^'\\\n])*'/y;
const NUMBER = /\.?\d(?:[eE][+-]|[\w.])*/y;

/**
 * Cuts a program into tokens, well enough to tell code from strings, comments, templates and regular expressions.
 * Yields [text, start].
 */
function* tokens(code) {
  let at = 0;
  let last = ";"; // the token before
  const match = (pattern) => {
    pattern.lastIndex = at;
    return pattern.exec(code)?.[0];
  };
  const open = []; // what each open bracket was: "{", "(", "${" or the word before a "("
  /** Skips template text from `at` to `${` or the end. */
  const template = () => {
    for (; at < code.length; at++) {
      if (code[at] === "\\") at++;
      else if (code[at] === "`") return at++, (last = "`");
      else if (code.startsWith("${", at)) return (at += 2), open.push("${"), (last = "{");
    }
  };
  while (at < code.length) {
    const start = at;
    const space = match(SPACE);
    if (space) {
      at += space.length;
      continue;
    }
    const c = code[at];
    if (c === "`") {
      at++;
      template();
      yield ["`", start];
      continue;
    }
    if (c === "}" && open.at(-1) === "${") {
      open.pop();
      at++;
      template();
      continue;
    }
    const token =
      match(STRING) ?? match(WORD) ?? match(NUMBER) ?? (c === "/" && REGEX_BEFORE.has(last) ? match(REGEX) : null) ?? c;
    at += token.length;
    if (token === "(" || token === "{" || token === "[") open.push(token === "(" ? last : token);
    let kind = token;
    if (token === ")" || token === "}" || token === "]") {
      const opener = open.pop();
      // After `if (…)` a slash begins a regular expression, after `f(…)` it divides.
      if (token === ")" && ["if", "while", "for", "with"].includes(opener)) kind = ";";
    }
    yield [token, start];
    last = kind;
  }
}

/**
 * Rewrites imports, which evaluated code cannot do: `import(…)` becomes `__import(…)`, and an import statement a
 * declaration that awaits it. Lines stay where they are.
 */
function rewriteImports(code) {
  if (!code.includes("import")) return code;
  const all = [...tokens(code)];
  let out = "";
  let done = 0;
  const replace = (start, end, text) => {
    const lines = code.slice(start, end).split("\n").length - 1;
    out += code.slice(done, start) + text + "\n".repeat(lines);
    done = end;
  };
  let depth = 0;
  for (let i = 0; i < all.length; i++) {
    const [token, start] = all[i];
    if (token === "(" || token === "{" || token === "[") depth++;
    if (token === ")" || token === "}" || token === "]") depth--;
    if (token !== "import" || all[i - 1]?.[0] === ".") continue;
    const next = all[i + 1]?.[0];
    if (next === "(") {
      replace(start, start + token.length, "__import");
    } else if (next === "." && all[i + 2]?.[0] === "meta") {
      replace(start, all[i + 2][1] + 4, "__importMeta");
    } else if (depth === 0 && next !== ":" && next !== "=") {
      const statement = importStatement(all, i);
      if (statement) {
        replace(start, statement.end, statement.text);
        i = statement.last;
      }
    }
  }
  return out + code.slice(done);
}

const isString = (token) => token !== undefined && (token[0] === '"' || token[0] === "'");

/** Parses the import statement at token `i`; null if it is none. */
function importStatement(all, i) {
  const token = (n) => all[n]?.[0];
  let at = i + 1;
  const names = []; // [imported, local]
  let namespace = null;
  if (!isString(token(at))) {
    if (/^[\p{ID_Start}$_]/u.test(token(at) ?? "")) {
      names.push(["default", token(at++)]);
      if (token(at) === ",") at++;
    }
    if (token(at) === "*" && token(at + 1) === "as") {
      namespace = token(at + 2);
      at += 3;
    } else if (token(at) === "{") {
      at++;
      while (token(at) !== "}") {
        if (token(at) === undefined) return null;
        const imported = isString(token(at)) ? token(at).slice(1, -1) : token(at);
        at++;
        if (token(at) === "as") {
          names.push([imported, token(at + 1)]);
          at += 2;
        } else {
          names.push([imported, imported]);
        }
        if (token(at) === ",") at++;
      }
      at++;
    }
    if (token(at++) !== "from") return null;
  }
  const source = token(at);
  if (!isString(source)) return null;
  let last = at;
  let options = "";
  if ((token(at + 1) === "with" || token(at + 1) === "assert") && token(at + 2) === "{") {
    let text = "";
    for (last = at + 2; token(last) !== "}"; last++) {
      if (token(last) === undefined) return null;
      text += token(last);
    }
    const attributes = text + "}";
    // Either word, because node's versions differ in which of the two they know.
    options = `, { with: ${attributes}, assert: ${attributes} }`;
  }
  const end = all[last][1] + all[last][0].length;
  const wanted = JSON.stringify(names.map(([imported]) => imported));
  const loaded = `await __import.checked(${source}, ${wanted}${options})`;
  const pattern = names.map(([imported, local]) => `${JSON.stringify(imported)}: ${local}`).join(", ");
  let text;
  if (namespace && names.length) text = `const ${namespace} = ${loaded}, { ${pattern} } = ${namespace};`;
  else if (namespace) text = `const ${namespace} = ${loaded};`;
  else if (names.length) text = `const { ${pattern} } = ${loaded};`;
  else text = `${loaded};`;
  return { text, end, last };
}

/** What runs in node's thread for this: looks in other places for what is not found. */
const RESOLVE = `
let places;
export const initialize = (given) => { places = given; };
export const resolve = async (specifier, context, next) => {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error.code === "ERR_MODULE_NOT_FOUND" && !/^(\\.{0,2}\\/|\\w+:)/.test(specifier)) {
      for (const parentURL of places) {
        try { return await next(specifier, { ...context, parentURL }); } catch {}
      }
    }
    throw error;
  }
};`;

// An image's packages are in `NODE_PATH`, which `require` knows and `import` does not.
const shared = (process.env.NODE_PATH ?? "").split(path.delimiter).filter(path.isAbsolute);
if (shared.length && nodeModule.register) {
  const places = shared.map((folder) => pathToFileURL(path.join(folder, "../index.js")).href);
  nodeModule.register(`data:text/javascript,${encodeURIComponent(RESOLVE)}`, { parentURL: "data:", data: places });
}

/** `import()` for cells: relative to the working directory. */
const resolve = (specifier) =>
  /^\.{0,2}\//.test(specifier) ? pathToFileURL(path.resolve(specifier)).href : specifier;
const importModule = (specifier, options) => {
  if (part("children").isThis(specifier)) require(specifier); // which node's own `import` would pass by
  return load(resolve(String(specifier)), options);
};
importModule.checked = async (specifier, names, options) => {
  const module = await importModule(specifier, options);
  for (const name of names) {
    if (!(name in module)) {
      throw new SyntaxError(`The requested module '${specifier}' does not provide an export named '${name}'`);
    }
  }
  return module;
};

module.exports = { importModule, rewriteImports };
