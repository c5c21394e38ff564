"""What the house tests share: the tree, C text without comments, TAP."""

import os
import re
import sys

# A build folder is told by `meson-private`; these by their names.
SKIPPED_FOLDERS = {".git", "node_modules", "__pycache__", "kinora-data"}

# Also keeps '/*' inside a string from starting a comment, and '"' inside a comment from a string.
COMMENT_OR_STRING = re.compile(
    r"""/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)


def walk(root):
    """Every file of the tree as a path from its root, in order; build folders left out."""
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name not in SKIPPED_FOLDERS
            and not os.path.isdir(os.path.join(folder, name, "meson-private"))
            and os.path.join(folder, name) != os.path.join(root, "build")
        )
        found += [os.path.relpath(os.path.join(folder, name), root) for name in sorted(names)]
    return found


def c_files(root):
    return [path for path in walk(root) if path.endswith((".c", ".h"))]


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def without_comments(text, keep_strings):
    """The same lines, with comments (and the insides of strings) gone."""

    def replace(match):
        token = match.group()
        if token[0] == "/":
            return " " + "\n" * token.count("\n")
        return token if keep_strings else token[0] + token[0]

    return COMMENT_OR_STRING.sub(replace, text)


def tap(points):
    """Prints [(name, [what is wrong, ...]) or (name, "skipped because ...")]; the exit status."""
    print(f"1..{len(points)}")
    failed = False
    for number, (name, result) in enumerate(points, 1):
        if isinstance(result, str):
            print(f"ok {number} - {name} # SKIP {result}")
            continue
        print(f"{'not ok' if result else 'ok'} {number} - {name}")
        for line in result:
            # meson shows a failing test's standard error, not its TAP.
            print(f"# {line}", file=sys.stderr)
        failed = failed or bool(result)
    return 1 if failed else 0
