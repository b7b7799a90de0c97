"""Everything that the published client is tried with, for modules that reach the servers in another way."""

import test_published_client
import test_published_files

CASES = (
    test_published_client.Quickstart,
    test_published_client.Runs,
    test_published_client.Sessions,
    test_published_files.Commands,
    test_published_files.Files,
    test_published_files.Contexts,
)


def of(module: str) -> dict[str, type]:
    """The cases as classes of a module: by a class's module `unittest` finds what is set up for it."""
    return {case.__name__: type(case.__name__, (case,), {"__module__": module}) for case in CASES}
