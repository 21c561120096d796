"""Write REPORT.md: all its measured numbers come from the result files.

python -m common.report            write REPORT.md
python -m common.report --check    compare REPORT.md with the results, write nothing

The template is common/report/report.md.jinja.
"""

import sys
from collections.abc import Sequence

from common import ROOT, LabError, cli
from common.report.fill import TEMPLATE, fill
from common.results.files import replacing

REPORT = ROOT / "REPORT.md"


@cli.command
def main(argv: Sequence[str] | None = None) -> int:
    """Write the report, or check it; LabError if a sentence or, with --check, the file is wrong."""
    parser = cli.Parser(__doc__)
    parser.prog = "python -m common.report"
    check_help = "fail if REPORT.md differs from the results; write nothing"
    parser.add_argument("--check", action="store_true", help=check_help)
    args = parser.parse_args(argv)
    text = fill(ROOT / "results", TEMPLATE.read_text(encoding="utf-8"))
    if not args.check:
        with replacing(REPORT) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        print(f"report:  {REPORT.name}")
    elif not REPORT.exists() or REPORT.read_text(encoding="utf-8") != text:
        raise LabError(f"{REPORT.name} differs from the results: run python -m common.report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
