"""Part 1: what do more convolutional layers do for the tutorial's network?

python part1_explore_depth.py                            7, 9, 11, 13 layers
python part1_explore_depth.py --recipe tutorial-kaiming  Kaiming initialisation
python part1_explore_depth.py --recipe tutorial-long     20 epochs instead of 2
python part1_explore_depth.py --c1 12 --c3 28            a wider baseline

With two epochs, more layers are worse: 7 layers reach 54.72 %, 9 layers
47.75 %; of 11 layers 4 of 10 seeds learn, of 13 none. Depth plus PyTorch's
default initialisation causes this. With the recipe tuned, 11 layers (77.69 %)
are better than 7 (75.88 %).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration
from common.experiment import Experiment, Tables
from common.models.networks import DEPTHS, cifar_design
from common.plots.accuracy import accuracy_by_design
from common.plots.factors import accuracy_by_size


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the depth."""
    args = exploration.parser(__doc__).parse_args(argv)
    network = exploration.baseline(args)
    designs = [cifar_design(str(layers), **{**network, "layers": layers}) for layers in DEPTHS]
    baseline = str(network["layers"])
    return exploration.experiment(Path(__file__).stem, args, designs, baseline).run(report)


def report(lab: Experiment, tables: Tables) -> None:
    """Compare the depths, and draw."""
    lab.compare(tables)
    lab.figure("accuracy", accuracy_by_design(tables.runs, lab.baseline))
    exploration.figure_of_curves(lab, tables)
    if not tables.converged.empty:
        lab.figure("size", accuracy_by_size(tables.converged, ["layers"]))
    exploration.figure_of_signals(lab, tables)


if __name__ == "__main__":
    sys.exit(main())
