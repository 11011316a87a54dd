#!/usr/bin/env python3
"""Replace each check of the protocol by "accept", one at a time, and show which test notices.

A check is a call of `require` or `require_of` in `protocol/src` (its condition becomes `true`), or
an entry of sites.toml, for checks of another shape. The mutated copy lives under target/mutants;
the working tree is not touched. Ends with exit 1 if a mutant survives, if a guard of
protocol/src/guard.rs has none, or if there are more than MOST.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target" / "mutants"
TREE = WORK / "tree"
HERE = Path(__file__).resolve().parent
MOST = 90
# Test programs in the order in which they run; the first that fails is the one that notices.
PROGRAMS = [
    "refusals_entering",
    "refusals_round",
    "refusals_server",
    "codec",
    "parameters",
    "analytics",
    "sealsum_protocol",
    "dishonest_clients",
    "dishonest_server",
    "replays",
    "short",
    "rounds",
    "dropouts",
    "exhaustive",
]
PACKAGES = ["sealsum-protocol", "sealsum-tests", "sealsum-simulation"]
# The checks that the agent makes for the protocol are noticed by its own tests.
OF_AGENT = ["cargo", "test", "-p", "sealsum-agent", "--lib", "--no-run", "--message-format=json"]
OF_PROTOCOL = ["cargo", "test", "--lib", "--no-run", "--message-format=json"]
TIMEOUT_S = 300


class Mutant:
    """One check, and the text that accepts in its place."""

    def __init__(self, guard, path, line, what, before, after, at):
        self.guard, self.path, self.line, self.what = guard, path, line, what
        self.before, self.after, self.at = before, after, at

    def build(self):
        """What to build, and the programs that must notice."""
        if self.path.startswith("agent/"):
            return OF_AGENT, ["sealsum_agent"]
        packages = [word for name in PACKAGES for word in ("--package", name)]
        tests = [name for name in PROGRAMS if name != "sealsum_protocol"]
        tests = [word for name in tests for word in ("--test", name)]
        return [*OF_PROTOCOL, *packages, *tests], PROGRAMS

    def text(self, source):
        assert source.startswith(self.before, self.at), f"{self.path}: the source moved"
        return source[: self.at] + self.after + source[self.at + len(self.before) :]


def arguments(source, start):
    """The end of the first argument and the whole call's text, from its opening parenthesis."""
    depth, first = 0, None
    for place in range(start, len(source)):
        char = source[place]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
            if depth == 0:
                return first, place
        elif char == "," and depth == 1 and first is None:
            first = place
    raise ValueError("a call that does not end")


def function_at(source, place):
    names = re.findall(r"\bfn (\w+)", source[:place])
    return names[-1] if names else "?"


def calls():
    """Each call of `require` and `require_of`, but not where they are defined."""
    for path in sorted((ROOT / "protocol" / "src").rglob("*.rs")):
        name = path.relative_to(ROOT).as_posix()
        source = path.read_text()
        if name.endswith("src/error.rs"):
            continue
        for call in re.finditer(r"\brequire(?:_of)?\(", source):
            first, end = arguments(source, call.end() - 1)
            guard = re.search(r"\bGuard::(\w+)|, guard,", source[first:end])
            condition = source[call.end() : first]
            line = source.count("\n", 0, call.start()) + 1
            what = function_at(source, call.start())
            # A check that is given its guard goes by the name of one that it serves.
            yield Mutant(
                guard.group(1) or "Sets", name, line, what, condition, f"({condition}) || true", call.end()
            )


def listed():
    """The checks of other shapes, from sites.toml."""
    for site in tomllib.loads((HERE / "sites.toml").read_text())["site"]:
        source = (ROOT / site["path"]).read_text()
        if source.count(site["find"]) != 1:
            sys.exit(f"error: sites.toml: {site['path']} must hold this text once: {site['find']}")
        at = source.index(site["find"])
        line = source.count("\n", 0, at) + 1
        what = function_at(source, at + len(site["find"]))
        yield Mutant(site["guard"], site["path"], line, what, site["find"], site["accept"], at)


def guards():
    """Variant and id of each guard."""
    text = (ROOT / "protocol/src/guard.rs").read_text()
    return dict(re.findall(r'^    (\w+) "(G\d\d)" ', text, re.MULTILINE))


def copy_tree():
    """A copy of what git tracks; unchanged files keep their times, so little is built again."""
    TREE.mkdir(parents=True, exist_ok=True)
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")
    for name in filter(None, names):
        source, target = ROOT / name, TREE / name
        if not source.is_file():
            continue
        if target.is_file() and target.read_bytes() == source.read_bytes():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        os.utime(target)


def build(command):
    """Builds the test programs; None if the compiler refuses."""
    environment = dict(os.environ, CARGO_TARGET_DIR=str(WORK / "build"))
    done = subprocess.run(command, cwd=TREE, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        return None, done.stderr + done.stdout[-3000:]
    built = {}
    for line in done.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            manifest = Path(message["manifest_path"]).parent
            built[message["target"]["name"]] = (message["executable"], manifest)
    return built, ""


def noticed(built, programs):
    """The program and the first test that failed, or None if all passed."""
    for program in programs:
        executable, manifest = built[program]
        try:
            done = subprocess.run(
                [executable], cwd=manifest, capture_output=True, text=True, timeout=TIMEOUT_S,
                env=dict(os.environ, CARGO_MANIFEST_DIR=str(manifest)),
            )
        except subprocess.TimeoutExpired:
            return program, "does not end"
        if done.returncode != 0:
            failed = re.findall(r"^test (\S+)(?: - should panic)? \.\.\. FAILED", done.stdout, re.MULTILINE)
            return program, failed[0] if failed else f"exit {done.returncode}"
    return None


def try_one(mutant):
    target = TREE / mutant.path
    original = target.read_text()
    target.write_text(mutant.text(original))
    try:
        command, programs = mutant.build()
        built, complaint = build(command)
        if built is None:
            sys.exit(f"error: {mutant.path}:{mutant.line}: the mutant does not build\n{complaint}")
        return noticed(built, programs)
    finally:
        target.write_text(original)


def report(rows, ids):
    lines = [
        "# Checks that were switched off",
        "",
        "Written by `make mutants`: each check of the protocol was replaced by \"accept\" in turn,",
        "and this is the first test that noticed. `short` are simulated histories, `replays` those",
        "that an earlier simulation found where a check was missing.",
        "",
        "| guard | check | noticed by |",
        "|---|---|---|",
    ]
    for mutant, by in rows:
        name = f"{ids[mutant.guard]} " if mutant.guard in ids else ""
        check = " ".join(mutant.before.split()).replace("|", "\\|")
        where = f"`{mutant.path.removeprefix('protocol/src/')}` {mutant.what}: `{check}`"
        seen = f"`{by[0]}` {by[1]}" if by else "**nothing**"
        lines.append(f"| {name}{mutant.guard} | {where} | {seen} |")
    survivors = sum(by is None for _, by in rows)
    lines += ["", f"{len(rows)} mutants, {survivors} survived.", ""]
    (ROOT / "docs" / "mutants.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", help="guards or paths that contain this text; writes no report")
    parser.add_argument("--list", action="store_true", help="list the mutants and end")
    options = parser.parse_args()
    ids = guards()
    mutants = [*calls(), *listed()]
    missing = set(ids) - {mutant.guard for mutant in mutants}
    if missing or len(mutants) > MOST:
        sys.exit(f"error: {len(mutants)} mutants of at most {MOST}; guards without one: {sorted(missing)}")
    if options.only:
        mutants = [m for m in mutants if options.only in f"{m.guard} {m.path} {m.what}"]
    if options.list:
        for mutant in mutants:
            print(f"{mutant.guard:16} {mutant.path}:{mutant.line} {mutant.what}")
        sys.exit(f"{len(mutants)} mutants" if not mutants else 0)
    copy_tree()
    for command, programs in {str(m.build()): m.build() for m in mutants}.values():
        built, complaint = build(command)
        if built is None:
            sys.exit(f"error: the tests do not build\n{complaint}")
        if broken := noticed(built, programs):
            sys.exit(f"error: {broken[0]} {broken[1]} fails without any mutant")
    rows, begun = [], time.monotonic()
    for number, mutant in enumerate(mutants, 1):
        by = try_one(mutant)
        rows.append((mutant, by))
        seen = f"{by[0]} {by[1]}" if by else "SURVIVED"
        left = (time.monotonic() - begun) / number * (len(mutants) - number) / 60
        print(f"{number}/{len(mutants)} {mutant.guard} {mutant.path}:{mutant.line} {mutant.what}: {seen} ({left:.0f} min left)", flush=True)
    survivors = [mutant for mutant, by in rows if by is None]
    if not options.only:
        report(rows, ids)
    print(f"{len(rows)} mutants, {len(survivors)} survived")
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
