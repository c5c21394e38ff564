"""Counts test points for ./check: "PASSED FAILED SKIPPED", then a line per failure and skip.

count.py meson BUILD_FOLDER          what `meson test` ran last there
count.py tap NAME LOG EXIT_STATUS    what one flow test printed
"""

import json
import os
import re
import sys
import xml.etree.ElementTree

BAD_RESULTS = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}
TAP_POINT = re.compile(
    r"(not )?ok\b\s*\d*\s*-?\s*([^#]*)(?:#\s*(SKIP|TODO)\S*\s*(.*))?", re.IGNORECASE
)


class Count:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []

    def print(self):
        print(self.passed, len(self.failed), len(self.skipped))
        for name in self.failed:
            print(f"failed: {name}")
        for name, reason in self.skipped:
            print(f"skipped: {name}: {reason or 'no reason given'}")


def junit_points(build):
    """{test: its test cases} for the tests that printed TAP."""
    path = os.path.join(build, "meson-logs", "testlog.junit.xml")
    suites = xml.etree.ElementTree.parse(path).getroot().findall("testsuite")
    return {
        suite.get("name").split(" / ")[-1]: suite.findall("testcase")
        for suite in suites
        if " / " in suite.get("name")
    }


def count_case(count, name, case):
    full = f"{name}: {case.get('name')}"
    if case.find("skipped") is not None:
        count.skipped.append((full, case.findtext("system-out")))
    elif case.find("failure") is not None or case.find("error") is not None:
        count.failed.append(full)
    else:
        count.passed += 1


def count_meson(build):
    count = Count()
    points = junit_points(build)
    with open(os.path.join(build, "meson-logs", "testlog.json"), encoding="utf-8") as file:
        tests = [json.loads(line) for line in file]
    for test in tests:
        # Its suites stand before the slash.
        name, result = test["name"].split(" / ")[-1], test["result"]
        failed_before = len(count.failed)
        for case in points.get(name, []):
            count_case(count, name, case)
        if result in BAD_RESULTS:
            # A crash or a timeout between the points, which the points themselves do not show.
            if len(count.failed) == failed_before:
                count.failed.append(f"{name}: {result}")
        elif name not in points:
            if result == "SKIP":
                count.skipped.append((name, test.get("stdout", "").strip()))
            else:
                count.passed += 1
    return count


def count_tap(name, log, status):
    """Exit status 77: skipped, the last line says why. Without TAP the status is the one point."""
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    count = Count()
    plan = None
    points = 0
    for line in lines:
        plan_match = re.match(r"1\.\.(\d+)", line)
        if plan_match:
            plan = int(plan_match.group(1))
        point = TAP_POINT.match(line)
        if not point:
            continue
        points += 1
        full = f"{name}: {point.group(2).strip() or points}"
        if (point.group(3) or "").upper() == "SKIP":
            count.skipped.append((full, point.group(4)))
        elif point.group(1):
            count.failed.append(full)
        else:
            count.passed += 1
    if status == 77 and points == 0:
        count.skipped.append((name, lines[-1] if lines else ""))
    elif status != 0 and not count.failed:
        count.failed.append(f"{name}: exit status {status}")
    elif plan is not None and plan != points and not count.failed:
        count.failed.append(f"{name}: {points} points of {plan} planned")
    elif points == 0:
        count.passed += 1
    return count


def main(kind, *arguments):
    if kind == "meson":
        count_meson(*arguments).print()
    else:
        name, log, status = arguments
        count_tap(name, log, int(status)).print()


if __name__ == "__main__":
    main(*sys.argv[1:])
