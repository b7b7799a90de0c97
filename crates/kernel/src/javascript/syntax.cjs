// Cuts a program into tokens, and knows of each whether it begins a statement, whether it is a key or a property, and how
// deep it is: enough to find imports, exports and declarations. What V8 refuses may be cut in any way.
"use strict";

const SPACE = /(?:\s|\/\/[^\n\r\u2028\u2029]*|\/\*[^]*?\*\/)+/y;
const WORD = /#?[\p{ID_Start}$_\\][\p{ID_Continue}$\u200c\u200d\\{}]*/uy;
const PLAIN_WORD = /#?[\p{ID_Start}$_][\p{ID_Continue}$\u200c\u200d]*/uy;
const NUMBER = /(?:0[xXoObB][\da-fA-F_]+n?|(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?[\d_]+)?n?)/y;
const STRING = /"(?:\\[^]|[^"\\\n\r])*"|'(?:\\[^]|[^'\\\n\r])*'/y;
const REGEX = /\/(?:\\.|\[(?:\\.|[^\]\\\n\r])*\]|[^/\\[\n\r])+\/[\p{ID_Continue}$]*/uy;
const PUNCTUATOR = /\+\+|--|=>|\?\.(?!\d)|\.\.\.|\?\?=?|\*\*|[^]/uy;

/** Words after which an operand comes. */
const BEFORE_OPERAND = new Set(
  "return throw typeof void delete new in of instanceof case await yield extends var let const".split(" "),
);
/** Words after which a statement comes. */
const BEFORE_STATEMENT = new Set(["else", "do", "try", "finally", "break", "continue", "debugger"]);
const BEFORE_CONDITION = new Set(["if", "while", "for", "with"]);
const MODIFIERS = new Set(["static", "async", "get", "set", "accessor"]);

/** An open bracket. */
class Frame {
  constructor(kind, more) {
    // What it is: "block", "object", "class", "paren", "bracket" or "template".
    this.kind = kind;
    this.conditionals = 0; // open `?`
    this.pending = null; // a function or class whose body is to come
    this.isMemberStart = kind === "object" || kind === "class";
    this.isConditionNext = false;
    Object.assign(this, more);
  }
}

class Scanner {
  constructor(code) {
    this.code = code;
    this.at = 0;
    this.tokens = [];
    this.frames = [new Frame("block")];
    this.isOperandNext = true;
    this.isStatementNext = true;
    this.isAfterArrow = false;
    this.functions = 0;
  }

  get frame() {
    return this.frames.at(-1);
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    return pattern.exec(this.code)?.[0];
  }

  scan() {
    if (this.code.startsWith("#!")) this.at = /[^\n\r\u2028\u2029]*/.exec(this.code)[0].length;
    let isNewLine = true;
    for (;;) {
      const space = this.match(SPACE);
      if (space) {
        this.at += space.length;
        isNewLine ||= /[\n\r\u2028\u2029]/.test(space);
      }
      if (this.at >= this.code.length) return this.tokens;
      this.next(isNewLine);
      isNewLine = false;
    }
  }

  /** Adds a token from here to `this.at + length`. */
  add(text, more) {
    const token = {
      text,
      start: this.at,
      end: this.at + text.length,
      depth: this.frames.length - 1,
      functions: this.functions,
      isStatement: this.isStatementNext,
      isKey: false,
      isProperty: false,
      close: -1,
      ...more,
    };
    this.at = token.end;
    this.tokens.push(token);
    return token;
  }

  expect(isOperand, isStatement = false) {
    this.isOperandNext = isOperand;
    this.isStatementNext = isStatement;
  }

  next(isNewLine) {
    const c = this.code[this.at];
    if (c === '"' || c === "'") return this.operand(this.match(STRING) ?? c);
    if (c === "`") return this.template(1);
    if (c === "}" && this.frame.kind === "template") {
      this.frames.pop();
      return this.template(1);
    }
    const word = this.match(PLAIN_WORD) ?? (c === "\\" ? this.match(WORD) : undefined);
    if (word) return this.word(word, isNewLine);
    const number = this.match(NUMBER);
    if (number) return this.operand(number);
    const regex = c === "/" && this.isOperandNext ? this.match(REGEX) : undefined;
    if (regex) return this.operand(regex);
    this.punctuator(this.match(PUNCTUATOR), isNewLine);
  }

  operand(text) {
    this.frame.isMemberStart = false;
    this.add(text);
    this.expect(false);
  }

  /** A template from here, or what follows an expression in it. */
  template(skip) {
    const { code } = this;
    let at = this.at + skip;
    for (; at < code.length; at++) {
      if (code[at] === "\\") at++;
      else if (code[at] === "`") return this.operand(code.slice(this.at, at + 1));
      else if (code[at] === "$" && code[at + 1] === "{") {
        this.add(code.slice(this.at, at + 2));
        this.frames.push(new Frame("template"));
        return this.expect(true);
      }
    }
    this.operand(code.slice(this.at));
  }

  word(text, isNewLine) {
    const { frame } = this;
    const last = this.tokens.at(-1)?.text;
    if (last === "." || last === "?.") {
      this.add(text, { isProperty: true });
      return this.expect(false);
    }
    // A line that cannot go on with a word has ended a statement, or a field of a class.
    const isEnded = isNewLine && (!this.isOperandNext || this.isAfterArrow) && text !== "in" && text !== "instanceof";
    this.isAfterArrow = false;
    if (isEnded && frame.kind === "class") frame.isMemberStart = true;
    if (isEnded && frame.kind === "block") {
      frame.pending = null;
      this.expect(true, true);
    }
    if (frame.isMemberStart) return this.key(text);
    const isStatement = this.isStatementNext;
    const before = this.tokens.at(-1);
    this.add(text);
    if (text === "function" || text === "class") {
      frame.pending = { type: text, isDeclaration: isStatement };
      return this.expect(false);
    }
    if (text === "async") {
      // Of a function that it begins, `function` begins the statement.
      this.expect(false, isStatement);
      return;
    }
    if (text === "export" && isStatement && this.frames.length === 1) return this.expect(true, true);
    if (text === "import" && isStatement && this.frames.length === 1) return this.expect(true);
    if (text === "default" && before?.text === "export") {
      return this.expect(true, /^\s*(?:async\s+)?(?:function|class)\b/.test(this.code.slice(this.at, this.at + 100)));
    }
    if (BEFORE_CONDITION.has(text)) {
      frame.isConditionNext = true;
      return this.expect(false);
    }
    if (text === "await" && frame.isConditionNext) return this.expect(false);
    if (BEFORE_STATEMENT.has(text)) return this.expect(true, true);
    this.expect(BEFORE_OPERAND.has(text));
  }

  /** A name where a property, method or field begins. */
  key(text) {
    const isModifier = MODIFIERS.has(text) && !/^\s*[(=,};:]/.test(this.code.slice(this.at + text.length, this.at + text.length + 100));
    this.frame.isMemberStart = isModifier;
    this.add(text, { isKey: true, isField: this.frame.kind === "class" });
    this.expect(false);
  }

  punctuator(text, isNewLine) {
    const { frame } = this;
    const last = this.tokens.at(-1);
    this.isAfterArrow &&= isNewLine;
    switch (text) {
      case "(":
      case "[": {
        frame.isMemberStart = false;
        const isCondition = text === "(" && frame.isConditionNext;
        frame.isConditionNext = false;
        this.open(text, new Frame(text === "(" ? "paren" : "bracket", { isCondition }));
        return this.expect(true);
      }
      case ")":
      case "]": {
        const closed = this.close(text);
        return closed?.isCondition ? this.expect(true, true) : this.expect(false);
      }
      case "{":
        return this.brace(last);
      case "}":
        return this.endBrace();
      case ";":
        this.add(text);
        frame.conditionals = 0;
        frame.pending = null;
        frame.isMemberStart = frame.kind === "class";
        return this.expect(true, frame.kind === "block");
      case ",":
        this.add(text);
        frame.isMemberStart = frame.kind === "object";
        return this.expect(true);
      case "?":
        this.add(text);
        frame.conditionals++;
        return this.expect(true);
      case ":": {
        this.add(text);
        const isLabel = frame.conditionals === 0 && frame.kind === "block";
        if (frame.conditionals > 0) frame.conditionals--;
        return this.expect(true, isLabel);
      }
      case "++":
      case "--": {
        const isPostfix = !this.isOperandNext && !isNewLine;
        this.add(text);
        return this.expect(!isPostfix);
      }
      case "*":
        this.add(text); // before a key it makes a generator
        return this.expect(true);
      default:
        if (text !== ".") frame.isMemberStart = false;
        this.add(text);
        this.expect(true);
    }
  }

  open(text, frame) {
    frame.index = this.tokens.length;
    this.add(text);
    this.frames.push(frame);
    if (frame.isFunction) this.functions++;
  }

  close(text) {
    const closed = this.frames.length > 1 ? this.frames.pop() : undefined;
    if (closed?.isFunction) this.functions--;
    this.add(text);
    if (closed) this.tokens[closed.index].close = this.tokens.length - 1;
    return closed;
  }

  brace(last) {
    const { frame } = this;
    const { pending } = frame;
    let opened;
    if (pending?.type === "class" && !this.isOperandNext) {
      opened = new Frame("class", { owner: pending });
    } else if (last?.text === "=>") {
      opened = new Frame("block", { isFunction: true, isArrow: true });
    } else if (pending?.type === "function" && last?.text === ")") {
      opened = new Frame("block", { isFunction: true, owner: pending });
    } else if ((frame.kind === "class" && !this.isOperandNext) || (frame.kind === "object" && last?.text === ")")) {
      opened = new Frame("block", { isFunction: true, isMethod: true });
    } else if (last?.text !== "export" && (this.isStatementNext || !this.isOperandNext)) {
      opened = new Frame("block");
    } else {
      opened = new Frame("object");
    }
    if (opened.owner) frame.pending = null;
    frame.isMemberStart = false;
    this.open("{", opened);
    this.expect(true, opened.kind === "block");
  }

  endBrace() {
    const closed = this.close("}");
    const { frame } = this;
    if (!closed) return this.expect(true, true);
    const { kind, owner, isArrow, isMethod } = closed;
    if (isMethod) {
      frame.isMemberStart = frame.kind === "class";
      return this.expect(true);
    }
    if (isArrow) {
      this.isAfterArrow = true;
      return this.expect(true);
    }
    const isStatement = owner ? owner.isDeclaration : kind === "block";
    if (isStatement) this.expect(true, true);
    else this.expect(false);
  }
}

const scan = (code) => new Scanner(code).scan();

/** Whether the program gives a value to a variable of this name outside of a declaration. */
function assigned(tokens, name) {
  return tokens.some(({ text, isKey, isProperty }, i) => {
    if (text !== name || isKey || isProperty) return false;
    const [before, after, next] = [tokens[i - 1]?.text, tokens[i + 1]?.text, tokens[i + 2]?.text];
    if (/^(?:\+\+|--)$/.test(before) || /^(?:\+\+|--)$/.test(after)) return true;
    if (after === "=") return next !== "=" && !/^(?:let|const|var|,)$/.test(before);
    return next === "=" && /^(?:[-+*/%&|^]|\*\*|\?\?)$/.test(after) && tokens[i + 1].end === tokens[i + 2].start;
  });
}

/** A text with some of it replaced: [start, end, text]. What is shorter is filled, so that columns stay. */
function edited(code, edits) {
  let out = "";
  let done = 0;
  for (const [start, end, text] of edits.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
    const blank = code.slice(start, end).replace(/[^\n\r\u2028\u2029]/g, " ");
    out += code.slice(done, start) + text + blank.slice(text.length);
    done = end;
  }
  return out + code.slice(done);
}

module.exports = { assigned, edited, scan };
