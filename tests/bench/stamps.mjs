/** Lines that say when they were printed, as nanoseconds of the clock that `process.hrtime` reads. */

export class Stamps {
  /** Microseconds from `print` to the callback. @type {number[]} */
  #late = [];
  #chunks = 0;

  /** @type {(chunk: string) => void} */
  take = (chunk) => {
    const now = process.hrtime.bigint();
    this.#chunks += 1;
    for (const line of chunk.trimEnd().split("\n")) {
      this.#late.push(Number(now - BigInt(line)) / 1000);
    }
  };

  figures() {
    const late = this.#late.sort((one, other) => one - other);
    const at = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))] ?? null;
    return { lines: late.length, chunks: this.#chunks, p50Us: at(0.5), p90Us: at(0.9), p99Us: at(0.99) };
  }
}
