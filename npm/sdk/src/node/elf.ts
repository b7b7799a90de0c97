import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** What ELF calls the machines that Node names by `process.arch`. */
const MACHINES: Readonly<Record<number, string>> = { 3: "ia32", 21: "ppc64", 22: "s390x", 40: "arm", 62: "x64", 183: "arm64", 243: "riscv64", 258: "loong64" };
const HEADER_BYTES = 64;

/**
 * What is wrong with a shared library of Linux by its header alone; `null` when nothing is. The loader's own words for
 * these are misleading ("cannot open shared object file" for another machine), and a truncated library can end the
 * process with a bus error.
 *
 * @throws Error of the file system, when the file cannot be read.
 */
export function elfFault(path: string): string | null {
  const header = Buffer.alloc(HEADER_BYTES);
  const file = openSync(path, "r");
  let size: number;
  let read: number;
  try {
    size = fstatSync(file).size;
    read = readSync(file, header, 0, HEADER_BYTES, 0);
  } finally {
    closeSync(file);
  }
  if (size === 0) {
    return "the file is damaged: it is empty";
  }
  if (read < HEADER_BYTES || header.readUInt32BE(0) !== 0x7f454c46) {
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
