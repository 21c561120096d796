"""Part 1: what do more feature maps do for the tutorial's network?

python part1_explore_featuremaps.py         7 designs, 3 seeds
python part1_explore_featuremaps.py --grid  all 16 combinations

Measured on CIFAR-10's test set (torch 2.15.0+cu132, one thread of an AMD EPYC,
cpu AVX512):

    recipe    design   n  accuracy  95 % interval   test loss
    tutorial  6-16     3  55.14 %  51.15 to 59.13  1.2595
    tutorial  8-16     3  55.74 %  52.56 to 58.93  1.2402
    tutorial  10-16    3  55.32 %  54.30 to 56.34  1.2507
    tutorial  12-16    3  57.45 %  53.93 to 60.96  1.1969
    tutorial  6-20     3  53.67 %  50.17 to 57.17  1.2906
    tutorial  6-24     3  56.36 %  55.61 to 57.11  1.2277
    tutorial  6-28     3  56.89 %  56.42 to 57.35  1.2100

So at the tutorial's budget three seeds show no difference between any of these
and 6-16: the seeds of one design lie nearly as far apart as the means of all.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from common import cli, exploration
from common.models import cifar_design

EXPERIMENT = Path(__file__).stem
C1, C3 = (exploration.FACTORS[name].levels for name in ("C1 maps", "C3 maps"))


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Explore the feature maps."""
    parser = exploration.parser(__doc__)
    parser.add_argument("--grid", action="store_true", help="all combinations of C1 and C3")
    options = exploration.parse(parser, argv)
    baseline = (options.c1, options.c3)
    if options.grid:
        pairs = {(c1, c3) for c1 in C1 for c3 in C3}
        options.label += "-grid"
    else:
        pairs = {(c1, options.c3) for c1 in C1} | {(options.c1, c3) for c3 in C3}
    designs = [
        cifar_design(f"{c1}-{c3}", c1, c3, options.layers, options.activation)
        for c1, c3 in sorted(pairs | {baseline})
    ]
    return exploration.explore(EXPERIMENT, parser, options, designs, "{}-{}".format(*baseline))


if __name__ == "__main__":
    sys.exit(main())
