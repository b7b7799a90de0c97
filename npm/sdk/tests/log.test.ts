import assert from "node:assert/strict";
import { afterEach, describe, it, mock } from "node:test";
import { AGB, type Logger, setLogger, setLogLevel } from "../src/index.js";
import { FakeBackend } from "./fake-binding.js";

const backend = new FakeBackend().plug();
backend.env = [["AGB_LOG_LEVEL", " Debug "]];
const lines: string[] = [];
const collector: Logger = {
  error: (line) => lines.push(`error ${line}`),
  warn: (line) => lines.push(`warn ${line}`),
  info: (line) => lines.push(`info ${line}`),
  debug: (line) => lines.push(`debug ${line}`),
};

afterEach(() => {
  setLogger(null);
  lines.length = 0;
});

describe("logging", () => {
  it("takes its first level from AGB_LOG_LEVEL", () => {
    new AGB("key");
    assert.equal(backend.level, "debug");
  });

  it("passes the core's lines to the logger", () => {
    setLogger(collector);
    backend.sink?.("info", "agb_core::session", "connected");
    backend.sink?.("debug", "agb_core", "ping");
    backend.sink?.("trace", "agb_core", "below the level");
    assert.deepEqual(lines, ["info agb_core::session: connected", "debug agb_core: ping"]);
  });

  it("sets the level here and in the core", () => {
    setLogger(collector);
    setLogLevel("error");
    assert.equal(backend.level, "error");
    backend.sink?.("warn", "agb_core", "below the level");
    setLogLevel("trace");
    backend.sink?.("trace", "agb_core", "frame");
    assert.deepEqual(lines, ["debug agb_core: frame"], "trace goes to debug where the logger has no trace");
  });

  it("writes to stderr by default", () => {
    const written = mock.method(console, "error", () => {});
    backend.sink?.("error", "agb_core", "lost");
    written.mock.restore();
    assert.deepEqual(written.mock.calls[0]?.arguments, ["[agb] ERROR agb_core: lost"]);
  });

  it("survives a logger that throws, and says so", () => {
    const written = mock.method(console, "error", () => {});
    setLogger({ ...collector, error: () => { throw new Error("disk full"); } });
    backend.sink?.("error", "agb_core", "lost");
    written.mock.restore();
    assert.match(String(written.mock.calls[0]?.arguments[0]), /the logger threw/);
  });

  it("refuses unknown levels and loggers that are none", () => {
    assert.throws(() => setLogLevel("loud" as never), TypeError);
    assert.throws(() => setLogger({} as never), /no method error/);
  });
});
