/** Programs that print numbered lines and leave a mark each time they are run, and what their output must be. */

import assert from "node:assert/strict";

export type Language = "python" | "javascript" | "r" | "java";

/** A program of `count` lines: some of one byte a character, some of two. */
export function numbered(language: Language, name: string, count: number): string {
  switch (language) {
    case "python":
      return `open("starts", "a").write("${name}\\n")\nfor i in range(${count}): print(f"{i} of ${name} " + "é" * (i % 40))`;
    case "javascript":
      return `require("fs").appendFileSync("starts", "${name}\\n"); for (let i = 0; i < ${count}; i++) console.log(i + " of ${name} " + "é".repeat(i % 40));`;
    case "r":
      return `cat("${name}\\n", file = "starts", append = TRUE)\nfor (i in 0:${count - 1}) cat(paste0(i, " of ${name} ", strrep("\\u00e9", i %% 40), "\\n"))`;
    case "java":
      return `java.nio.file.Files.writeString(java.nio.file.Path.of("starts"), "${name}\\n", java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.APPEND);
        for (int i = 0; i < ${count}; i++) System.out.println(i + " of ${name} " + "\\u00e9".repeat(i % 40));`;
  }
}

/** A shell command that does the same. */
export function numberedCommand(name: string, count: number): string {
  const program = `BEGIN { for (i = 0; i < ${count}; i++) { e = ""; for (j = i % 40; j > 0; j--) e = e "é"; print i " of ${name} " e } }`;
  return `echo '${name}' >> starts; awk '${program}'`;
}

/** Checks each line of a {@link numbered} program as it comes. */
export class Lines {
  readonly #name: string;
  #next = 0;
  #rest = "";

  constructor(name: string) {
    this.#name = name;
  }

  take(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) {
      assert.equal(line, `${this.#next} of ${this.#name} ${"é".repeat(this.#next % 40)}`);
      this.#next += 1;
    }
  }

  end(count: number): void {
    assert.deepEqual([this.#next, this.#rest], [count, ""], `lines of ${this.#name}`);
  }
}
