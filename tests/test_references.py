"""Every reference leads somewhere: files and headings that code, configuration and pages name, links and anchors of the pages."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from helpers.project import ROOT

FOLDERS = ("dmtl", "stages", "bench", "tests", "docs", "study")
SUFFIXES = (".py", ".sh", ".mjs", ".j2", ".yaml", ".toml", ".md")
MENTION = re.compile(r"(?<![\w./:<>{}*-])((?:[\w.-]+/)*[\w-]+\.md|docs/(?:[\w-]+/)*[\w.-]*\w)\b")
QUOTED = re.compile(r'(docs/[\w/-]+\.md)((?:(?:,| and|, and) "[^"\n]+")+)')
OUTSIDE = re.compile(r"\bdatasets-and-metrics\b")  # facts that were never part of the repository
LINK = re.compile(r"\]\(([^()\s]+)\)")


def faults(root: Path) -> list[str]:
    """What leads nowhere, one line each: `file: reference`."""
    files = repository_files(root)
    return [f"{name}: {fault}" for name in files if is_read(name) for fault in faults_of(root, name, files)]


def repository_files(root: Path) -> frozenset[str]:
    """The files that git has or would take; all there are in a tree without git."""
    if not (root / ".git").exists():
        return frozenset(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return frozenset(name for name in listed if (root / name).is_file())


def is_read(name: str) -> bool:
    """Whether a file's references are followed; this file's are made up."""
    folder, _, _ = name.rpartition("/")
    wanted = name == "Makefile" or name.endswith(SUFFIXES)
    return wanted and name != "tests/test_references.py" and (not folder or folder.split("/")[0] in FOLDERS)


def faults_of(root: Path, name: str, files: frozenset[str]) -> Iterator[str]:
    """The references of one file that lead nowhere."""
    text = (root / name).read_text(encoding="utf-8")
    if name.endswith(".md"):
        yield from (f"link {link}" for link in LINK.findall(prose(text)) if not link_leads(root, name, link, files))
        text = LINK.sub("]", text)
    yield from (mention for mention in MENTION.findall(text) if not is_named(name, mention, files))
    yield from OUTSIDE.findall(text)
    for page, quotes in QUOTED.findall(re.sub(r"\s*\n[ #]*", " ", text)):
        if page in files:
            titles = headings((root / page).read_text(encoding="utf-8"))
            yield from (f'{page}, "{quote}"' for quote in re.findall(r'"([^"]+)"', quotes) if quote not in titles)


def is_named(name: str, mention: str, files: frozenset[str]) -> bool:
    """Whether a mentioned file is there: below the root, beside the mention or, but for pages of docs/, by its last part."""
    beside = (Path(name).parent / mention).as_posix()
    if mention in files or (beside in files and not beside.startswith("docs/")):
        return True
    return any(file.endswith(f"/{mention}") for file in files if not file.startswith("docs/"))


def link_leads(root: Path, name: str, link: str, files: frozenset[str]) -> bool:
    """Whether a link of a page has its file, and there its heading."""
    if re.match(r"[a-z]+:", link):
        return True  # elsewhere
    target, _, anchor = link.partition("#")
    path = (root / name).parent.joinpath(target).resolve() if target else root.resolve() / name
    if not path.is_relative_to(root.resolve()):
        return False
    relative = path.relative_to(root.resolve()).as_posix()
    if relative not in files:
        return not anchor and any(file.startswith(f"{relative}/") for file in files)
    return not anchor or anchor in {slug(title) for title in headings(path.read_text(encoding="utf-8"))}


@cache
def headings(text: str) -> tuple[str, ...]:
    """The headings of a page."""
    return tuple(re.findall(r"^#+ (.+?)\s*$", prose(text), flags=re.M))


def prose(page: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S)


def slug(title: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def test_every_reference_leads_somewhere() -> None:
    assert not faults(ROOT)


def test_references_are_found() -> None:
    """The rules above do see the project's own references."""
    files = [name for name in repository_files(ROOT) if is_read(name)]
    text = "\n".join(re.sub(r"\s*\n[ #]*", " ", (ROOT / name).read_text(encoding="utf-8")) for name in files)
    assert len(MENTION.findall(text)) > 40
    assert QUOTED.search(text)
    assert sum(len(LINK.findall((ROOT / name).read_text(encoding="utf-8"))) for name in files if name.startswith("docs/")) > 20


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree without git in which all references lead somewhere."""
    for folder in ("docs", "dmtl", "reports/demo"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs/page.md").write_text(
        "# A page\n\n## The first part\n\n[up](../README.md#set-up), [here](#the-first-part)\n"
    )
    (tmp_path / "docs/picture.png").write_bytes(b"")
    (tmp_path / "README.md").write_text("# Set-up\n\n![p](docs/picture.png) [docs](docs), [far](https://example.org/a.md)\n")
    (tmp_path / "reports/demo/table1.md").write_text("")
    (tmp_path / "dmtl/code.py").write_text('"""As docs/page.md,\n"The first part" says; writes table1.md and `<task>/x.md`."""\n')
    return tmp_path


def test_a_tree_whose_references_lead_somewhere_has_no_faults(tree: Path) -> None:
    assert faults(tree) == []


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("dmtl/code.py", "# see docs/none.md", "docs/none.md"),
        ("dmtl/code.py", "# see docs/none.png", "docs/none.png"),
        ("dmtl/code.py", "# see models.md 1.2", "models.md"),
        ("dmtl/code.py", "# see page.md", "page.md"),
        ("docs/more.md", "as page.md says", "page.md"),
        ("dmtl/code.py", "# as in datasets-and-metrics 2.1", "datasets-and-metrics"),
        ("dmtl/code.py", '# docs/page.md, "The\n# second part"', 'docs/page.md, "The second part"'),
        ("params.yaml", 'a: 1 # docs/page.md, "The first part" and "None"', 'docs/page.md, "None"'),
        ("README.md", "[a page](docs/none.md)", "link docs/none.md"),
        ("README.md", "[a folder](none/)", "link none/"),
        ("README.md", "[a part](docs/page.md#second)", "link docs/page.md#second"),
        ("README.md", "[a part](#second)", "link #second"),
        ("docs/more.md", "[out of it](../../none.md)", "link ../../none.md"),
        ("Makefile", "# see docs/none.md", "docs/none.md"),
    ],
)
def test_a_reference_to_nothing_is_a_fault(tree: Path, name: str, text: str, fault: str) -> None:
    with (tree / name).open("a", encoding="utf-8") as file:
        file.write(f"\n{text}\n")
    assert faults(tree) == [f"{name}: {fault}"]
