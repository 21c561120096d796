"""Part 1: what does the activation function do for the tutorial's network?

python part1_explore_activation.py        ReLU, sigmoid and tanh, 3 seeds
python part1_explore_activation.py --all  and LeakyReLU, ELU, GELU, SiLU

Measured on CIFAR-10's test set (torch 2.15.0+cu132, one thread of an AMD EPYC,
cpu AVX512):

    recipe            design       n  accuracy  95 % interval   test loss
    tutorial          relu        10  54.72 %  53.87 to 55.56  1.2709
    tutorial          sigmoid     10  10.00 %  10.00 to 10.00  2.3080
    tutorial          tanh        10  54.90 %  54.39 to 55.42  1.2659
    tutorial          leaky-relu  10  55.10 %  54.14 to 56.06  1.2596
    tutorial          elu         10  57.90 %  57.17 to 58.62  1.1788
    tutorial          gelu        10  54.73 %  54.08 to 55.39  1.2655
    tutorial          silu        10  53.92 %  52.79 to 55.05  1.2803
    tutorial-long     relu         3  61.76 %  58.86 to 64.66  1.3274
    tutorial-long     sigmoid      3  41.55 %  21.36 to 61.75  1.5441
    tutorial-long     tanh         3  58.70 %  55.76 to 61.64  1.3717
    tutorial-kaiming  relu        10  54.27 %  53.37 to 55.16  1.2808
    tutorial-kaiming  sigmoid     10  30.10 %  29.59 to 30.62  1.8997
    tutorial-kaiming  tanh        10  54.59 %  53.82 to 55.36  1.2679
    tuned             relu         3  75.88 %  74.72 to 77.05  0.7009
    tuned             sigmoid      3  58.67 %  57.46 to 59.88  1.1600
    tuned             tanh         3  73.31 %  72.05 to 74.57  0.7610
    tuned             leaky-relu   3  75.87 %  74.62 to 77.12  0.7024
    tuned             elu          3  76.84 %  76.23 to 77.45  0.6707
    tuned             gelu         3  76.34 %  76.13 to 76.55  0.6877
    tuned             silu         3  75.92 %  74.33 to 77.52  0.7032

So at the tutorial's budget ELU is better than ReLU by 3.2 points, tanh,
LeakyReLU, GELU and SiLU are not shown to differ from it, and sigmoid learns
nothing, or from Kaiming's first weights a little. In ten times as many epochs
it begins to. Trained properly, ReLU is better than tanh by 2.6 points, and
than sigmoid by 17; of ELU's lead one point is left, not shown to be one.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration, factors
from common.models.networks import ACTIVATIONS, cifar_design

EXPERIMENT = Path(__file__).stem


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the activation."""
    parser = exploration.parser(__doc__)
    parser.add_argument("--all", action="store_true", help="modern activations too")
    options = exploration.parse(parser, argv)
    names = factors.FACTORS["activation"].levels
    if options.all:
        names = list(ACTIVATIONS)
        options.label += "-all"
    if options.activation not in names:
        names = [*names, options.activation]
    designs = [cifar_design(name, options.c1, options.c3, options.layers, name) for name in names]
    return exploration.explore(EXPERIMENT, parser, options, designs, options.activation)


if __name__ == "__main__":
    sys.exit(main())
