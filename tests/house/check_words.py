"""Words that must not stand in the tree: banned functions, folders of somebody's machine.

    check_words.py ROOT
"""

import os
import re
import sys

import house

BANNED = "strcpy strcat sprintf vsprintf strtok atoi gmtime localtime".split()
CALL = re.compile(rf"\b({'|'.join(BANNED)})\s*\(")

# In pieces, or this file would be the first finding.
MACHINE_PATHS = [("/" + name + "/").encode() for name in ("work", "root", "home")]


def check_calls(root):
    problems = []
    for path in house.c_files(root):
        text = house.without_comments(house.read(root, path), keep_strings=False)
        for number, line in enumerate(text.split("\n"), 1):
            problems += [f"{path}:{number}: calls {name}" for name in CALL.findall(line)]
    return problems


def check_paths(root):
    problems = []
    for path in house.walk(root):
        with open(os.path.join(root, path), "rb") as file:
            data = file.read()
        problems += [f"{path}: contains {word.decode()}" for word in MACHINE_PATHS if word in data]
    return problems


def main(root):
    return house.tap(
        [
            ("no banned function is called", check_calls(root)),
            ("no file names a folder of a machine", check_paths(root)),
        ]
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
