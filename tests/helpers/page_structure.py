"""What every page must be for keyboards, screen readers and no network, told from its HTML alone."""

import re
from html.parser import HTMLParser

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
VOID = frozenset({"meta", "link", "br", "img", "hr", "input", "path", "use", "rect", "circle", "line"})
LOADING = ("src", "srcset", "poster", "data")  # attributes whose addresses a browser fetches; href only on link


class _Structure(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.problems: list[str] = []
        self.open: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.levels: list[int] = []
        self.captioned: list[bool] = []  # of the tables that are open
        self.style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        where = self.getpos()[0]

        def fails(condition: bool, text: str) -> None:
            if condition:
                self.problems.append(f"line {where}: {text}")

        self.ids += [values["id"]] if values.get("id") else []
        self.targets += [values["href"][1:]] if tag == "a" and (values.get("href") or "").startswith("#") else []  # type: ignore[index]
        fetched = [values.get(name) for name in (*LOADING, *(["href"] if tag == "link" else []))]
        fails(any(address and not address.startswith("data:") for address in fetched), f"<{tag}> fetches something")
        fails(tag == "img" and not values.get("alt"), "img without alt")
        fails(tag == "style" and "head" not in self.open, "style outside head")
        fails("url(" in (values.get("style") or ""), "an inline style fetches something")
        fails(tag == "th" and values.get("scope") not in ("col", "row"), "th without scope")
        fails(int(values.get("tabindex") or 0) > 0, "a tabindex that changes the order")
        fails("scroll" in (values.get("class") or "").split() and values.get("tabindex") != "0", "scrolls by mouse alone")
        fails(tag in ("input", "select") and "label" not in self.open and not values.get("aria-label"), f"{tag} without a label")
        if tag in HEADINGS:
            level = int(tag[1])
            fails(level > (self.levels[-1] if self.levels else 0) + 1, f"{tag} after h{self.levels[-1] if self.levels else 0}")
            self.levels.append(level)
        if tag == "table":
            self.captioned.append(False)
        if tag == "caption":
            self.captioned[-1] = True
        if tag not in VOID:
            self.open.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style" and re.search(r"@import|url\(", data):
            self.problems.append(f"line {self.getpos()[0]}: the style fetches something")

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"line {self.getpos()[0]}: </{tag}> closes nothing")
        if tag == "table" and not self.captioned.pop():
            self.problems.append(f"line {self.getpos()[0]}: table without caption")


def problems(html: str) -> list[str]:
    """What is wrong with a whole page, each with its line; empty where nothing is."""
    page = _Structure()
    page.feed(html)
    found = page.problems
    found += [f"<{tag}> is not closed" for tag in page.open]
    found += [f"id {name} stands {page.ids.count(name)} times" for name in dict.fromkeys(page.ids) if page.ids.count(name) > 1]
    found += [f"nothing has the id {name}" for name in page.targets if name not in page.ids]
    found += [] if page.levels.count(1) == 1 else [f"{page.levels.count(1)} h1"]
    found += [] if re.search(r"<html[^>]* lang=", html) else ["no language"]
    return found
