"""README's 'Change something', done in a copy of the repository as a student would do it."""

import os
import shutil
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT, add_run

from common.data import synthetic
from common.models.networks import CIFAR_COLUMNS, cifar_design, mlp_design
from common.results.store import Results
from common.training.loop import Run
from common.training.recipes import MODERN, TUTORIAL

README = (ROOT / "README.txt").read_text(encoding="utf-8")
ADAM = 'ADAM = replace(MODERN, name="adam", optimizer=torch.optim.Adam, lr=0.001, momentum=None)'
BATCH_NORM = 'designs.append(cifar_design("7-bn", **{**network, "norm": "batch"}))'
FASHION = (
    '"fashion": Base(DIGITS, MNIST_NORMALISATION, '
    'lambda data_dir: read_mnist(data_dir, "fashion/raw")),'
)
NETWORKS, RECIPES = Path("common/models/networks.py"), Path("common/training/recipes.py")
DEPTH, MLP = Path("part1_explore_depth.py"), Path("part2_mlp.py")
DATASETS = Path("common/data/datasets.py")
SHORT, SHORT_MODERN = (replace(recipe, epochs=1, batch_size=250) for recipe in (TUTORIAL, MODERN))


def test_readme_has_the_edits_that_are_tried_here() -> None:
    for line in (
        ADAM,
        BATCH_NORM,
        FASHION,
        '"mish": nn.Mish,',
        '"norm": "none"',
        'norm: str = "none"',
        'self.C1_norm = nn.BatchNorm2d(c1) if norm == "batch" else nn.Identity()',
        "x = self.C1_act(self.C1_norm(self.C1(x)))",
    ):
        assert f"    {line}\n" in README


WORKER = """
from distributed import LocalCluster
options = {"dashboard_address": "127.0.0.1:0", "silence_logs": 60}
with LocalCluster(n_workers=1, threads_per_worker=1, processes=False, **options) as workers:
    cluster = ["--cluster", workers.scheduler_address]
"""


class Copy:
    """The scripts and common/ in a folder of their own, to be edited and run there."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.results = folder, folder / "results"
        self.synthetic = self.results / "synthetic"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "common", folder / "common", ignore=ignore)
        for path in ROOT.glob("part*.py"):
            shutil.copy(path, folder)

    def edit(self, path: Path, **replacements: tuple[str, str]) -> None:
        """Replace texts that are in a file once."""
        text = (self.folder / path).read_text(encoding="utf-8")
        for old, new in replacements.values():
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        (self.folder / path).write_text(text, encoding="utf-8")

    def run(self, *commands: str) -> str:
        """Run scripts, one after another in one process that is also the worker; its output."""
        short = ["--epochs", "1", "--batch-size", "250", "--seeds", "1"]
        calls = [
            f"    import {name}; assert {name}.main({[*short, *options]} + cluster) == 0"
            for name, *options in map(str.split, commands)
        ]
        done = subprocess.run(
            [sys.executable, "-c", "\n".join([WORKER, *calls])],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "LAB_DATA_DIR"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return " ".join(done.stdout.split())

    def rows(self, name: str, folder: str = "synthetic") -> pd.DataFrame:
        """The runs that a script has written."""
        return pd.read_csv(
            self.results / folder / f"{name}.csv",
            dtype={"fingerprint": str, "hidden": str},
            keep_default_na=False,
        )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy(tmp_path_factory.mktemp("copy"))


def test_edits_of_network_and_recipe(copy: Copy) -> None:
    """New rows are added; old ones stay, and are used again when the edit is undone."""
    depth, mlp = Run(cifar_design("7"), SHORT, "synthetic-objects"), mlp_design(30)
    add_run(Results(copy.synthetic, "part1_explore_depth", CIFAR_COLUMNS), depth, 0.6543)
    results = Results(copy.synthetic, "part2_mlp", {"hidden": ""}, ("variations",))
    add_run(results, Run(mlp, SHORT_MODERN, "synthetic-digits"), 0.9876)
    before = copy.rows("part2_mlp").iloc[0].to_dict()
    originals = {path: (copy.folder / path).read_bytes() for path in (NETWORKS, DEPTH)}

    copy.edit(
        NETWORKS,
        activation=('    "silu": nn.SiLU,\n', '    "silu": nn.SiLU,\n    "mish": nn.Mish,\n'),
        column=('"activation": "relu"}\n', '"activation": "relu",\n    "norm": "none"}\n'),
        argument=(
            'activation: str = "relu"\n',
            'activation: str = "relu",\n    norm: str = "none"\n',
        ),
        module=(
            "        self.C1 = nn.Conv2d(3, c1, 5)\n",
            "        self.C1 = nn.Conv2d(3, c1, 5)\n        self.C1_norm = "
            'nn.BatchNorm2d(c1) if norm == "batch" else nn.Identity()\n',
        ),
        forward=(
            "        x = self.C1_act(self.C1(x))  # (N, c1, 28, 28)\n",
            "        x = self.C1_act(self.C1_norm(self.C1(x)))\n",
        ),
    )
    copy.edit(
        DEPTH, designs=("for layers in DEPTHS]\n", f"for layers in DEPTHS]\n    {BATCH_NORM}\n")
    )
    copy.edit(RECIPES, decay=("weight_decay=5e-4", "weight_decay=0.5"))
    with open(copy.folder / RECIPES, "a", encoding="utf-8") as file:
        file.write(f"\n{ADAM}\n")
    copy.edit(
        MLP,
        imported=("import MODERN, MODERN_DISTORTED\n", "import ADAM, MODERN, MODERN_DISTORTED\n"),
        added=("[MODERN, MODERN_DISTORTED]", "[MODERN, MODERN_DISTORTED, ADAM]"),
    )
    mish = "part1_explore_activation --designs relu mish --all"
    assert f"python {mish}".replace("activation", "activation.py") in README
    output = copy.run(
        f"{mish} --synthetic --list",
        "part1_explore_depth --synthetic --designs 7 7-bn",
        "part2_mlp --synthetic --designs 30 --recipe adam",
        "part2_mlp --synthetic --designs 30",
    )
    assert "mish: 62,006 parameters" in output and "Conv2d 5x5, Mish" in output
    assert "runs: 1 from results/synthetic/" in output and "1 to train on" in output
    assert "65.43 %" in output  # the saved run of 7 layers
    runs = copy.rows("part1_explore_depth").set_index("design")
    assert runs["norm"].to_dict() == {"7": "none", "7-bn": "batch"}
    assert runs["parameters"].to_dict() == {"7": 62006, "7-bn": 62018}
    runs = copy.rows("part2_mlp")
    (row,) = runs[runs["recipe"] == "adam"].to_dict("records")
    assert row["momentum"] == 0 and row["test_accuracy"] > 0.15
    # The edited weight decay: a new row, the old one untouched and nowhere shown.
    modern = runs[runs["recipe"] == "modern"]
    assert len(modern) == 2 and modern["fingerprint"].nunique() == 2
    assert before in modern.to_dict("records")
    assert "1 run in results/synthetic/part2_mlp.csv was trained with another network" in output
    assert "98.76 %" not in output

    for path, content in originals.items():
        (copy.folder / path).write_bytes(content)
    output = copy.run("part1_explore_depth --synthetic --designs 7 --plot-only")
    assert "runs: 1 from results/synthetic/" in output and "65.43 %" in output


def test_a_data_set_in_mnists_format(copy: Copy) -> None:
    folder = copy.folder / "data/fashion/raw"
    folder.mkdir(parents=True)
    parts = synthetic.digits(train=500, test=200)
    for name, (images, labels) in zip(("train", "t10k"), parts, strict=True):
        header = struct.pack(">IIII", 2051, len(labels), 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(header + images.numpy().tobytes())
        header = struct.pack(">II", 2049, len(labels))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(header + bytes(labels.tolist()))
    copy.edit(DATASETS, base=("BASES = {\n", f"BASES = {{\n    {FASHION}\n"))
    copy.edit(MLP, base=('"mnist"', '"fashion"'))
    copy.run(f"part2_mlp --designs 30 --data-dir {copy.folder / 'data'}")
    assert set(copy.rows("part2_mlp", "")["dataset"]) == {"fashion"}
