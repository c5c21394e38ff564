"""The house tests can fail: trees with one violation each, and one without any."""

import os
import subprocess
import sys
import tempfile

import check_arrows
import check_headers
import check_words
import house

GOOD = {
    "base/error.h": """#ifndef BASE_ERROR_H
#define BASE_ERROR_H
/* strcpy(a, b) and #include "fragments/nal.h" in a comment do no harm. */
int kn_error(void);
#endif
""",
    "base/error.c": """#include "base/error.h"
int kn_error(void) { return 0; }
""",
    "fragments/fragments.h": """#ifndef FRAGMENTS_FRAGMENTS_H
#define FRAGMENTS_FRAGMENTS_H
#include "fragments/nal.h"
#endif
""",
    "fragments/nal.h": """#ifndef FRAGMENTS_NAL_H
#define FRAGMENTS_NAL_H
int frag_nal(void);
#endif
""",
    "fragments/nal.c": """#include "fragments/nal.h"
#include "base/error.h"
int frag_nal(void) { return kn_error(); }
""",
    "main.c": """#include <stdio.h>
#include "base/error.h"
#include "fragments/fragments.h"
int main(void) { return puts("atoi(1)"); }
""",
    "tests/unit/test_nal.c": '#include "fragments/nal.h"\n',
    "build/notes": "/" + "home/me/x",
}

# name: (file, what it includes, what the failure must say)
INCLUDES = {
    "upwards": ("base/a.c", '"fragments/fragments.h"', "base must not see fragments"),
    "angle brackets": ("base/a.c", "<fragments/nal.h>", "base must not see fragments"),
    "inner header": ("ingest/a.c", '"fragments/nal.h"', "only the face fragments/fragments.h"),
    "inner header in main": ("main.c", '"fragments/nal.h"', "only the face"),
    "siblings": ("ingest/a.c", '"playback/playback.h"', "ingest must not see playback"),
    "media and the store": ("media/a.c", '"fragments/fragments.h"', "media must not see"),
    "hyphened face": ("server/a.c", '"ml-hooks/rules.h"', "only the face ml-hooks/ml_hooks.h"),
    "path not from the root": ("base/a.c", '"error.h"', "start at the repository root"),
    "unknown folder": ("extra/a.c", "<stdio.h>", "no such folder"),
}
INCLUDES = {
    name: ({path: f"#include {included}\n"}, wanted)
    for name, (path, included, wanted) in INCLUDES.items()
}

# name: (files over the good ones, what the failure must say)
CALLS = {
    name: ({"tests/a.c": f"void f(void) {{ {name} (x); }}\n"}, f"tests/a.c:1: calls {name}")
    for name in check_words.BANNED
}
PATHS = {
    name: ({"docs/a.md": f"see /{name}/x\n"}, f"docs/a.md: contains /{name}/")
    for name in ("work", "root", "home")
}
HEADERS = {
    "missing include": ({"base/a.h": "size_t kn_a(void);\n"}, "base/a.h:"),
    "missing guard": ({"base/a.h": "struct kn_a { int x; };\n"}, "base/a.h:"),
}
# name: (folder, source of its library, what the failure must say)
EXPORTS = {
    "function without prefix": ("base", "int helper(void) { return 0; }", "helper is global"),
    "data without prefix": ("fragments", "int table[2] = {1, 2};", "table is global"),
    "another folder's prefix": ("base", "int frag_x(void) { return 0; }", "frag_x is global"),
}
REFERENCES = {
    "upwards": (
        "base",
        "int frag_x(void); int kn_a(void) { return frag_x(); }",
        "frag_x of fragments",
    ),
    "siblings": (
        "ingest",
        "int play_x(void); int ing_a(void) { return play_x(); }",
        "play_x of playback",
    ),
}
GOOD_LIBRARY = """static int helper(void) { return 1; }
int kn_x(void);
int frag_x(void);
int frag_x(void) { return helper() + kn_x(); }
"""


def write_tree(root, files):
    for path, text in files.items():
        path = os.path.join(root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def on_tree(check, files):
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, {**GOOD, **files})
        return check(root)


def on_library(check, folder, source):
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, {"a.c": source})
        subprocess.run(["cc", "-c", "a.c", "-o", "a.o"], cwd=root, check=True)
        subprocess.run(["ar", "rc", "a.a", "a.o"], cwd=root, check=True)
        return check(folder, os.path.join(root, "a.a"))


def expect(problems, wanted):
    """The wanted finding is there; with None, there is none."""
    if wanted is None:
        return [f"unexpected: {problem}" for problem in problems]
    found = any(wanted in problem for problem in problems)
    return [] if found else [f"not found: {wanted}", *problems]


def tree_points(title, check, cases):
    points = [(f"{title}: good tree", expect(on_tree(check, {}), None))]
    for name, (files, wanted) in cases.items():
        points.append((f"{title}: {name}", expect(on_tree(check, files), wanted)))
    return points


def library_points(title, check, cases):
    problems = on_library(check, "fragments", GOOD_LIBRARY)
    points = [(f"{title}: good library", expect(problems, None))]
    for name, (folder, source, wanted) in cases.items():
        points.append((f"{title}: {name}", expect(on_library(check, folder, source), wanted)))
    return points


def main():
    def headers(root):
        return check_headers.check_headers("gcc", root, root)

    return house.tap(
        tree_points("includes", check_arrows.check_includes, INCLUDES)
        + library_points("exports", check_arrows.check_exports, EXPORTS)
        + library_points("references", check_arrows.check_references, REFERENCES)
        + tree_points("calls", check_words.check_calls, CALLS)
        + tree_points("machine paths", check_words.check_paths, PATHS)
        + tree_points("headers", headers, HEADERS)
    )


if __name__ == "__main__":
    sys.exit(main())
