// Removes what the compiler made of sources that are gone: it leaves that in its place, and it would be packed.
// `npm run build` calls it; it prints nothing.
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const npm = dirname(fileURLToPath(import.meta.url));
const MAP = ".js.map";

for (const dist of ["sdk/dist", "local/dist"].map((folder) => join(npm, folder)).filter(existsSync)) {
  for (const name of readdirSync(dist, { recursive: true }).filter((name) => name.endsWith(MAP))) {
    const map = join(dist, name);
    const { sources } = JSON.parse(readFileSync(map, "utf8"));
    if (sources.some((source) => existsSync(join(dirname(map), source)))) {
      continue;
    }
    for (const end of [MAP, ".js", ".d.ts", ".d.ts.map"]) {
      rmSync(map.slice(0, -MAP.length) + end, { force: true });
    }
  }
}
