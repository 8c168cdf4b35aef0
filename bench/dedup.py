"""Run the duplicate benchmarks in sequence: ingest, search, detection quality.

    python bench/dedup.py ../photographs/labels.csv

Runs bench/ingest.py, bench/search.py and bench/dedup_quality.py with their defaults; each can be run alone, with options.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Run the benchmarks; each prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="CSV with columns path,label; paths relative to its folder")
    labels = parser.parse_args().labels
    for part, arguments in (("ingest", [labels.parent]), ("search", []), ("dedup_quality", [labels])):
        print(f"\n## {part}\n", flush=True)
        subprocess.run([sys.executable, Path(__file__).with_name(f"{part}.py"), *arguments], check=True)


if __name__ == "__main__":
    main()
