import { randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { chmod, link, lstat, mkdir, open, opendir, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { END, header, padding, type TarEntry, TarReader } from "./tar.js";

/** Bytes of a file that are read at once. */
const PIECE = 1 << 20;

/** The deepest folder that is packed: as the service has it. */
const MAX_DEPTH = 100;

/**
 * Makes a folder and those above it. Node's own way (`recursive`) goes on for ever where a folder is there and none can be
 * made in it for the reason that it "does not exist", as in `/proc`.
 */
export async function makeFolders(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; !(await isFolder(at)); at = dirname(at)) {
    missing.push(at);
    if (at === dirname(at)) {
      break;
    }
  }
  for (const at of missing.reverse()) {
    await mkdir(at).catch(async (error: unknown) => {
      if (!(await isFolder(at))) {
        throw error; // nobody else has made it meanwhile
      }
    });
  }
}

/** Whether a path of this machine leads to a folder. */
export async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => null);
  return found?.isDirectory() ?? false;
}

/** Packs a folder of this machine; sockets, pipes and devices are left out, and `leftOut` is called for each. */
export async function* pack(folder: string, leftOut: (path: string) => void): AsyncGenerator<Uint8Array> {
  const waiting = [""];
  for (let below; (below = waiting.pop()) !== undefined; ) {
    for await (const { name } of await opendir(join(folder, below))) {
      const path = below === "" ? name : `${below}/${name}`;
      const at = join(folder, path);
      const found = await lstat(at).catch(() => null); // deleted meanwhile
      const entry = { path, size: 0, mode: found?.mode ?? 0, modified: (found?.mtimeMs ?? 0) / 1000, target: "" };
      if (found?.isDirectory()) {
        if (path.split("/").length >= MAX_DEPTH) {
          throw new Error(`${at} nests more than ${MAX_DEPTH} folders: upload a folder further down`);
        }
        yield header({ ...entry, kind: "folder" });
        waiting.push(path);
      } else if (found?.isSymbolicLink()) {
        yield header({ ...entry, kind: "link", target: await readlink(at) });
      } else if (found?.isFile()) {
        yield* packFile(at, { ...entry, kind: "file", size: found.size });
      } else if (found !== null) {
        leftOut(at);
      }
    }
  }
  yield END;
}

async function* packFile(at: string, entry: TarEntry): AsyncGenerator<Uint8Array> {
  yield header(entry);
  let read = 0;
  if (entry.size > 0) {
    for await (const piece of createReadStream(at, { end: entry.size - 1, highWaterMark: PIECE })) {
      read += (piece as Buffer).length;
      yield piece as Buffer;
    }
  }
  if (read !== entry.size) {
    throw new Error(`${at} became shorter while it was read: try again when nothing writes to it`);
  }
  yield padding(entry.size);
}

/**
 * Unpacks an archive into a folder of this machine: all its files are written beside it first, and then take their places.
 * What the folder has beside them stays.
 */
export async function unpack(folder: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await makeFolders(dirname(folder));
  const staging = `${folder}.${randomBytes(6).toString("hex")}.part`;
  await mkdir(staging);
  try {
    const modes = new Map<string, number>();
    const paths = await extract(staging, new TarReader(bytes), modes);
    const isNew = await lstat(folder).then(() => false, () => true);
    await (isNew ? rename(staging, folder) : place(staging, folder, paths));
    for (const [path, mode] of modes) {
      await chmod(join(folder, path), mode);
    }
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Writes an archive's files. Gives what there is, folders before what is in them, and their permissions in `modes`. */
async function extract(staging: string, archive: TarReader, modes: Map<string, number>): Promise<Map<string, "file" | "folder">> {
  const paths = new Map<string, "file" | "folder">();
  const makeFolder = async (path: string): Promise<void> => {
    const parts = path.split("/");
    for (let count = 1; count <= parts.length; count += 1) {
      const part = parts.slice(0, count).join("/");
      if (part !== "" && paths.get(part) !== "folder") {
        await mkdir(join(staging, part)); // fails where a file is, or a link that leads elsewhere
        paths.set(part, "folder");
      }
    }
  };
  for (let entry; (entry = await archive.next()) !== null; ) {
    const { path, kind, target } = entry;
    await makeFolder(kind === "folder" ? path : parentOf(path));
    if (kind === "folder") {
      if (path !== "") {
        modes.set(path, entry.mode | 0o700); // whoever packed it could use it
      }
      continue;
    }
    if (path === "" || paths.get(path) === "folder") {
      throw new Error(`${path} in the service's archive is a folder and a file`);
    }
    const at = join(staging, path);
    await rm(at, { force: true }); // named twice: the last one counts
    if (kind === "link") {
      await symlink(target, at);
    } else if (kind === "hardLink") {
      await link(join(staging, target), at);
    } else {
      await writeFile(at, entry, archive);
    }
    paths.set(path, "file");
  }
  return paths;
}

async function writeFile(at: string, { mode, modified }: TarEntry, archive: TarReader): Promise<void> {
  const file = await open(at, "wx", mode | 0o600);
  try {
    for (let piece; (piece = await archive.read()) !== null; ) {
      for (let written = 0; written < piece.length; ) {
        written += (await file.write(piece, written)).bytesWritten;
      }
    }
    await file.chmod(mode | 0o600);
    await file.utimes(modified, modified);
  } finally {
    await file.close();
  }
}

/** Moves everything into a folder that is there, after a look whether anything is in the way. */
async function place(staging: string, folder: string, paths: ReadonlyMap<string, "file" | "folder">): Promise<void> {
  for (const [path, kind] of paths) {
    const found = await lstat(join(folder, path)).catch(() => null);
    if (found !== null && found.isDirectory() !== (kind === "folder")) {
      throw new Error(`${join(folder, path)} is in the way: it is ${kind === "folder" ? "not a folder" : "a folder"}`);
    }
  }
  for (const [path, kind] of paths) {
    const to = join(folder, path);
    await (kind === "folder" ? mkdir(to, { recursive: true }) : rename(join(staging, path), to));
  }
}

const parentOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));
