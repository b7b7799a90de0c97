/**
 * Tar archives, piece by piece: written for the service, and read without believing what they say.
 *
 * @module
 */

/** Bytes of one block of an archive. */
const BLOCK = 512;

/** The most that an entry's extensions may have, and the longest path, as the service has them. */
const MAX_EXTENSION = 64 * 1024;
const MAX_PATH = 4096;

/** One entry of an archive. */
export interface TarEntry {
  /** Relative, with `/`, without `..`; empty for the folder itself. */
  readonly path: string;
  readonly kind: "file" | "folder" | "link" | "hardLink";
  /** Bytes of a file. */
  readonly size: number;
  readonly mode: number;
  /** Seconds since 1970. */
  readonly modified: number;
  /** What a link says, or the path of the entry that a hard link is another name for. */
  readonly target: string;
}

/** Bytes of an entry's header, with GNU's extensions for long names before it. */
export function header(entry: TarEntry): Uint8Array {
  const [name, target] = [Buffer.from(entry.kind === "folder" ? `${entry.path}/` : entry.path), Buffer.from(entry.target)];
  const kind = { file: "0", hardLink: "1", link: "2", folder: "5" }[entry.kind];
  const blocks: Uint8Array[] = [];
  for (const [bytes, type] of [[name, "L"], [target, "K"]] as const) {
    if (bytes.length > 100) {
      const padded = new Uint8Array(Math.ceil((bytes.length + 1) / BLOCK) * BLOCK);
      padded.set(bytes);
      blocks.push(block(Buffer.from("././@LongLink"), Buffer.alloc(0), type, bytes.length + 1, 0o644, 0), padded);
    }
  }
  return Buffer.concat([...blocks, block(name, target, kind, entry.size, entry.mode, entry.modified)]);
}

/** What fills an entry's last block. */
export const padding = (size: number): Uint8Array => new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK);

/** What ends an archive. */
export const END = new Uint8Array(2 * BLOCK);

function block(name: Buffer, target: Buffer, kind: string, size: number, mode: number, modified: number): Buffer {
  const bytes = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, length: number): void => {
    bytes.write(Math.max(0, Math.trunc(value)).toString(8).padStart(length - 1, "0"), at, length - 1, "latin1");
  };
  name.copy(bytes, 0, 0, 100);
  target.copy(bytes, 157, 0, 100);
  octal(mode & 0o777, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  if (size < 8 ** 11) {
    octal(size, 124, 12);
  } else {
    bytes[124] = 0x80; // in base 256, as GNU has it
    bytes.writeBigUInt64BE(BigInt(size), 128);
  }
  octal(Math.min(modified, 8 ** 11 - 1), 136, 12);
  bytes.write(kind, 156, "latin1");
  bytes.write("ustar  \0", 257, "latin1");
  bytes.write(`${checksum(bytes).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return bytes;
}

/** The sum of a header's bytes, with those of the sum itself as blanks. */
function checksum(bytes: Uint8Array): number {
  let sum = 8 * 32;
  for (let at = 0; at < BLOCK; at += 1) {
    sum += at >= 148 && at < 156 ? 0 : bytes[at]!;
  }
  return sum;
}

/** Reads an archive from bytes that come piece by piece. Its entries' names and links lead nowhere but below its folder. */
export class TarReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  #piece: Uint8Array = new Uint8Array(0);
  /** Bytes of the entry in hand that were not read yet, and what fills its last block. */
  #left = 0;
  #padding = 0;

  constructor(pieces: AsyncIterable<Uint8Array>) {
    this.#pieces = pieces[Symbol.asyncIterator]();
  }

  /** The next entry, behind what was not read of the one before; `null` at the end. */
  async next(): Promise<TarEntry | null> {
    while ((await this.read()) !== null);
    let [path, target, size]: [string | null, string | null, number | null] = [null, null, null];
    for (;;) {
      const bytes = await this.#exactly(BLOCK);
      if (bytes.every((byte) => byte === 0)) {
        while ((await this.#some(1 << 20)) !== null); // nothing of an archive is behind its end
        return null;
      }
      if (number(bytes, 148, 8) !== checksum(bytes)) {
        throw new Error("the service's archive is damaged: a header's sum is wrong");
      }
      const [kind, own] = [String.fromCharCode(bytes[156]!), number(bytes, 124, 12)];
      if ("LKxg".includes(kind)) {
        if (own > MAX_EXTENSION) {
          throw new Error(`the service's archive has a name of ${own} bytes`);
        }
        const extension = (await this.#exactly(own)).slice();
        await this.#exactly(padding(own).length);
        if (kind === "x") {
          const records = paxRecords(extension);
          path = records.get("path") ?? path;
          target = records.get("linkpath") ?? target;
          size = records.has("size") ? Number(records.get("size")) : size;
        } else if (kind !== "g") {
          const value = text(extension, 0, extension.length);
          [path, target] = kind === "L" ? [value, target] : [path, value];
        }
        continue;
      }
      const name = path ?? fullName(bytes);
      const entryKind = kindOf(kind, name, own);
      this.#left = entryKind === "file" ? (size ?? own) : 0;
      this.#padding = padding(this.#left).length;
      if (!Number.isSafeInteger(this.#left) || this.#left < 0) {
        throw new Error(`the service's archive gives no size of ${name}`);
      }
      return {
        path: plain(name),
        kind: entryKind,
        size: this.#left,
        mode: number(bytes, 100, 8) & 0o777,
        modified: number(bytes, 136, 12),
        target: checkedTarget(entryKind, plain(name), target ?? text(bytes, 157, 100)),
      };
    }
  }

  /** The next bytes of the entry in hand; `null` at its end. */
  async read(): Promise<Uint8Array | null> {
    if (this.#left === 0) {
      await this.#exactly(this.#padding);
      this.#padding = 0;
      return null;
    }
    const bytes = await this.#some(this.#left);
    if (bytes === null) {
      throw new Error("the service's archive ends too early");
    }
    this.#left -= bytes.length;
    return bytes;
  }

  /** At most so many bytes; `null` when there are none any more. */
  async #some(most: number): Promise<Uint8Array | null> {
    while (this.#piece.length === 0) {
      const { done, value } = await this.#pieces.next();
      if (done === true) {
        return null;
      }
      this.#piece = value;
    }
    const bytes = this.#piece.subarray(0, most);
    this.#piece = this.#piece.subarray(bytes.length);
    return bytes;
  }

  async #exactly(count: number): Promise<Uint8Array> {
    const all = new Uint8Array(count);
    for (let at = 0; at < count; ) {
      const some = await this.#some(count - at);
      if (some === null) {
        throw new Error("the service's archive ends too early");
      }
      all.set(some, at);
      at += some.length;
    }
    return all;
  }
}

function kindOf(kind: string, name: string, size: number): TarEntry["kind"] {
  switch (kind) {
    case "0": case "\0": case "7": return name.endsWith("/") && size === 0 ? "folder" : "file";
    case "1": return "hardLink";
    case "2": return "link";
    case "5": return "folder";
    default: throw new Error(`${name} in the service's archive is neither a file nor a folder nor a link`);
  }
}

/** @throws Error when the name leads out of the archive's folder. */
function plain(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  const isWindows = process.platform === "win32" && /[\\:]/.test(name);
  if (name === "" || name.startsWith("/") || parts.includes("..") || name.includes("\0") || name.length >= MAX_PATH || isWindows) {
    throw new Error(`${name} in the service's archive leads out of its folder`);
  }
  return parts.join("/");
}

/** @throws Error when the target leads out of the archive's folder. */
function checkedTarget(kind: TarEntry["kind"], path: string, target: string): string {
  if (kind === "hardLink") {
    return plain(target);
  }
  if (kind !== "link") {
    return "";
  }
  let [depth, hasName] = [path.split("/").length - 1, false];
  for (const part of target.split("/")) {
    if (part === "..") {
      depth -= 1;
      if (hasName || depth < 0) {
        depth = -1;
        break;
      }
    } else {
      hasName ||= part !== "" && part !== ".";
    }
  }
  if (target === "" || target.startsWith("/") || depth < 0 || (process.platform === "win32" && /[\\:]/.test(target))) {
    throw new Error(`the link ${path} in the service's archive leads out of its folder, to ${target}`);
  }
  return target;
}

function fullName(bytes: Uint8Array): string {
  const [name, prefix] = [text(bytes, 0, 100), text(bytes, 345, 155)];
  // GNU's own format has other things there.
  const isPosix = text(bytes, 257, 8) === "ustar" && bytes[263] === 0x30;
  return isPosix && prefix !== "" ? `${prefix}/${name}` : name;
}

function text(bytes: Uint8Array, at: number, length: number): string {
  const field = Buffer.from(bytes.buffer, bytes.byteOffset + at, length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? length : end);
}

function number(bytes: Uint8Array, at: number, length: number): number {
  if ((bytes[at]! & 0x80) !== 0) {
    return Number(Buffer.from(bytes.buffer, bytes.byteOffset + at + length - 8, 8).readBigUInt64BE());
  }
  const digits = text(bytes, at, length).trim();
  return digits === "" ? 0 : /^[0-7]+$/.test(digits) ? parseInt(digits, 8) : Number.NaN;
}

/** The records of a POSIX extension, each `length key=value\n`. */
function paxRecords(bytes: Uint8Array): Map<string, string> {
  const [all, records] = [Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), new Map<string, string>()];
  for (let at = 0; at < all.length; ) {
    const blank = all.indexOf(0x20, at);
    const length = blank < 0 ? Number.NaN : Number(all.toString("latin1", at, blank));
    const equals = all.indexOf(0x3d, blank);
    if (!Number.isSafeInteger(length) || length < 5 || at + length > all.length || equals < 0 || equals >= at + length) {
      throw new Error("the service's archive is damaged: an extension has no records");
    }
    records.set(all.toString("utf8", blank + 1, equals), all.toString("utf8", equals + 1, at + length - 1));
    at += length;
  }
  return records;
}
