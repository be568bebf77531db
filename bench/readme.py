"""Writes the README's table of verdicts anew from the study's report: `python bench/readme.py`. A test holds them equal."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- verdicts: written by bench/readme.py -->\n", "<!-- end of verdicts -->"


def verdicts(claims: str) -> str:
    """The first two columns of the first table of claims.md: each claim and its verdict."""
    rows = re.findall(r"^\| (\([a-z]\) [^|]+) \| (\*\*[^|]+\*\*) \|", claims, re.M)
    return "\n".join(["| claim | verdict |", "|---|---|", *(f"| {claim} | {verdict} |" for claim, verdict in rows)]) + "\n"


def with_verdicts(readme: str, table: str) -> str:
    """The README with that table between its two marks."""
    before, _, rest = readme.partition(BEGIN)
    _, mark, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{mark}{after}"


if __name__ == "__main__":
    path = ROOT / "README.md"
    table = verdicts((ROOT / "study" / "reports" / "study" / "claims.md").read_text(encoding="utf-8"))
    path.write_text(with_verdicts(path.read_text(encoding="utf-8"), table), encoding="utf-8")
