"""Draw all figures and compute all tables of means again, and compare them with the files."""

import io
import re
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from common import one_line
from common.data.datasets import present
from common.plots.style import SOFTWARE
from common.report.check import MEASURED, Check
from common.report.stores import STORES, known_runs, open_store
from common.results.columns import FINGERPRINT, TABLES
from common.training.device import cores

READING = ("part1_factors.py", "part2_published.py")  # scripts that never train
SLOW = "part2_own_digits"  # its experiment measures again each time
SHADE = 16  # of 255: rounding on another processor may change a pixel's colour by so much


def commands(readme: str) -> list[list[str]]:
    """The words of the commands that draw the figures: section 5 of README.txt."""
    section = readme.partition("5. ALL COMMANDS OF THE REPORT")[2].partition("\n6. ")[0]
    lines = re.findall(r"^    python (part\w+\.py[^#\n]*)", section, flags=re.MULTILINE)
    # Validation draws nothing; SLOW measures again; all saved seeds are reported.
    lines = [line for line in lines if "validation" not in line and not line.startswith(SLOW)]
    used = (re.sub(r"--seeds \d+", "", line).split() for line in lines)
    return [list(words) for words in dict.fromkeys(map(tuple, used))]


def redraw(words: Sequence[str], results: Path, figures: Path, data_dir: Path) -> str:
    """Run a script with --plot-only in this process; returns its error message, or nothing."""
    script = import_module(words[0].removesuffix(".py"))
    folders = ["--results-dir", str(results), "--figures-dir", str(figures)]
    reading = [] if words[0] in READING else ["--plot-only", "--data-dir", str(data_dir)]
    output = io.StringIO()
    try:
        with redirect_stdout(output), redirect_stderr(output):
            status = script.main([*words[1:], *reading, *folders])
    except (Exception, SystemExit) as error:  # of edited results or commands: any
        return one_line(error)
    return output.getvalue().strip().splitlines()[-1] if status else ""


def recomputed(
    folder: Path, figures: Path, data_dir: Path, scripts: Sequence[Sequence[str]], scratch: Path
) -> list[Check]:
    """Tables of means, tables of layers and figures equal those that the scripts make now.

    Args:
        folder: the results.
        figures: the figures.
        data_dir: the data; without it, figures that show images are not verified.
        scripts: commands, each as words.
        scratch: an empty folder.
    """
    tables, pictures = Check("tables of means and layers are today's"), Check("figures are today's")
    again, images = scratch / "results", scratch / "figures"
    shutil.copytree(folder, again, ignore=lambda _, names: [n for n in names if derived(n)])
    for name in STORES:
        if runs := known_runs(again, name):
            open_store(again, name).add_layers([run for _, run in runs])
    with ProcessPoolExecutor(min(cores(), len(scripts) or 1), get_context("spawn")) as pool:
        jobs = [
            pool.submit(redraw, words, again, images / str(number), data_dir)
            for number, words in enumerate(scripts)
        ]
        for words, job in zip(scripts, jobs, strict=True):
            if message := job.result():
                pictures.expect(False, f"{' '.join(words)}: {message}")
    both = [path.name for parent in (folder, again) for path in parent.glob("*.csv")]
    for name in sorted(filter(derived, set(both))):
        same = same_table(folder / name, again / name)
        tables.expect(same, f"{folder / name}: differs from what the runs give")
    drawn = {path.name: path for path in images.rglob("*.png")}
    for name in sorted({path.name for path in figures.glob("*.png")} | set(drawn)):
        path = figures / name
        if not path.exists():
            pictures.expect(False, f"{path} is missing")
        elif name.startswith(f"{SLOW}_compare"):
            pictures.skipped.append(f"{name}: {SLOW}.py --compare draws it in two minutes")
        elif name not in drawn and not all(present(d, data_dir) for d in ("mnist", "cifar10")):
            pictures.skipped.append(f"{name}: MNIST or CIFAR-10 is not in {data_dir}")
        elif name not in drawn:
            pictures.skipped.append(f"{name}: no command in section 5 of README.txt draws it")
        elif (software := Image.open(path).info.get("Software")) is None:
            pictures.expect(False, f"{path}: none of our scripts wrote this file")
        elif software != SOFTWARE:
            pictures.skipped.append(f"{name}: drawn with {software}, not with {SOFTWARE}")
        else:
            same = same_picture(path, drawn[name])
            pictures.expect(same, f"{path}: differs from the figure of the results")
    return [tables, pictures]


def derived(name: str) -> bool:
    """Whether a file of the results is computed from others: means, and layers of networks."""
    stem, measured = name.removesuffix(".csv"), {"", "_gradients", *(f"_{t}" for t in TABLES)}
    runs = any(stem.removeprefix(store) in measured for store in STORES if stem.startswith(store))
    return name.endswith(".csv") and not runs and not stem.startswith(MEASURED)


def same_table(path: Path, other: Path) -> bool:
    """Whether two CSV files have the same rows; numbers may differ in the last digits."""
    if not (path.exists() and other.exists()):
        return False
    try:
        frames = [pd.read_csv(p, dtype={FINGERPRINT: str}) for p in (path, other)]
        pd.testing.assert_frame_equal(*frames, rtol=1e-4, atol=1e-9)
    except AssertionError:
        return False
    return True


def same_picture(path: Path, other: Path) -> bool:
    """Whether two images have the same pixels, but for rounding."""
    a, b = (np.asarray(Image.open(p).convert("RGBA"), dtype=int) for p in (path, other))
    return a.shape == b.shape and np.abs(a - b).max() <= SHADE
