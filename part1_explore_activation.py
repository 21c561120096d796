"""Part 1: what does the activation function do for the tutorial's network?

python part1_explore_activation.py        ReLU, sigmoid and tanh
python part1_explore_activation.py --all  also LeakyReLU, ELU, GELU, SiLU

With two epochs, ELU (57.90 %) is better than ReLU (54.72 %), and sigmoid
learns nothing (10.00 %). Tanh, LeakyReLU, GELU and SiLU do not differ
significantly from ReLU. With the recipe tuned, ReLU (75.88 %) is better than
tanh (73.31 %) and sigmoid (58.67 %).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration
from common.experiment import Experiment, Tables
from common.models.networks import ACTIVATIONS, cifar_design
from common.plots.accuracy import accuracy_by_design

LAB = ["relu", "sigmoid", "tanh"]


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the activation."""
    parser = exploration.parser(__doc__)
    parser.add_argument("--all", action="store_true", help="also newer activations")
    args = parser.parse_args(argv)
    network = exploration.baseline(args)
    baseline = network["activation"]
    names = list(ACTIVATIONS) if args.all else list(dict.fromkeys([*LAB, baseline]))
    designs = [cifar_design(name, **{**network, "activation": name}) for name in names]
    labels = ["all"] if args.all else []
    lab = exploration.experiment(Path(__file__).stem, args, designs, baseline, *labels)
    return lab.run(report)


def report(lab: Experiment, tables: Tables) -> None:
    """Compare the activations, and draw."""
    lab.compare(tables)
    lab.figure("accuracy", accuracy_by_design(tables.runs, lab.baseline))
    exploration.figure_of_curves(lab, tables)
    exploration.figure_of_signals(lab, tables)


if __name__ == "__main__":
    sys.exit(main())
