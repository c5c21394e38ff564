"""Every header compiles alone, and twice, with both compilers.

    check_headers.py ROOT BUILD_FOLDER
"""

import concurrent.futures
import json
import os
import shlex
import shutil
import subprocess
import sys

import house

FLAGS = "-fsyntax-only -std=c17 -D_GNU_SOURCE -Wall -Wextra -Werror -x c -".split()


def library_flags(build):
    """Where the build finds headers of libraries that are not in the compiler's own path."""
    path = os.path.join(build, "compile_commands.json")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        commands = json.load(file)
    flags = {}
    for command in commands:
        for word in shlex.split(command["command"]):
            if word.startswith(("-I/", "-isystem/")):
                flags[word] = None
    return list(flags)


def compile_alone(compiler, root, header, flags):
    # Twice, so that a missing guard shows.
    source = f'#include "{header}"\n#include "{header}"\n'
    # In the root: the compiler looks there first for what standard input includes.
    result = subprocess.run(
        [compiler, "-I.", *flags, *FLAGS],
        cwd=root,
        input=source,
        text=True,
        stderr=subprocess.PIPE,
    )
    return [] if result.returncode == 0 else [f"{header}:", *result.stderr.splitlines()[:5]]


def check_headers(compiler, root, build):
    if shutil.which(compiler) is None:
        return f"{compiler} is not installed"
    headers = [path for path in house.c_files(root) if path.endswith(".h")]
    flags = library_flags(build)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda header: compile_alone(compiler, root, header, flags), headers)
        return [line for lines in results for line in lines]


def main(root, build):
    return house.tap(
        [
            (f"headers compile alone with {compiler}", check_headers(compiler, root, build))
            for compiler in ("gcc", "clang")
        ]
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
