// Import and export statements, which evaluated code cannot have: imports are loaded before the cell runs, and become
// declarations at its top; of exports the word is dropped. `import()` stays as it is: node hands it to this file.
//
// Loaded for the first cell that has one of the words in it.
"use strict";

const captured = part("captured");
const { edited, scan } = part("syntax");
const { createContext, module: nodeModule, nodePath, path, pathToFileURL, process, then } = captured;

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
const shared = nodePath.split(path.delimiter).filter(path.isAbsolute);
if (shared.length && nodeModule.register) {
  const places = shared.map((folder) => pathToFileURL(path.join(folder, "../index.js")).href);
  nodeModule.register(`data:text/javascript,${encodeURIComponent(RESOLVE)}`, { parentURL: "data:", data: places });
}

const [major, minor] = captured.nodeVersion.split(".").map(Number);
/** Since then an `import()` of evaluated code can be answered, and attributes are called `with`. */
const isRecent = major > 20 || (major === 20 && minor >= 12);

/** `import()` for cells: relative to the working directory. */
const resolve = (specifier) =>
  /^\.{0,2}\//.test(specifier) ? pathToFileURL(path.resolve(specifier)).href : specifier;

function importModule(specifier, attributes) {
  part("modules").prepare(specifier);
  const options = attributes && (isRecent ? { with: attributes } : { assert: attributes });
  return host.load(resolve(specifier), options);
}

/** The import statements of the cell that runs: what `import("agb:0")`, and so on, stand for. */
let statements = [];
const STATEMENT = /^agb:(\d+)$/;

const importInCell = (specifier, _referrer, attributes) =>
  statements[STATEMENT.exec(specifier)?.[1]]?.module ?? importModule(specifier, attributes);

if (isRecent) {
  // What evaluated code imports is asked of the realm, and this is what makes the program's realm answer. The context
  // itself is not used.
  createContext(host.global, { __proto__: null, importModuleDynamically: importInCell });
} else {
  const value = host.facade("import", (specifier, options) =>
    importInCell(String(specifier), null, options?.with ?? options?.assert));
  Object.defineProperty(host.global, "__import", { value });
}

/** Loads what the statements name, in their order, then calls back, with an error if there is one. */
function loadStatements(loaded, callback) {
  statements = loaded;
  const next = (at) => {
    if (at === loaded.length) return callback();
    const { specifier, names, attributes } = loaded[at];
    let promise;
    try {
      promise = importModule(specifier, attributes);
    } catch (error) {
      return callback(error);
    }
    then(promise, (module) => {
      const missing = names.find((name) => !Reflect.has(module, name));
      if (missing !== undefined) {
        const message = `The requested module '${specifier}' does not provide an export named '${missing}'`;
        return callback(new captured.SyntaxError(message));
      }
      loaded[at].module = module;
      next(at + 1);
    }, callback);
  };
  next(0);
}

const isString = (token) => token !== undefined && (token[0] === '"' || token[0] === "'");
/** The value of a string token, or a name. */
const valueOf = (token) => (isString(token) ? (0, eval)(token) : token);

/** Reads `with { type: "json" }` behind a source. */
function readAttributes(tokens, at) {
  if (!["with", "assert"].includes(tokens[at]?.text) || tokens[at + 1]?.text !== "{") return { last: at - 1 };
  const attributes = {};
  let last = at + 2;
  for (; tokens[last] && tokens[last].text !== "}"; last++) {
    if (tokens[last + 1]?.text !== ":") continue;
    attributes[valueOf(tokens[last].text)] = valueOf(tokens[last + 2]?.text);
    last += 2;
  }
  return { last, attributes };
}

/** Reads `from "x"`, or what stands for it; null if it is not there. */
function readSource(tokens, at) {
  if (!isString(tokens[at]?.text)) return null;
  const { last, attributes } = readAttributes(tokens, at + 1);
  if (!tokens[last]) return null;
  return { specifier: valueOf(tokens[at].text), attributes, last, end: tokens[last].end, text: ";" };
}

/** Reads the names in braces from the token on: [[outer, inner]] and the place behind them. */
function readNames(tokens, at) {
  const names = [];
  for (at++; tokens[at] && tokens[at].text !== "}"; at++) {
    if (tokens[at].text === ",") continue;
    const outer = valueOf(tokens[at].text);
    if (tokens[at + 1]?.text === "as") at += 2;
    names.push([outer, tokens[at]?.text]);
  }
  return { names, next: at + 1 };
}

/** Reads the import statement at this token; null if it is none. */
function importStatement(tokens, i) {
  let at = i + 1;
  let names = [];
  let namespace;
  if (isString(tokens[at]?.text)) {
    const source = readSource(tokens, at);
    return source && { ...source, names };
  }
  if (/^[\p{ID_Start}$_]/u.test(tokens[at]?.text ?? "")) {
    names.push(["default", tokens[at++].text]);
    if (tokens[at]?.text === ",") at++;
  }
  if (tokens[at]?.text === "*") {
    namespace = tokens[at + 2]?.text;
    at += 3;
  } else if (tokens[at]?.text === "{") {
    const read = readNames(tokens, at);
    names = [...names, ...read.names];
    at = read.next;
  }
  const source = tokens[at]?.text === "from" ? readSource(tokens, at + 1) : null;
  return source && { ...source, names, namespace };
}

/** Reads the export statement at this token: how much of it goes; null if it is none. */
function exportStatement(tokens, i) {
  const next = tokens[i + 1];
  if (next?.text === "*") {
    const from = tokens[i + 2]?.text === "as" ? i + 4 : i + 2;
    const source = readSource(tokens, from + 1);
    return source && { ...source, names: [] };
  }
  if (next?.text === "{") {
    const { names, next: at } = readNames(tokens, i + 1);
    if (!tokens[at - 1]) return null;
    const source = tokens[at]?.text === "from" ? readSource(tokens, at + 1) : null;
    return source ? { ...source, names: names.map(([outer]) => [outer]) } : { last: at - 1, end: tokens[at - 1].end, text: ";" };
  }
  if (next?.text !== "default") return { last: i, end: tokens[i].end, text: "" };
  return exportDefault(tokens, i + 1);
}

/** A default is a declaration if it has a name, and else an expression. */
function exportDefault(tokens, at) {
  const { end } = tokens[at];
  let first = at + 1;
  if (tokens[first]?.text === "async" && tokens[first + 1]?.text === "function") first++;
  const isFunction = tokens[first]?.text === "function";
  if (!isFunction && tokens[first]?.text !== "class") return { last: at, end, text: "0," };
  const name = tokens[first + 1]?.text === "*" ? tokens[first + 2]?.text : tokens[first + 1]?.text;
  if (!["(", "{", "extends"].includes(name)) return { last: at, end, text: "" };
  // The body is the first block behind the parameters, or the first braces of the class.
  let body = first + 1;
  while (tokens[body] && tokens[body].text !== "{") body = tokens[body].close > body ? tokens[body].close + 1 : body + 1;
  const close = tokens[body]?.close;
  return { last: at, end, text: "0,", endsAt: tokens[close]?.end };
}

/** Where the declarations go: behind a first line for the shell and directives such as "use strict". */
function top(code, tokens) {
  let place = code.startsWith("#!") ? /[^\n\r\u2028\u2029]*[\n\r\u2028\u2029]?/.exec(code)[0].length : 0;
  let before = "";
  for (let at = 0; isString(tokens[at]?.text) && tokens[at].isStatement; at++) {
    const next = tokens[at + 1];
    if (next && next.text !== ";" && !next.isStatement) break;
    place = (next?.text === ";" ? tokens[++at] : tokens[at]).end;
    before = ";";
  }
  return { place, before };
}

/** A cell's text as V8 evaluates it, and the import statements that it had. Lines and columns stay where they are. */
function rewriteModule(code) {
  const tokens = scan(code);
  const found = [];
  const edits = []; // [start, end, text]
  let hoisted = "";
  const add = ({ specifier, names, attributes, namespace }) => {
    const module = `await ${isRecent ? "import" : "__import"}("agb:${found.length}")`;
    const locals = names.filter(([, local]) => local);
    const pattern = locals.map(([imported, local]) => `${JSON.stringify(imported)}: ${local}`).join(", ");
    if (namespace) hoisted += `const ${namespace} = ${module};`;
    if (pattern) hoisted += `const { ${pattern} } = ${module};`;
    found.push({ specifier, names: names.map(([imported]) => imported), attributes });
  };
  for (let i = 0; i < tokens.length; i++) {
    const { text, start, end, depth, isKey, isProperty, isStatement } = tokens[i];
    if ((text !== "import" && text !== "export") || isKey || isProperty) continue;
    const next = tokens[i + 1]?.text;
    if (text === "import" && next === "(") {
      if (!isRecent) edits.push([start, end, "__import"]);
    } else if (text === "import" && next === "." && tokens[i + 2]?.text === "meta") {
      edits.push([start, tokens[i + 2].end, "__importMeta"]);
    } else if (isStatement && depth === 0) {
      const statement = text === "import" ? importStatement(tokens, i) : exportStatement(tokens, i);
      if (!statement) continue;
      if (statement.specifier !== undefined) add(statement);
      edits.push([start, statement.end, statement.text]);
      if (statement.endsAt) edits.push([statement.endsAt, statement.endsAt, ";"]);
      i = statement.last;
    }
  }
  if (hoisted) {
    const { place, before } = top(code, tokens);
    edits.push([place, place, before + hoisted]);
  }
  return { code: edited(code, edits), statements: found };
}

module.exports = { importModule, loadStatements, rewriteModule };
