"""Check the Markdown: `python check_docs.py [ROOT]` exits with 1 and says what leads nowhere.

Every relative link resolves, to the heading too where it names one, and every block marked `python`
compiles. Links to other sites are theirs to keep.
"""

from __future__ import annotations

import ast
import re
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

FENCE = re.compile(
    r"^([ ]*)(`{3,}|~{3,})([^\n]*)\n(.*?)^[ ]*\2[`~]*[ ]*$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*#*$", re.MULTILINE)


def problems(root: Path) -> Iterator[str]:
    """Yield `file: what is wrong` for every Markdown file below `root`."""
    for page in sorted(root.rglob("*.md")):
        parts = page.relative_to(root).parts
        if any(part.startswith(".") and part != ".github" for part in parts):
            continue
        text = page.read_text(encoding="utf-8")
        for problem in (*_broken_links(page, FENCE.sub("", text)), *_broken_examples(text)):
            yield f"{page.relative_to(root)}: {problem}"


def _broken_links(page: Path, prose: str) -> Iterator[str]:
    prose = re.sub(r"`[^`\n]+`", "", prose)  # code spans show links, they are none
    for inside, reference in LINK.findall(prose):
        link = unquote(inside or reference)
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists():
            yield f"{link} leads nowhere"
        elif anchor and target.suffix == ".md" and anchor not in _anchors(target):
            yield f"{link} names no heading of {target.name}"


def _anchors(page: Path) -> set[str]:
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _broken_examples(text: str) -> Iterator[str]:
    for _, _, language, code in FENCE.findall(text):
        if language.split()[:1] != ["python"]:
            continue
        try:
            compile(textwrap.dedent(code), "example", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        except SyntaxError as exc:
            yield f"an example does not compile: {exc.msg}: {(exc.text or '').strip()}"


if __name__ == "__main__":
    complaints = list(problems(Path(*sys.argv[1:])))
    print(*complaints or ["links and examples are sound"], sep="\n")
    sys.exit(bool(complaints))
