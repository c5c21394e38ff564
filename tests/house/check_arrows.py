"""The arrows of ARCHITECTURE.md, in includes and in the symbols of the libraries.

    check_arrows.py ROOT [FOLDER LIBRARY]...
"""

import re
import subprocess
import sys

import house

# The same table as in meson.build.
SEES = {
    "base": [],
    "fragments": ["base"],
    "media": ["base"],
    "ingest": ["fragments", "media", "base"],
    "playback": ["fragments", "media", "base"],
    "ml-hooks": ["fragments", "media", "base"],
    "server": ["ingest", "playback", "ml-hooks", "fragments", "media", "base"],
    "commands": ["server", "ingest", "playback", "ml-hooks", "fragments", "media", "base"],
}
MAIN = "main.c"
UNBOUND = {"tests"}

PREFIX = {
    "base": "kn_",
    "fragments": "frag_",
    "media": "med_",
    "ingest": "ing_",
    "playback": "play_",
    "ml-hooks": "mlh_",
    "server": "srv_",
    "commands": "cmd_",
}

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]', re.MULTILINE)


def face(folder):
    return f"{folder}/{folder.replace('-', '_')}.h"


def include_problem(owner, quote, included):
    """What is wrong with an include in `owner` (a folder or main.c), or None."""
    folder = included.split("/")[0]
    if folder not in SEES:
        return None if quote == "<" else "paths start at the repository root"
    if folder == owner:
        return None
    if owner != MAIN and folder not in SEES[owner]:
        return f"{owner} must not see {folder}"
    if folder != "base" and included != face(folder):
        return f"only the face {face(folder)} may be included"
    return None


def check_includes(root):
    problems = []
    for path in house.c_files(root):
        owner = path.split("/")[0]
        if owner in UNBOUND:
            continue
        if owner not in SEES and path != MAIN:
            problems.append(f"{path}: no such folder among the arrows")
            continue
        text = house.without_comments(house.read(root, path), keep_strings=True)
        for quote, included in INCLUDE.findall(text):
            problem = include_problem(owner, quote, included)
            if problem:
                problems.append(f"{path}: includes {included}: {problem}")
    return problems


def symbols(library, *options):
    """The names nm prints, without the per-object headings."""
    output = subprocess.run(
        ["nm", "--format=posix", *options, library], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    return sorted({line.split()[0] for line in output.splitlines() if len(line.split()) > 1})


def check_exports(folder, library):
    return [
        f"{library}: {name} is global without the prefix {PREFIX[folder]}"
        for name in symbols(library, "--defined-only", "--extern-only")
        if not name.startswith(PREFIX[folder])
    ]


def check_references(folder, library):
    forbidden = {
        prefix: other
        for other, prefix in PREFIX.items()
        if other != folder and other not in SEES[folder]
    }
    return [
        f"{library}: refers to {name} of {other}"
        for name in symbols(library, "--undefined-only")
        for prefix, other in forbidden.items()
        if name.startswith(prefix)
    ]


def main(root, *libraries):
    points = [("includes follow the arrows", check_includes(root))]
    for folder, library in zip(libraries[::2], libraries[1::2]):
        points.append((f"{folder} exports only its prefix", check_exports(folder, library)))
        points.append((f"{folder} refers only to what it sees", check_references(folder, library)))
    return house.tap(points)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
