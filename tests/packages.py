"""Python packages that a suite needs: a virtual environment of their own, outside the tree, made once."""

import fcntl
import hashlib
import shutil
import subprocess
import sys

from program import SetupFailed

INSTALL_WITHIN_S = 600


def install(cache, name, requirements):
    """The folder of the programs of a virtual environment with what `requirements` lists: one for each list.

    Every package is listed there with its version, and so nothing else is installed.
    """
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    home = cache / f"{name}-{wanted[:16]}"
    complete = home / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / f"{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            if home.exists():
                shutil.rmtree(home)
            print(f"installing what {name} needs", flush=True)
            must_run([sys.executable, "-m", "venv", home])
            must_run([home / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-input",
                      "--disable-pip-version-check", "--requirement", requirements])
            must_run([home / "bin" / "python", "-m", "pip", "check", "--disable-pip-version-check"])
            complete.touch()
    return home / "bin"


def must_run(command):
    try:
        done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=INSTALL_WITHIN_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as failure:
        raise SetupFailed(f"{' '.join(map(str, command))}: {failure}") from failure
    if done.returncode != 0:
        raise SetupFailed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
