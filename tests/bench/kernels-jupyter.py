"""Measures one of Jupyter's kernels as `crates/kernel/examples/measure.rs` does ours: prints figures as JSON.

`kernels-jupyter.py KERNEL ROUNDS`, KERNEL being `python3` (ipykernel) or `ir` (IRkernel).
"""

import json
import os
import statistics
import sys
import time

from jupyter_client.manager import start_new_kernel

PRINTS, EMPTY_CELLS, LINES = 50, 200, 100_000
PROGRAMS = {
    "python3": (
        "print('x')",
        f"import time\nfor _ in range({PRINTS}):\n    now = time.time()\n    print(repr(now))\n"
        "    while time.time() < now + 0.02: pass",
        f"for _ in range({LINES}): print('x' * 99)",
    ),
    "ir": (
        "cat('x')",
        f"for (i in 1:{PRINTS}) {{\n  now <- as.numeric(Sys.time())\n  cat(sprintf('%.6f\\n', now))\n"
        "  while (as.numeric(Sys.time()) < now + 0.02) NULL\n}",
        f"line <- strrep('x', 99)\nfor (i in 1:{LINES}) cat(line, '\\n', sep = '')",
    ),
}


def messages(client, request):
    """What comes of a request, until the kernel is idle again."""
    while True:
        message = client.get_iopub_msg(timeout=300)
        if message["parent_header"].get("msg_id") != request:
            continue
        content = message["content"]
        if message["msg_type"] == "error":
            raise SystemExit("\n".join(content["traceback"]))
        yield message["msg_type"], content
        if message["msg_type"] == "status" and content["execution_state"] == "idle":
            return


def texts(client, code):
    for kind, content in messages(client, client.execute(code)):
        if kind == "stream":
            yield content["text"]


def memory(pid):
    """Proportional memory of a process and what it started, in MiB."""
    parents, found = {}, {pid}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as stat:
                parents[int(entry)] = int(stat.read().rsplit(") ", 1)[1].split()[1])
        except OSError:
            pass
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    kib = 0
    for one in found:
        with open(f"/proc/{one}/smaps_rollup") as rollup:
            kib += sum(int(line.split()[1]) for line in rollup if line.startswith("Pss:"))
    return kib / 1024


def measure(kernel, rounds):
    greeting, ticking, flood = PROGRAMS[kernel]
    figures = {}

    def add(name, value):
        figures.setdefault(name, []).append(value)

    for _ in range(rounds):
        begin = time.perf_counter()
        manager, client = start_new_kernel(kernel_name=kernel)
        add("readyMs", (time.perf_counter() - begin) * 1e3)
        for _ in texts(client, greeting):
            add("firstByteMs", (time.perf_counter() - begin) * 1e3)
        add("idleMiB", memory(manager.provisioner.pid))
        for text in texts(client, ticking):
            now = time.time()
            for line in text.split():
                add("latencyMs", (now - float(line)) * 1e3)
        for _ in range(EMPTY_CELLS):
            begin = time.perf_counter()
            for _ in messages(client, client.execute("")):
                pass
            add("emptyCellMs", (time.perf_counter() - begin) * 1e3)
        begin = time.perf_counter()
        size = sum(map(len, texts(client, flood)))
        add("printMBs", size / 1e6 / (time.perf_counter() - begin))
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    return {name: statistics.median_high(values) for name, values in figures.items()}


print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
