// The interfaces of `readline` on standard input: when they wait for a line.
//
// An interface reads from the moment on which it is made, asked or not. So that a request goes out for a question, and
// not before it, standard input has to know who waits: an open question, a listener for lines, an iterator.
"use strict";

const { emitter } = part("captured");
const input = part("input");
const { facade } = host;

/** What is known of one interface. */
class LineReader {
  constructor(lineInterface) {
    Object.assign(this, { lineInterface, iterators: 0, nexts: 0 });
  }

  isAwaited() {
    const { lineInterface, iterators, nexts } = this;
    if (lineInterface.terminal || nexts > 0) return true;
    return hasQuestion(lineInterface) || emitter.listenerCount(lineInterface, "line") > iterators;
  }
}

const hasQuestion = (lineInterface) =>
  Object.getOwnPropertySymbols(lineInterface).some(
    (name) => /questionCallback$/i.test(name.description) && lineInterface[name] !== null,
  );

const noted = new WeakMap();

/** Has standard input ask for what an interface waits for. */
function note(lineInterface) {
  const source = input.known(lineInterface.input);
  if (!source || noted.has(lineInterface)) return lineInterface;
  const reader = new LineReader(lineInterface);
  noted.set(lineInterface, reader);
  source.interfaces.add(reader);
  emitter.on(lineInterface, "close", () => source.interfaces.delete(reader));
  for (const event of ["newListener", "removeListener"]) emitter.on(lineInterface, event, input.consider);
  return lineInterface;
}

/** Counts the calls of an iterator that wait, instead of its listener, which is there meanwhile as well. */
function iterate(reader, iterator) {
  const { next } = iterator;
  const finished = () => {
    reader.nexts--;
    input.consider();
  };
  iterator.next = facade("next", function () {
    reader.nexts++;
    input.consider();
    const result = Reflect.apply(next, this, []);
    part("captured").then(result, finished, finished);
    return result;
  });
  return iterator;
}

/** Replaces the methods by which something begins to wait. */
function watchPrototype(prototype) {
  const { question } = prototype;
  const ask = function (...args) {
    const result = Reflect.apply(question, this, args);
    input.consider();
    return result;
  };
  prototype.question = facade("question", ask, question);
  const iterator = prototype[Symbol.asyncIterator];
  prototype[Symbol.asyncIterator] = facade("[Symbol.asyncIterator]", function () {
    const reader = noted.get(this);
    if (!reader) return Reflect.apply(iterator, this, []);
    const before = emitter.listenerCount(this, "line");
    const made = Reflect.apply(iterator, this, []);
    const added = emitter.listenerCount(this, "line") - before;
    if (added === 0) return made;
    reader.iterators += added;
    return iterate(reader, made);
  }, iterator);
}

/** Has the interfaces noted that this module, `readline` or `readline/promises`, will make. */
function watch(module) {
  const { Interface, createInterface } = module;
  watchPrototype(Interface.prototype);
  module.createInterface = facade("createInterface", (...args) => note(createInterface(...args)), createInterface);
  module.Interface = new Proxy(Interface, {
    apply: (target, self, args) => note(Reflect.apply(target, self, args)),
    construct: (target, args, newTarget) => note(Reflect.construct(target, args, newTarget)),
  });
}

module.exports = { watch };
