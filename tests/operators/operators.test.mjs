/**
 * The server's packages as operators use them: for pip in a fresh environment, for Debian in a minimal Debian, as a container.
 *
 * `cargo xtask test --packages` packs them and says where in `AGB_PACKAGES`, where the Debian is in which the package is
 * installed in `AGB_SYSTEM`, and where the same is before that in `AGB_BASE_SYSTEM`. Needs root, as making and entering
 * systems does.
 *
 * @module
 */

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";

const CHECKOUT = fileURLToPath(new URL("../..", import.meta.url));
const PACKAGES = process.env["AGB_PACKAGES"] ?? join(CHECKOUT, "target/packages-dev");
const SYSTEM = process.env["AGB_SYSTEM"] ?? join(CHECKOUT, "target/xtask/image/root");
const BASE_SYSTEM = process.env["AGB_BASE_SYSTEM"] ?? join(CHECKOUT, "target/xtask/image/base");
const PATIENCE_MS = 120_000;
const scratch = mkdtempSync(join(tmpdir(), "agb-operators-"));
after(() => rmSync(scratch, { recursive: true, force: true }));

/** The package whose name ends so. */
function file(ending) {
  const name = readdirSync(PACKAGES).find((name) => name.endsWith(ending));
  assert.ok(name, `${PACKAGES} has no *${ending}`);
  return join(PACKAGES, name);
}

/** Runs a program to its end and gives its output; its failure is an error with what it said. */
function run(program, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: "utf8", timeout: PATIENCE_MS, maxBuffer: 1 << 26, ...options });
  assert.equal(status, 0, `${program} ${args.join(" ")}: ${error ?? ""}\n${stdout}\n${stderr}`);
  return stdout;
}

/** Starts a server and waits until it listens; gives its URL and how to end it. */
async function serve(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  let said = "";
  const exit = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  const url = await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`it does not listen: ${said}`)), PATIENCE_MS);
    const take = (chunk) => {
      said += chunk;
      const found = /agb-server listening on (http:\S+)/.exec(said);
      if (found) {
        clearTimeout(timer);
        resolve(found[1]);
      }
    };
    child.stdout.on("data", take);
    child.stderr.on("data", take);
    exit.then((code) => reject(new Error(`it ended with ${code}: ${said}`)));
  }).catch((error) => {
    child.kill("SIGKILL");
    throw error;
  });
  return { url, exit, child, said: () => said };
}

/** Runs a program by the server's HTTP calls, and gives the answer as text. */
async function runCode(url, key, language, code) {
  const call = async (url, headers, body) => {
    const init = { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(url, init);
    const answer = await response.json();
    assert.ok(response.ok, JSON.stringify(answer));
    return answer.data;
  };
  const owner = { authorization: `Bearer ${key}` };
  const { sessionId, linkUrl, token } = await call(`${url}/mcp/createSession`, owner, { imageId: "agb-code-space-1" });
  const request = { args: { code, language, timeout_s: 60 }, server: "any", requestId: "r", tool: "run_code", token };
  const answer = await call(`${linkUrl}/callTool`, { "X-Access-Token": token }, request);
  await call(`${url}/mcp/releaseSession`, owner, { sessionId });
  return JSON.stringify(answer);
}

function freePort() {
  const script = "const s=require('net').createServer().listen(0,'127.0.0.1',()=>{console.log(s.address().port);s.close()})";
  return Number(run(process.execPath, ["-e", script]));
}

describe("the wheel", () => {
  const python = join(scratch, "venv/bin/python");
  before(() => {
    run("python3", ["-m", "venv", join(scratch, "venv")]);
    const packages = ["pytest", "agbcloud-sdk==0.12.0", file(".whl")];
    run(python, ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...packages]);
  });

  it("brings the program and a module that starts it", () => {
    assert.match(run(join(scratch, "venv/bin/agb-server"), ["--version"]), /^agb-server \d/);
    assert.equal(run(python, ["-m", "agb_server", "run", "-", "--language", "python"], { input: "print(6 * 7)" }), "42\n");
    const failed = spawnSync(python, ["-m", "agb_server", "run", "-", "--language", "python"], { input: "import sys; sys.exit(3)" });
    assert.equal(failed.status, 3);
    const hint = run(python, ["-m", "agb_server", "images"], { env: { ...process.env, AGB_IMAGES: join(scratch, "none") } });
    assert.match(hint, /python -m agb_server images prepare/);
  });

  it("serves by its module, and tells a program what it has", async () => {
    const key = "a-key-that-nobody-guesses-for-the-test";
    const env = { ...process.env, AGB_API_KEY: key };
    const plain = await serve(python, ["-m", "agb_server", "serve", "--listen", "127.0.0.1:0"], { env });
    assert.match(await runCode(plain.url, key, "python", "print(6 * 7)"), /42/);
    plain.child.kill("SIGTERM");
    assert.equal(await plain.exit, 0, plain.said());
    const child = spawn(python, ["-m", "agb_server", "serve", "--json", "--listen", "127.0.0.1:0"], { env, stdio: ["ignore", "pipe", "ignore"] });
    const exit = new Promise((resolve) => child.once("exit", resolve));
    const [line] = await once(child.stdout.setEncoding("utf8"), "data");
    const { url, languages, version } = JSON.parse(line);
    assert.ok(languages.python && version, line);
    assert.match(await runCode(url, key, "python", "print(6 * 7)"), /42/);
    child.kill("SIGTERM");
    assert.equal(await exit, 0);
  });

  it("has a fixture for pytest, as its manual shows", () => {
    const manual = readFileSync(join(CHECKOUT, "crates/server/packaging/python/README.md"), "utf8");
    const code = /```python\n([^]*?)```/.exec(manual)[1];
    writeFileSync(join(scratch, "test_manual.py"), code);
    assert.match(run(python, ["-m", "pytest", "-q", "test_manual.py"], { cwd: scratch }), /1 passed/);
  });

  it("ends the server with the block that started it, also by an error", () => {
    const code = `
import agb_server, os
try:
    with agb_server.start() as server:
        assert server.api_key not in repr(server)
        raise KeyError("mine")
except KeyError:
    pass
try:
    with agb_server.start("--no-such-option"):
        pass
except RuntimeError as error:
    print("no-such-option" in str(error))
left = [pid for pid in os.listdir("/proc") if pid.isdigit() and os.path.exists("/proc/%s/stat" % pid)
        and open("/proc/%s/stat" % pid).read().split(") ")[1].split()[1] == str(os.getpid())]
print(left)`;
    assert.equal(run(python, ["-c", code]), "True\n[]\n");
  });
});

describe("the Debian package", () => {
  it("is as Debian wants packages", () => {
    // Information and warnings go to standard output; the mail address is overridden, as there is none that is true.
    const said = run("lintian", ["--allow-root", "--fail-on", "error,warning", file(".deb")]);
    assert.equal(said, "");
  });

  it("has a unit that systemd takes, and that is hardened", () => {
    // The units of this machine's systemd, which the minimal one lacks.
    const root = join(scratch, "units");
    for (const folder of ["lib/systemd", "usr/bin", "bin", "etc"]) {
      mkdirSync(join(root, folder), { recursive: true });
    }
    cpSync("/lib/systemd/system", join(root, "lib/systemd/system"), { recursive: true, verbatimSymlinks: true });
    for (const path of ["lib/systemd/system/agb-server.service", "usr/bin/agb-server", "etc/passwd", "etc/group"]) {
      cpSync(join(SYSTEM, path), join(root, path));
    }
    cpSync("/bin/sh", join(root, "bin/sh"), { dereference: true });
    run("systemd-analyze", ["--man=no", `--root=${root}`, "verify", "agb-server.service"]);
    const security = run("systemd-analyze", ["security", "--no-pager", "--offline=true", `--root=${root}`, "agb-server.service"]);
    const [, exposure] = /Overall exposure level for agb-server.service: ([\d.]+)/.exec(security);
    assert.ok(Number(exposure) < 4, security); // 9.6 without any of it; what sandboxes need costs the rest
  });

  it("makes a user and a key of its own", () => {
    const of = (path) => statSync(join(SYSTEM, path));
    const passwd = readFileSync(join(SYSTEM, "etc/passwd"), "utf8");
    const [, uid, gid] = /^agb-server:[^:]*:(\d+):(\d+):.*:\/var\/lib\/agb-server:.*nologin$/m.exec(passwd);
    assert.notEqual(uid, "0");
    run("chroot", [SYSTEM, "sh", "-c", "rm -f /etc/agb-server/keys; sh /var/lib/dpkg/info/agb-server.postinst configure"]);
    assert.equal(of("etc/agb-server/keys").mode & 0o777, 0o640);
    assert.deepEqual([of("etc/agb-server/keys").uid, of("etc/agb-server/keys").gid], [0, Number(gid)]);
    const key = /^local (\S{32})$/m.exec(readFileSync(join(SYSTEM, "etc/agb-server/keys"), "utf8"))[1];
    run("chroot", [SYSTEM, "sh", "/var/lib/dpkg/info/agb-server.postinst", "configure", "0.0.1"]);
    assert.ok(readFileSync(join(SYSTEM, "etc/agb-server/keys"), "utf8").includes(key), "an upgrade keeps the keys");
    assert.match(readFileSync(join(SYSTEM, "var/lib/dpkg/info/agb-server.conffiles"), "utf8"), /^\/etc\/default\/agb-server$/m);
  });

  it("serves as its unit starts it, in namespaces", async () => {
    const unit = readFileSync(join(SYSTEM, "lib/systemd/system/agb-server.service"), "utf8");
    const start = /^ExecStart=(.*)$/m.exec(unit)[1];
    // The shell reads the settings as systemd does, and starts what the unit starts, on a free port.
    const port = freePort();
    const script = `set -a; . /etc/default/agb-server; AGB_OPTIONS="--listen 127.0.0.1:${port}"; cd /; exec ${start}`;
    const inside = [join(CHECKOUT, "tests/operators/enter.sh"), SYSTEM, "sh", "-c", script];
    const server = await serve("unshare", ["--mount", "--pid", "--fork", "--kill-child", "sh", ...inside]);
    try {
      const key = /^local (\S+)$/m.exec(readFileSync(join(SYSTEM, "etc/agb-server/keys"), "utf8"))[1];
      assert.match(await runCode(server.url, key, "python", "print(6 * 7)"), /42/);
      assert.match(await runCode(server.url, key, "javascript", "console.log(6 * 7)"), /42/);
      assert.match(server.said(), /isolation=namespaces/);
    } finally {
      // The first process of the process namespace is the server.
      const [pid] = run("pgrep", ["-P", String(server.child.pid)]).trim().split("\n");
      process.kill(Number(pid), "SIGTERM");
    }
    assert.equal(await server.exit, 0, server.said());
  });
});

describe("the container image", () => {
  const bundle = join(scratch, "bundle");
  let image;
  before(() => {
    const layout = join(scratch, "layout");
    mkdirSync(layout);
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    run("tar", ["-xf", file(".oci.tar"), "-C", layout]);
    const blob = (digest) => join(layout, "blobs", digest.replace(":", "/"));
    const json = (path) => JSON.parse(readFileSync(path, "utf8"));
    const [{ digest }] = json(join(layout, "index.json")).manifests;
    const manifest = json(blob(digest));
    image = json(blob(manifest.config.digest));
    for (const layer of manifest.layers) {
      run("tar", ["-xf", blob(layer.digest), "-C", join(bundle, "rootfs"), "--numeric-owner"]);
    }
    rmSync(layout, { recursive: true });
  });

  /** Writes what `runc` is to start: the image's program with these arguments, as the image's user. */
  function configure(args, env = {}) {
    rmSync(join(bundle, "config.json"), { force: true });
    run("runc", ["spec"], { cwd: bundle });
    const path = join(bundle, "config.json");
    const config = JSON.parse(readFileSync(path, "utf8"));
    const passwd = readFileSync(join(bundle, "rootfs/etc/passwd"), "utf8");
    const [, uid, gid] = new RegExp(`^${image.config.User}:[^:]*:(\\d+):(\\d+):`, "m").exec(passwd);
    config.process.terminal = false;
    config.process.args = [...image.config.Entrypoint, ...args];
    config.process.env = [...image.config.Env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
    config.process.cwd = image.config.WorkingDir;
    config.process.user = { uid: Number(uid), gid: Number(gid) };
    config.root.readonly = false;
    // The network of this machine, so that the test can call it.
    config.linux.namespaces = config.linux.namespaces.filter(({ type }) => type !== "network");
    writeFileSync(path, JSON.stringify(config));
  }

  const start = (name) => ["--root", join(scratch, "runc"), "run", "--bundle", bundle, `agb-operators-${process.pid}-${name}`];

  it("says what it runs, and has no key in it", () => {
    assert.deepEqual(image.config.Entrypoint, ["/usr/bin/agb-server"]);
    assert.deepEqual(image.config.Cmd, ["serve", "--listen", "0.0.0.0:8080", "--insecure-listen"]);
    assert.equal(image.config.User, "agb-server");
    assert.ok("8080/tcp" in image.config.ExposedPorts);
    assert.deepEqual(readdirSync(join(bundle, "rootfs/etc/agb-server")), []);
  });

  it("runs a program, and reports its isolation", () => {
    configure(["run", "-", "--language", "python"]);
    assert.equal(run("runc", start("run"), { input: "print(6 * 7)" }), "42\n");
    configure(["doctor", "--json"]);
    const { isolation, interpreters } = JSON.parse(run("runc", start("doctor")));
    assert.ok(["namespaces", "landlock"].includes(isolation.level), JSON.stringify(isolation));
    assert.deepEqual(interpreters.filter(({ works }) => works).map(({ language }) => language), ["python", "javascript"]);
  });

  it("serves on all addresses with the key that it is given", async () => {
    const [command, ...rest] = image.config.Cmd;
    const port = freePort();
    const key = "a-key-that-nobody-guesses-for-the-test";
    configure([command, ...rest.map((argument) => argument.replace("8080", String(port)))], { AGB_API_KEY: key });
    const server = await serve("runc", start("serve"));
    try {
      assert.match(await runCode(`http://127.0.0.1:${port}`, key, "python", "print(6 * 7)"), /42/);
    } finally {
      execFileSync("runc", ["--root", join(scratch, "runc"), "kill", `agb-operators-${process.pid}-serve`, "TERM"]);
    }
    assert.equal(await server.exit, 0, server.said());
  });

  it("comes out of the Dockerfile the same", () => {
    const storage = join(scratch, "storage");
    const places = ["--root", join(storage, "root"), "--runroot", join(storage, "run"), "--storage-driver", "vfs"];
    const buildah = (...args) => run("buildah", [...places, ...args], { timeout: 600_000 });
    try {
      // In place of the registry's Debian, the one that the image was made of.
      buildah("from", "--name", "base", "scratch");
      buildah("add", "--quiet", "base", BASE_SYSTEM, "/");
      buildah("commit", "--quiet", "--rm", "base", "localhost/base");
      const file = join(CHECKOUT, "examples/deploy/Dockerfile");
      buildah("build", "--isolation", "chroot", "--pull-never", "--from", "localhost/base", "--file", file, "--tag", "built", PACKAGES);
      const { OCIv1 } = JSON.parse(buildah("inspect", "--type", "image", "built"));
      const { "org.opencontainers.image.version": version, ...labels } = image.config.Labels;
      assert.ok(version);
      for (const name of ["User", "ExposedPorts", "Entrypoint", "Cmd", "Volumes", "WorkingDir"]) {
        assert.deepEqual(OCIv1.config[name], image.config[name], name);
      }
      const settings = (env) => env.filter((entry) => !entry.startsWith("PATH=")).sort();
      assert.deepEqual(settings(OCIv1.config.Env), settings(image.config.Env));
      assert.deepEqual(Object.entries(labels).filter(([name, value]) => OCIv1.config.Labels[name] !== value), []);

      buildah("from", "--pull-never", "--name", "look", "built");
      const root = buildah("mount", "look").trim();
      const packages = (root) => readFileSync(join(root, "var/lib/dpkg/status"), "utf8").match(/^(Package|Version): .*$/gm);
      assert.deepEqual(packages(root), packages(join(bundle, "rootfs")));
      assert.deepEqual(readdirSync(join(root, "etc/agb-server")), []);
      assert.deepEqual(readdirSync(join(root, "tmp")), []);
    } finally {
      rmSync(storage, { recursive: true, force: true });
    }
  });
});
