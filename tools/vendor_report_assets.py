"""Build what the report inlines and is not ours: KaTeX and three typefaces, from npm, pinned by version and hash.

    python tools/vendor_report_assets.py            # fetches with `npm pack` into a temporary folder
    python tools/vendor_report_assets.py --from DIR # takes the .tgz files that lie there

Writes into src/redink/report/assets: `katex.js` (as published), `katex.css` (only its woff2 fonts, inlined as data:),
`fonts.css` (the same for the typefaces), and each licence as `LICENSE.<name>`. Nothing is changed but the addresses of
fonts; run it again after a change here, and commit what it writes.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

ASSETS = Path(__file__).parents[1] / "src" / "redink" / "report" / "assets"
LATIN = (
    "U+0000-00FF,U+0131,U+0152-0153,U+02BB-02BC,U+02C6,U+02DA,U+02DC,U+2000-206F,U+20AC,U+2122,U+2191,U+2193,"
    "U+2212,U+2215"
)


class Package(NamedTuple):
    """A package of the npm registry; `sha256` is that of its .tgz."""

    name: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.name.lstrip('@').replace('/', '-')}-{self.version}.tgz"


class Face(NamedTuple):
    """One font file of a typeface."""

    package: str
    file: str
    family: str
    style: str
    weight: str


PACKAGES = {
    "katex": Package("katex", "0.19.1", "24da5a599eb2fcede2e270b99a6ff48bca816beecc95feeb84e8cccbd1bb34fd"),
    "serif": Package(
        "@fontsource-variable/source-serif-4",
        "5.3.1",
        "8c452853c74be1e43e9fbfe76321c26f4678a2d431e93209ff1d9faec03fd96f",
    ),
    "sans": Package(
        "@fontsource-variable/source-sans-3",
        "5.3.0",
        "115c2d5a38a05d52c77ba02e4d939644bae30585a30a2e4657a3be2c99d5c7dc",
    ),
    "hand": Package("@fontsource/caveat", "5.3.0", "ebf746fc0667b9d10fcac7c8604e2ba40a264da85a1c9b48bd679c0af3221293"),
}
FACES = (
    Face("serif", "source-serif-4-latin-wght-normal.woff2", "Redink Serif", "normal", "200 900"),
    Face("serif", "source-serif-4-latin-wght-italic.woff2", "Redink Serif", "italic", "200 900"),
    Face("sans", "source-sans-3-latin-wght-normal.woff2", "Redink Sans", "normal", "200 900"),
    Face("hand", "caveat-latin-600-normal.woff2", "Redink Hand", "normal", "600"),
)


def fetch(package: Package, folder: Path) -> Path:
    """The package's archive, checked."""
    path = folder / package.file
    if not path.exists():
        subprocess.run(["npm", "pack", f"{package.name}@{package.version}", "--silent"], cwd=folder, check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        raise SystemExit(f"{path.name}: sha256 is {found}, expected {package.sha256}")
    return path


def read(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as opened:
        file = opened.extractfile(f"package/{member}")
        assert file is not None, member
        return file.read()


def data_url(font: bytes) -> str:
    return f"url(data:font/woff2;base64,{base64.b64encode(font).decode()}) format('woff2')"


def katex_css(archive: Path) -> str:
    """KaTeX's style sheet with its woff2 fonts inlined and the older formats left out."""
    css = read(archive, "dist/katex.min.css").decode()

    def inlined(match: re.Match[str]) -> str:
        return f"src:{data_url(read(archive, f'dist/fonts/{match[1]}'))}"

    css, count = re.subn(r'src:url\(fonts/([\w-]+\.woff2)\) format\("woff2"\)[^}]*', inlined, css)
    assert count and "url(fonts/" not in css, "the style sheet of KaTeX looks otherwise than expected"
    return css


def font_css(face: Face, archive: Path) -> str:
    source = data_url(read(archive, f"files/{face.file}"))
    return (
        f"@font-face{{font-family:'{face.family}';font-style:{face.style};font-weight:{face.weight};"
        f"font-display:block;src:{source};unicode-range:{LATIN}}}\n"
    )


def build(folder: Path) -> None:
    archives = {key: fetch(package, folder) for key, package in PACKAGES.items()}
    ASSETS.mkdir(parents=True, exist_ok=True)
    (ASSETS / "katex.js").write_bytes(read(archives["katex"], "dist/katex.min.js"))
    (ASSETS / "katex.css").write_text(katex_css(archives["katex"]), "utf-8")
    (ASSETS / "fonts.css").write_text("".join(font_css(face, archives[face.package]) for face in FACES), "utf-8")
    for key, archive in archives.items():
        (ASSETS / f"LICENSE.{PACKAGES[key].name.rpartition('/')[2]}").write_bytes(read(archive, "LICENSE"))
    for path in sorted(ASSETS.iterdir()):
        print(f"{path.stat().st_size:>9,} {path.name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--from", dest="folder", type=Path, help="Where the .tgz files lie.")
    given = parser.parse_args().folder
    if given:
        build(given)
        return
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))


if __name__ == "__main__":
    main()
