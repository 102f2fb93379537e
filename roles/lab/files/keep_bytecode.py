"""Keep the bytecode of what Python imports from zip files, in a folder of root's, by the source.

Ansible sends a module and the library it is made with as source, in a zip file for each task, and
Python keeps no bytecode of those: compiling them again was two thirds of what a task cost a host of
the lab. A traceback names the zip file that the source first came in.
"""

import marshal
import os
import sys
import zipimport
from _imp import source_hash

FOLDER = f"/var/cache/fuego-lab/{sys.implementation.cache_tag}"
KEY = 0
compile_source = zipimport._compile_source


def kept(path, source):
    """The code of a source, compiled only where it never was."""
    file = f"{FOLDER}-{source_hash(KEY, source).hex()}"
    try:
        with open(file, "rb") as found:
            return marshal.load(found)
    except (OSError, EOFError, ValueError, TypeError):
        code = compile_source(path, source)
    try:
        with open(f"{file}.{os.getpid()}", "wb") as part:
            marshal.dump(code, part)
        os.replace(part.name, file)
    except OSError:
        pass  # somebody else's Python, or a disk that a test has filled
    return code


zipimport._compile_source = kept
