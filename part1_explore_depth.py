"""Part 1: what do more convolutional layers do for the tutorial's network?

python part1_explore_depth.py                            7 to 13 layers
python part1_explore_depth.py --recipe tutorial-kaiming  Kaiming's weights
python part1_explore_depth.py --recipe tutorial-long     20 epochs for 2
python part1_explore_depth.py --c1 12 --c3 28            of a wider network

Measured on CIFAR-10's test set (torch 2.15.0+cu132, one thread of an AMD EPYC,
cpu AVX512):

    recipe            design          n  accuracy  95 % interval   test loss
    tutorial          7              10  54.72 %  53.87 to 55.56  1.2709
    tutorial          9              10  47.75 %  45.95 to 49.56  1.4233
    tutorial          11             10  19.34 %  10.29 to 28.39  2.1009
    tutorial          13             10  10.00 %  10.00 to 10.00  2.3032
    tutorial-long     7               3  61.76 %  58.86 to 64.66  1.3274
    tutorial-long     9               3  63.05 %  60.32 to 65.77  1.1514
    tutorial-long     11              3  63.12 %  61.35 to 64.90  1.0996
    tutorial-long     13              3  10.00 %  10.00 to 10.00  2.3030
    tutorial-kaiming  7              10  54.27 %  53.37 to 55.16  1.2808
    tutorial-kaiming  9              10  51.85 %  50.85 to 52.85  1.3323
    tutorial-kaiming  11             10  49.23 %  48.50 to 49.97  1.3972
    tutorial-kaiming  13             10  46.05 %  44.63 to 47.48  1.4807
    tuned             7               3  75.88 %  74.72 to 77.05  0.7009
    tuned             9               3  77.21 %  76.62 to 77.80  0.6623
    tuned             11              3  77.69 %  77.25 to 78.14  0.6457
    tuned             13              3  76.73 %  75.64 to 77.81  0.6632
    tuned             12-28-11-gelu   3  83.43 %  82.18 to 84.67  0.4859

So at the tutorial's budget, from PyTorch's own first weights, more layers are
worse: 4 of the 10 seeds of 11 layers learn something, of 13 none. It is these
weights together with depth that do it, as Kaiming's show; in ten times as many
epochs 9 and 11 layers catch up, 13 still learn nothing. Trained properly, 9
and 11 layers are better than 7, by a point or two; 11 layers of more maps (C1
12, C3 28) with GELU are the best combination tried so far.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration, factors
from common.models.networks import cifar_design

EXPERIMENT = Path(__file__).stem


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the depth."""
    parser = exploration.parser(__doc__)
    options = exploration.parse(parser, argv)
    designs = [
        cifar_design(str(layers), options.c1, options.c3, layers, options.activation)
        for layers in factors.FACTORS["layers"].levels
    ]
    return exploration.explore(EXPERIMENT, parser, options, designs, str(options.layers))


if __name__ == "__main__":
    sys.exit(main())
