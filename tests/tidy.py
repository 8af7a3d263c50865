#!/usr/bin/env python3
"""Checks what a compiler cannot: layers, unique names, banned calls, header lines, function length."""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TOP = {"CMakeLists.txt", "CMakePresets.json", "README.md", "ARCHITECTURE.md", "LICENSE", "ps", "worker",
       "sampler", "common", "proto", "configs", "tests", "deploy"}
LAYERS = {  # folder -> folders it may include from
    "common": {"common", "proto"},
    "ps": {"ps", "common", "proto"},
    "sampler": {"sampler", "common", "proto"},
    "worker": {"worker", "common", "proto"},
    "deploy": {"deploy", "ps", "sampler", "worker", "common", "proto"},
}
FUNCTION_LINES_MAX = 70
LONG_FUNCTIONS = {  # name: why it is one piece
}
BANNED = {
    r"\b(strcpy|strcat|sprintf|gets|strtok|atoi|atof|rand|srand|system|popen)\s*\(": "banned call",
    r"\bcblas_\w+\s*\(": "cblas is called in common/blas.c only",
    r"#pragma omp": "no OpenMP",
    r"-ffast-math|-Ofast": "no fast-math",
    r"\bgetenv\s*\(": "no configuration through the environment",
    r"\bclock_gettime\s*\(|\bgettimeofday\s*\(|\btime\s*\(NULL": "time comes from common/clock.h",
}
ALLOWED = {  # (file, pattern start) -> why
    "common/blas.c": ["cblas"],
    "common/clock.c": ["clock_gettime"],
    "common/log.c": ["clock_gettime"],
    "common/numerics.c": ["getenv"],
    "common/log.h": [],
}
ALLOWED_ENV = ("OPENBLAS_CORETYPE", "SLURM_PROCID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID",
               "NO_COLOR")
ARCHITECTURE_LINES_MAX = 250
problems = []


def problem(path, line, text):
    problems.append(f"{os.path.relpath(path, ROOT)}:{line}: {text}")


def sources():
    for top in list(LAYERS) + ["tests"]:
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for name in sorted(files):
                if name.endswith((".c", ".h")):
                    yield top, os.path.join(folder, name)


def check_top():
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True)
    for name in sorted({line.split("/")[0] for line in tracked.stdout.split("\n") if line}):
        if name not in TOP and not name.startswith("."):
            problem(os.path.join(ROOT, name), 1, "not one of the top-level entries")


def check_architecture():
    path = os.path.join(ROOT, "ARCHITECTURE.md")
    with open(path, encoding="utf-8") as file:
        lines = file.read().count("\n")
    if lines > ARCHITECTURE_LINES_MAX:
        problem(path, lines, f"at most {ARCHITECTURE_LINES_MAX} lines: say it shorter, or in a header")


def check_names():
    seen = {}
    for top, path in sources():
        name = os.path.basename(path)
        if name == "main.c":
            continue
        if name in seen:
            problem(path, 1, f"the name is taken by {os.path.relpath(seen[name], ROOT)}")
        seen[name] = path


def strip(text):
    """Blanks comments and strings, keeping lines."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def check_layers(top, path, text):
    for number, line in enumerate(text.split("\n"), 1):
        match = re.match(r'\s*#include "([^"/]+)/', line)
        if match and top in LAYERS and match.group(1) not in LAYERS[top]:
            problem(path, number, f"{top}/ must not include {match.group(1)}/")


def check_banned(top, path, code, text):
    if top == "tests":
        return
    relative = os.path.relpath(path, ROOT)
    lines = text.split("\n")
    for pattern, why in BANNED.items():
        for match in re.finditer(pattern, code):
            number = code.count("\n", 0, match.start()) + 1
            if any(word in match.group(0) for word in ALLOWED.get(relative, [])):
                continue
            if "getenv" in match.group(0) and any(name in lines[number - 1] for name in ALLOWED_ENV):
                continue
            problem(path, number, f"{match.group(0).strip()}: {why}")


def check_header(path, text):
    if path.endswith(".h"):
        first = text.split("\n", 1)[0]
        if not first.startswith(f"/* {os.path.basename(path)} - "):
            problem(path, 1, f'the first line must be "/* {os.path.basename(path)} - what it is"')
        if "#pragma once" not in text:
            problem(path, 1, "#pragma once is missing")


def check_functions(top, path, code):
    if not path.endswith(".c"):
        return
    lines = code.split("\n")
    start, name = None, ""
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
            head = " ".join(lines[max(0, number - 6):number - 1])
            found = re.findall(r"(\w+)\s*\(", head)
            name = found[-1] if found else "?"
            for candidate in reversed(re.findall(r"(?:^|[\s\*])(\w+)\(", head)):
                name = candidate
                break
        elif line.startswith("}") and start:
            length = number - start - 1
            if length > FUNCTION_LINES_MAX and name not in LONG_FUNCTIONS and top != "tests":
                problem(path, start, f"{name} has {length} lines, at most {FUNCTION_LINES_MAX}")
            start = None


def check_main(path, text):
    if os.path.basename(path).startswith("main") and text.count("\n") > 100:
        problem(path, 1, "main files only wire things together: at most 100 lines")


def main():
    check_top()
    check_architecture()
    check_names()
    for top, path in sources():
        with open(path, encoding="utf-8") as file:
            text = file.read()
        code = strip(text)
        check_layers(top, path, text)
        check_banned(top, path, code, text)
        check_header(path, text)
        check_functions(top, path, code)
        check_main(path, text)
        for number, line in enumerate(text.split("\n"), 1):
            if len(line) > 120:
                problem(path, number, "longer than 120 columns")
            if re.search(r"\b(TODO|FIXME|XXX)\b", line) and not re.search(r"#\d+", line):
                problem(path, number, "a TODO needs an issue number")
    print("\n".join(problems) if problems else "tidy: nothing found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
