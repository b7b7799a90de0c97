import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { Libc } from "./libc.js";

/** What ELF calls the machines that Node names by `process.arch`. */
const MACHINES: Readonly<Record<number, string>> = { 3: "ia32", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x64", 183: "arm64", 243: "riscv64", 258: "loong64" };
const HEADER_BYTES = 64;
const CLASS_64 = 2;
/** Kinds of segments, and of entries of the dynamic section. */
const [LOAD, DYNAMIC] = [1, 2];
const [NEEDED, STRING_TABLE, STRING_TABLE_SIZE] = [1n, 5n, 10n];
/** Most of a part that is read: those of our libraries are a hundredth of it. */
const MAX_PART_BYTES = 1 << 20;

/**
 * What is wrong with a shared library of Linux by what its file says of itself; `null` when nothing is. The loader's own words
 * for these are misleading ("cannot open shared object file" for another machine, "invalid ELF header" for another C library),
 * and a truncated library can end the process with a bus error.
 *
 * @throws Error of the file system, when the file cannot be read.
 */
export function elfFault(path: string, ours: Libc): string | null {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const part = (at: number, length: number): Buffer => {
      const bytes = Buffer.alloc(Math.min(length, MAX_PART_BYTES));
      return bytes.subarray(0, readSync(file, bytes, 0, bytes.length, at));
    };
    return headerFault(part(0, HEADER_BYTES), size) ?? libcFault(neededBy(part), ours);
  } finally {
    closeSync(file);
  }
}

function headerFault(header: Buffer, size: number): string | null {
  if (size === 0) {
    return "the file is damaged: it is empty";
  }
  if (header.length < HEADER_BYTES || header.readUInt32BE(0) !== 0x7f454c46) {
    return `the file is damaged: its ${size} bytes are not a library of Linux`;
  }
  const machine = MACHINES[header.readUInt16LE(18)] ?? `machine ${header.readUInt16LE(18)}`;
  if (machine !== process.arch) {
    return `it is for ${machine}, and this Node is for ${process.arch}`;
  }
  // The table of sections is the last part of a library that a linker has written.
  const whole = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60);
  return size < whole ? `the file is damaged: it has ${size} of ${whole} bytes` : null;
}

const LIBC_NAMES: Readonly<Record<Libc, string>> = { glibc: "glibc", musl: "musl (Alpine)" };

function libcFault(libraries: readonly string[], ours: Libc): string | null {
  const theirs = libraries.some((name) => name === "libc.so" || name.startsWith("libc.musl-"))
    ? "musl"
    : libraries.includes("libc.so.6")
      ? "glibc"
      : ours;
  return theirs === ours ? null : `it is for ${LIBC_NAMES[theirs]}, and this Node is for ${LIBC_NAMES[ours]}`;
}

/** The libraries that one of 64 bits names as needed; none where it does not say. */
function neededBy(part: (at: number, length: number) => Buffer): readonly string[] {
  const header = part(0, HEADER_BYTES);
  if (header.readUInt8(4) !== CLASS_64) {
    return [];
  }
  const [at, size, count] = [Number(header.readBigUInt64LE(32)), header.readUInt16LE(54), header.readUInt16LE(56)];
  const table = part(at, size * count);
  const segments = Array.from({ length: Math.floor(table.length / Math.max(size, 56)) }, (_, index) => {
    const entry = table.subarray(index * size);
    const [offset, address, bytes] = [8, 16, 32].map((field) => Number(entry.readBigUInt64LE(field))) as [number, number, number];
    return { kind: entry.readUInt32LE(0), offset, address, bytes };
  });
  const dynamic = segments.find(({ kind }) => kind === DYNAMIC);
  if (dynamic === undefined) {
    return [];
  }
  const section = part(dynamic.offset, dynamic.bytes);
  const entries = Array.from({ length: Math.floor(section.length / 16) }, (_, index) => ({
    tag: section.readBigUInt64LE(index * 16),
    value: Number(section.readBigUInt64LE(index * 16 + 8)),
  }));
  const valueOf = (wanted: bigint): number => entries.find(({ tag }) => tag === wanted)?.value ?? 0;
  const address = valueOf(STRING_TABLE);
  const segment = segments.find((one) => one.kind === LOAD && one.address <= address && address < one.address + one.bytes);
  if (segment === undefined) {
    return [];
  }
  const strings = part(segment.offset + address - segment.address, valueOf(STRING_TABLE_SIZE)).toString("latin1");
  return entries.filter(({ tag }) => tag === NEEDED).map(({ value }) => strings.slice(value, strings.indexOf("\0", value)));
}
