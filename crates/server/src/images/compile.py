# Compiles the modules of an environment, on all processors. Sessions cannot write there: what is not compiled now would be
# compiled in each that imports it. What packages test themselves with is a third of all, and nobody imports it.
import compileall
import os
import re
import sys

folder = os.path.join(sys.argv[1], "lib", "")
tests = re.compile(re.escape(folder) + ".*/tests/")
# A module that is for another version of Python does not compile; it is not said, as pip does not.
compileall.compile_dir(folder, quiet=2, workers=0, rx=tests)
