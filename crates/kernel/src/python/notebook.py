# From what notebooks understand to Python: `!command`, `%magic`, `%%magic`, `x = !command`, `name?`.
#
# Asked only about programs that are not Python. Lines stay where they are, so that errors point at the right ones.

import re

ASSIGNMENT = re.compile(r"^(\s*)([^=!%#'\"]+?)\s*=\s*([!%])(?![=])(.*)$", re.S)
HELP_AFTER = re.compile(r"^(\s*)([%A-Za-z_][\w.\[\]]*)(\?{1,2})\s*$")
HELP_BEFORE = re.compile(r"^(\s*)(\?{1,2})\s*([%A-Za-z_][\w.\[\]]*)\s*;?\s*$")
# What is typed without its `%` so often that it is meant.
BARE = re.compile(r"^(\s*)((?:pip3?|conda|mamba)\s+(?:install|uninstall|list|show|freeze|download)\b.*)$", re.S)


def translate(code):
    """The program as Python; `None` if there is nothing in it to translate."""
    lines = code.split("\n")
    first = next((at for at, line in enumerate(lines) if line.strip()), None)
    if first is not None and lines[first].startswith("%%"):
        return cell_magic(lines, first)
    out, changed, at = [], False, 0
    state = State()
    while at < len(lines):
        translated = None
        if state.is_clean():
            end = at + 1
            text = lines[at]
            if might_be_magic(text):
                while text.endswith("\\") and end < len(lines):
                    text = text[:-1] + lines[end]
                    end += 1
                translated = statement(text)
        if translated is None:
            state.scan(lines[at])
            out.append(lines[at])
            at += 1
        else:
            changed = True
            out.append(translated)
            out += [""] * (end - at - 1)
            at = end
    return "\n".join(out) if changed else None


def might_be_magic(line):
    start = line.lstrip()
    return start[:1] in ("!", "%", "?") or "!" in line or "%" in line or line.rstrip().endswith("?") or bool(BARE.match(line))


def statement(text):
    """One line of a notebook as Python; `None` if it is Python already."""
    indent = text[: len(text) - len(text.lstrip())]
    start = text.lstrip()
    found = HELP_AFTER.match(text)
    if found:
        return "%sget_ipython().help(%r, %r)" % (indent, found[2], len(found[3]))
    found = HELP_BEFORE.match(text)
    if found:
        return "%sget_ipython().help(%r, %r)" % (indent, found[3], len(found[2]))
    if start.startswith("!!"):
        return "%sget_ipython().getoutput(%r)" % (indent, start[2:].strip())
    if start.startswith("!"):
        return "%sget_ipython().system(%r)" % (indent, start[1:].strip())
    if start.startswith("%") and not start.startswith("%%"):
        return indent + line_magic(start[1:])
    found = ASSIGNMENT.match(text)
    if found:
        call = "get_ipython().getoutput(%r)" % found[4].strip() if found[3] == "!" else line_magic(found[4])
        return "%s%s = %s" % (indent, found[2], call)
    found = BARE.match(text)
    if found:
        return indent + line_magic(found[2])
    return None


def line_magic(text):
    name, _, rest = text.strip().partition(" ")
    return "get_ipython().run_line_magic(%r, %r)" % (name, rest.strip())


def cell_magic(lines, first):
    name, _, rest = lines[first][2:].strip().partition(" ")
    call = "get_ipython().run_cell_magic(%r, %r, %r, %r)"
    return "\n" * first + call % (name, rest.strip(), "\n".join(lines[first + 1:]), first + 1)


class State:
    """Where a line of Python leaves off: in brackets, in a string, in the middle of a statement."""

    def __init__(self):
        self.depth = 0
        self.quote = None
        self.continued = False

    def is_clean(self):
        return self.depth == 0 and self.quote is None and not self.continued

    def scan(self, line):
        at = 0
        self.continued = False
        while at < len(line):
            if self.quote is not None:
                if line[at] == "\\":
                    at += 2
                elif line.startswith(self.quote, at):
                    at += len(self.quote)
                    self.quote = None
                else:
                    at += 1
                continue
            char = line[at]
            if char == "#":
                return
            if char in "'\"":
                self.quote = line[at:at + 3] if line[at:at + 3] in ("'''", '"""') else char
                at += len(self.quote)
                continue
            if char in "([{":
                self.depth += 1
            elif char in ")]}":
                self.depth = max(self.depth - 1, 0)
            elif char == "\\" and at == len(line) - 1:
                self.continued = True
            at += 1
        if self.quote is not None and len(self.quote) == 1 and not line.endswith("\\"):
            self.quote = None  # such a string ends with its line, even one that lacks its end
