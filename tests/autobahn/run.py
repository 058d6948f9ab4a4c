#!/usr/bin/env python3
"""Runs the Autobahn test suite's fuzzing client against Vestibule's echo path.

The suite is Python 2 only. A CPython 2.7 is looked for on PATH and in pyenv by
executing what looks like one; without any, the run is printed and counted as
skipped. The suite is installed once, outside the tree, in
${XDG_CACHE_HOME:-~/.cache}/vestibule-tests.

Fails on every case that failed, and on every one that is non-strict.
The last line is "N passed, N failed, N skipped".
Exit code: 0 all passed (or skipped for want of a 2.7), 1 not.
"""

import argparse
import fcntl
import glob
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent))
from program import Server, SetupFailed  # noqa: E402

REQUIREMENTS = HERE / "requirements.txt"
REQUIREMENTS_VIRTUALENV = HERE / "requirements-virtualenv.txt"

# Sections 12 and 13 are permessage-deflate, which the server declines.
CASES_USUAL = ["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"]
CASES_ALL = ["*"]
CASES_EXCLUDED = ["12.*", "13.*"]

GOOD = ("OK", "INFORMATIONAL")
INSTALL_WITHIN_S = 600
RUN_WITHIN_S = 3600

# Cases 9.* send messages of 16 MiB, and one of 4 MiB in frames of 64 bytes.
CONFIGURATION = """
[[listener]]
address = "127.0.0.1:{port}"

[server]
drain = "1s"

[admin]
address = "127.0.0.1:{admin_port}"

[auth]
mode = "none"

[limits]
frame = "17MiB"
message = "17MiB"
fragments = 100000
lag = "64MiB"
buffered = "512MiB"

[websocket]
echo = "/echo"
"""


def main():
    options = parse_arguments()
    python = find_python27()
    if python is None:
        print("skipped: no CPython 2.7 on PATH or in pyenv, which the Autobahn test suite needs")
        print("0 passed, 0 failed, 1 skipped")
        return 0
    try:
        suite = install_suite(python, options.cache)
        if options.url:
            return judge(run_suite(suite, options.url, options.cases), options)
        with Server(options.vestibule, CONFIGURATION) as server:
            url = f"ws://127.0.0.1:{server.port}/echo"
            return judge(run_suite(suite, url, options.cases), options)
    except SetupFailed as failure:
        print(failure)
        print("0 passed, 1 failed, 0 skipped")
        return 1


def parse_arguments():
    cache_home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vestibule", default=os.environ.get("VESTIBULE_BIN"), metavar="PROGRAM",
                        help="the program to test (default: $VESTIBULE_BIN)")
    parser.add_argument("--url", help="test what already listens there, instead")
    parser.add_argument("--all", action="store_true", help="every case but 12.* and 13.*")
    parser.add_argument("--cases", nargs="+", metavar="CASE", help='such as "6.*" 7.1.1')
    parser.add_argument("--cache", type=pathlib.Path, default=cache_home / "vestibule-tests",
                        metavar="FOLDER", help="where the suite is installed (default: %(default)s)")
    parser.add_argument("--report", type=pathlib.Path, metavar="FOLDER", help="keep the suite's own report there")
    options = parser.parse_args()
    if not options.vestibule and not options.url:
        parser.error("--vestibule PROGRAM, $VESTIBULE_BIN or --url URL says what to test")
    options.cases = options.cases or (CASES_ALL if options.all else CASES_USUAL)
    return options


# --- the suite ----------------------------------------------------------------

def find_python27():
    """The first CPython 2.7 that runs: a name proves nothing, a pyenv shim may be dead."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    candidates = [os.path.join(folder, name) for name in ("python2.7", "python2", "python") for folder in folders]
    for root in (os.environ.get("PYENV_ROOT"), os.path.expanduser("~/.pyenv")):
        if root:
            candidates += sorted(glob.glob(os.path.join(root, "versions", "2.7*", "bin", "python2.7")), reverse=True)
    probe = ("import sys, platform, ssl, zlib; "
             "assert sys.version_info[:2] == (2, 7) and platform.python_implementation() == 'CPython'; "
             "sys.stdout.write(sys.executable)")
    for candidate in candidates:
        if not os.access(candidate, os.X_OK):
            continue
        try:
            found = subprocess.run([candidate, "-c", probe], stdin=subprocess.DEVNULL, capture_output=True,
                                   text=True, timeout=20, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if found.returncode == 0:
            return found.stdout
    return None


def install_suite(python, cache):
    """The interpreter of a virtualenv that holds the suite: made once for each list of requirements."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + REQUIREMENTS_VIRTUALENV.read_bytes() + python.encode())
    home = cache / f"autobahn-{wanted.hexdigest()[:16]}"
    interpreter = home / "suite" / "bin" / "python"
    complete = home / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "autobahn.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists():
            return interpreter
        if home.exists():
            shutil.rmtree(home)
        print(f"installing the Autobahn test suite for {python}", flush=True)
        make_virtualenv(python, home)
        must_run([interpreter, "-m", "pip", "install", "--quiet", "--no-deps", "--no-input",
                  "--requirement", REQUIREMENTS])
        must_run([interpreter, "-c", "import autobahntestsuite.wstest"])
        complete.touch()
    return interpreter


def make_virtualenv(python, home):
    tool = home / "virtualenv"
    pip = ["-m", "pip", "install", "--quiet", "--no-deps", "--no-input"]
    own = home / "own"
    # A Python without pip can still have venv, and the other way round.
    if succeeds([sys.executable, "-m", "venv", own]):
        must_run([own / "bin" / "python", *pip, "--requirement", REQUIREMENTS_VIRTUALENV])
        runner, environment = own / "bin" / "python", None
    elif succeeds([sys.executable, "-m", "pip", "--version"]):
        must_run([sys.executable, *pip, "--target", tool, "--requirement", REQUIREMENTS_VIRTUALENV])
        runner, environment = sys.executable, {**os.environ, "PYTHONPATH": str(tool)}
    else:
        raise SetupFailed(f"{sys.executable} has neither venv nor pip (Debian: python3-venv)")
    must_run([runner, "-m", "virtualenv", "--quiet", "--no-periodic-update", "--app-data", home / "seeds",
              "--python", python, home / "suite"], environment)


def succeeds(command):
    return run_quietly(command, None).returncode == 0


def must_run(command, environment=None):
    done = run_quietly(command, environment)
    if done.returncode != 0:
        raise SetupFailed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")


def run_quietly(command, environment):
    try:
        return subprocess.run(list(map(str, command)), env=environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=INSTALL_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise SetupFailed(f"{' '.join(map(str, command))}: {failure}") from failure


# --- the server under test ------------------------------------------------------

# --- the run ---------------------------------------------------------------------

# Prints the cases that a specification names, as the suite itself reads it.
LIST_CASES = """
import json, sys
from autobahntestsuite import fuzzing
cases = fuzzing.CaseSet(fuzzing.CaseSetname, fuzzing.CaseBasename, fuzzing.Cases, fuzzing.CaseCategories,
                        fuzzing.CaseSubCategories)
print(json.dumps(cases.parseSpecCases(json.load(open(sys.argv[1])))))
"""


def run_suite(interpreter, url, cases):
    """Runs `cases`; returns the folder that holds the report, and the cases that have to be in it."""
    report = pathlib.Path(tempfile.mkdtemp(prefix="vestibule-autobahn-report-"))
    specification = report / "fuzzingclient.json"
    specification.write_text(json.dumps({
        "outdir": str(report),
        "servers": [{"agent": "vestibule", "url": url}],
        "cases": cases,
        "exclude-cases": CASES_EXCLUDED,
        "exclude-agent-cases": {},
    }), encoding="utf-8")
    listed = run_quietly([interpreter, "-W", "ignore", "-c", LIST_CASES, specification], None)
    if listed.returncode != 0:
        raise SetupFailed(f"the suite does not say which cases it has:\n{listed.stdout}")
    command = [interpreter, "-W", "ignore", "-c", "from autobahntestsuite.wstest import run; run()",
               "--mode", "fuzzingclient", "--spec", specification]
    log = report / "log"
    with open(log, "w", encoding="utf-8") as printed:
        try:
            done = subprocess.run(list(map(str, command)), cwd=report, stdin=subprocess.DEVNULL, stdout=printed,
                                  stderr=subprocess.STDOUT, timeout=RUN_WITHIN_S, check=False)
        except subprocess.TimeoutExpired as failure:
            raise SetupFailed(f"the suite did not end within {RUN_WITHIN_S} s; its log is {log}") from failure
    if done.returncode != 0 or not (report / "index.json").exists():
        raise SetupFailed(f"the suite ended with {done.returncode}:\n{log.read_text(encoding='utf-8')[-2000:]}")
    return report, json.loads(listed.stdout)


def judge(outcome, options):
    report, expected = outcome
    index = json.loads((report / "index.json").read_text(encoding="utf-8"))
    verdicts = index.get("vestibule", {})
    # A server that died half way leaves cases out of the index instead of failing them.
    for case in expected:
        verdicts.setdefault(case, {"behavior": "NOT RUN", "behaviorClose": "NOT RUN", "remoteCloseCode": None})
    bad = {case: verdict for case, verdict in verdicts.items()
           if verdict["behavior"] not in GOOD or verdict["behaviorClose"] not in GOOD}
    for case in sorted(bad, key=numbered):
        verdict = bad[case]
        print(f"case {case}: {verdict['behavior']}, close: {verdict['behaviorClose']} "
              f"(code {verdict['remoteCloseCode']})")
    if options.report:
        shutil.copytree(report, options.report, dirs_exist_ok=True)
    if bad and not options.report:
        print(f"the suite's report: {report}/index.html")
    else:
        shutil.rmtree(report)
    # A run without a single case has shown nothing.
    failed = len(bad) if verdicts else 1
    print(f"{len(verdicts) - len(bad)} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def numbered(case):
    return [int(part) for part in case.split(".")]


if __name__ == "__main__":
    sys.exit(main())
