"""What is around a script fails it: the disk, the folder, the terminal, the locale."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, heed_signals, measured
from processes import SCRIPT, SEEDS, Start, finish, options, wait_for_line

resource = pytest.importorskip("resource", reason="Windows has no such limits")

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="limits and pipes as Linux has them"),
    pytest.mark.faults,
]


@pytest.mark.parametrize(("written", "what"), [("[1/", "weights"), ("[2/", "part2_mlp_classes")])
def test_a_full_disk_is_one_line_and_tears_nothing(
    written: str, what: str, tmp_path: Path, start: Start, undisturbed_sweep: dict[str, str]
) -> None:
    """Full for the weights of a first seed, and for the tables of another."""
    process = start(SEEDS, "--jobs", "1")
    wait_for_line(process, written)
    limit = 1000  # bytes: of any file that it writes from now on
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("\n") == 1 and said.startswith("error: cannot write"), said
    assert what in said
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) == int(written[1])
    for path in (tmp_path / "results").rglob("*.*"):
        assert path.suffix != ".tmp"
        assert path.suffix != ".csv" or path.read_text().endswith("\n")
    finish(tmp_path)
    assert measured(tmp_path / "results") == undisturbed_sweep


def test_a_results_folder_that_is_removed_costs_no_run(
    tmp_path: Path, start: Start, undisturbed_sweep: dict[str, str]
) -> None:
    """What was measured is written again with the next run."""
    process = start(SEEDS, "--jobs", "1")
    wait_for_line(process, "[1/")
    shutil.rmtree(tmp_path / "results")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    found = measured(tmp_path / "results")
    layers = "part2_mlp_layers.csv"  # written once, before the first run
    assert found == {name: text for name, text in undisturbed_sweep.items() if name != layers}


def test_a_results_folder_that_becomes_a_file_is_one_line(tmp_path: Path, start: Start) -> None:
    process = start(SEEDS, "--jobs", "1")
    wait_for_line(process, "[1/")
    kept = tmp_path / "kept"
    (tmp_path / "results").rename(kept)
    (tmp_path / "results").write_text("in the way")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    assert said.count("\n") == 1 and said.startswith("error: cannot write"), said
    assert len(pd.read_csv(kept / "part2_mlp.csv")) == 1


def test_ctrl_c_twice_is_as_once(tmp_path: Path, start: Start) -> None:
    process = start(50)
    wait_for_line(process, "[1/")
    os.killpg(process.pid, signal.SIGINT)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.startswith("interrupted: finished runs are saved") and said.count("\n") == 1, said
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) >= 1


def test_head_reads_what_it_wants(tmp_path: Path, undisturbed_sweep: dict[str, str]) -> None:
    script = subprocess.Popen(
        [sys.executable, ROOT / SCRIPT, *options(tmp_path), "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )
    head = subprocess.run(["head", "-n", "1"], stdin=script.stdout, capture_output=True, text=True)
    script.stdout.close()
    script.stdout = None
    _, said = script.communicate(timeout=120)
    assert head.stdout.startswith("runs: 0, 6 to train here")
    assert (script.returncode, said) == (1, "")
    assert len(pd.read_csv(tmp_path / "results" / "part2_mlp.csv")) >= 1
    finish(tmp_path)
    assert measured(tmp_path / "results") == undisturbed_sweep


@pytest.mark.parametrize(
    "surroundings",
    [
        {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["no home", "locale C"],
)
def test_no_home_and_no_locale_change_nothing(
    surroundings: dict[str, str], tmp_path: Path, start: Start, undisturbed_sweep: dict[str, str]
) -> None:
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    process = start(SEEDS, "--jobs", "1", **{**kept, **surroundings})
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert measured(tmp_path / "results") == undisturbed_sweep
    assert list((tmp_path / "figures").glob("*.png"))
