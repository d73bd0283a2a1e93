"""Take the README's two screenshots of a run's report, in the browser that the tests drive (Debian's `chromium`).

python tools/report_screenshots.py runs/demo [--out docs/images]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from redink.report.building import write_report

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser import Browser

WIDTH, HEIGHT = 1280, 860
MARKED = "#work=1&set=evaluation&model=cross_dpo&outcome=located"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        page = write_report(given.run, Path(folder) / "report.html").path.as_uri()
        browser.size(WIDTH, HEIGHT)
        browser.open(page)
        browser.picture(given.out / "report-figures.png")
        browser.open(f"{page}{MARKED}")
        browser.until("document.querySelector('.sheet')")
        browser.picture(given.out / "report-marked-work.png")


if __name__ == "__main__":
    main()
