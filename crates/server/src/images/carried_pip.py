# Runs the pip that Python carries for the environments it makes. `ensurepip` installs the same pip with the bytecode of all of
# it, which takes longer than all that this one is needed for.
#
# The first argument is a folder to unpack it into: from there its bytecode is kept for the next start. The wheels that
# `ensurepip` would install are left beside it.
import runpy
import sys
from pathlib import Path

folder = Path(sys.argv.pop(1))
if not folder.is_dir():
    import ensurepip
    import shutil
    import sysconfig
    import zipfile

    # Linux distributions have a folder for them; Python has its own.
    carried = [sysconfig.get_config_var("WHEEL_PKG_DIR"), Path(ensurepip.__file__).with_name("_bundled")]
    names = ["pip"] if sys.version_info >= (3, 12) else ["pip", "setuptools"]
    fresh = folder.with_name(folder.name + ".new")
    for name in names:
        found = [wheel for place in carried if place for wheel in sorted(Path(place).glob(f"{name}-*.whl"))]
        wheels = fresh / "wheels"
        wheels.mkdir(parents=True, exist_ok=True)
        shutil.copy(found[0], wheels)
        if name == "pip":
            zipfile.ZipFile(found[0]).extractall(fresh)
    fresh.rename(folder)
sys.path.insert(0, str(folder))
runpy.run_module("pip", run_name="__main__", alter_sys=True)
