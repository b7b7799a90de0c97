// Compiles the harness for later starts: the sources come on standard input, and what `boot.cjs` reads goes to the output.
const fs = require("fs");
const v8 = require("v8");
const { Script } = require("vm");
const [realm, ...parts] = fs.readFileSync(0, "utf8").split("\0");
v8.setFlagsFromString("--no-lazy"); // functions as well, and not when they are first called
const scripts = { "agb:realm": new Script(realm, { filename: "agb:realm" }) };
for (let at = 0; at < parts.length; at += 2) {
  const filename = `agb:${parts[at]}`;
  scripts[filename] = new Script(`(function (host, part, module) {${parts[at + 1]}\n})`, { filename });
}
v8.setFlagsFromString("--lazy"); // V8 takes what was made with the flags that it has
const places = {};
const pieces = [];
let end = 0;
for (const [name, script] of Object.entries(scripts)) {
  pieces.push(script.createCachedData());
  places[name] = [end, (end += pieces.at(-1).length)];
}
fs.writeFileSync(1, Buffer.concat([Buffer.from(`${JSON.stringify(places)}\n`), ...pieces]));
