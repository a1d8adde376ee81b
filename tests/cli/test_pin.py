from __future__ import annotations

import os
import subprocess
import sys

from lineage_flows.cli.pin import pinned_variables
from lineage_flows.settings import load_settings

PROGRAM = "import sys; from lineage_flows.cli import main; sys.exit(main())"


def run(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "7", **more}
    command = [sys.executable, "-c", PROGRAM, "pin", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)


def test_a_program_is_started_with_the_profile_and_its_exit_code_is_ours():
    told = (
        "import os, sys; print(os.environ['OMP_NUM_THREADS'], sys.flags.hash_randomization, sys.argv[1:]); sys.exit(7)"
    )
    done = run("--", sys.executable, "-c", told, "--json", "-h")
    assert (done.returncode, done.stdout) == (7, "1 0 ['--json', '-h']\n"), done.stderr


def test_it_is_recorded_as_it_was_pinned(tmp_path):
    told = (
        "from pathlib import Path; from lineage_flows.capture.environment import capture_environment as c;"
        "from lineage_flows.settings import load_settings; import numpy;"
        f"print(c(load_settings().variables, Path({str(tmp_path)!r})).model_dump_json())"
    )
    done = run("--", sys.executable, "-W", "error::ImportWarning:numpy", "-c", told)
    assert done.returncode == 0, done.stderr
    from lineage_flows.records import Environment

    found = Environment.model_validate_json(done.stdout)
    assert found.hash_seed == "0"
    assert pinned_variables().items() <= found.variables.items(), "a replay could not give them back"
    assert not {name for name in found.cpu_features if name == "X86_V4" or name.startswith("AVX512_")} & set(
        pinned_variables().get("NPY_DISABLE_CPU_FEATURES", "").split()
    )


def test_without_a_program_the_variables_are_printed_for_a_shell():
    done = run()
    assert done.returncode == 0
    shell = subprocess.run(["sh", "-c", f"{done.stdout}\nenv"], capture_output=True, text=True, check=True)
    lines = shell.stdout.splitlines()
    assert all(f"{name}={value}" in lines for name, value in pinned_variables().items())


def test_a_program_that_is_not_there_is_said():
    done = run("--", "no-such-program")
    assert done.returncode == 2
    assert done.stderr.startswith("lineage-flows: no-such-program cannot be started: No such file")


def test_the_profile_is_on_the_recorded_list():
    from fnmatch import fnmatchcase

    patterns = load_settings().variables
    assert all(any(fnmatchcase(name, pattern) for pattern in patterns) for name in pinned_variables())
