"""The part of the page that shows test images."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from helpers.galleries import SIZES, made_up
from helpers.project import tiny_params, write_project
from PIL import Image

from dmtl.benchmarks import benchmark
from dmtl.config import Project, for_report
from dmtl.evaluation.gallery import COUNT, Gallery
from dmtl.report.gallery import gallery_html, image_scores, load_galleries, relative_difference

TITLES = {"mtl_baseline": "MTL Baseline", "xtc": "XTC*", "diffusion_prediction": "DiffusionMTL (Prediction)"}


def made_up_scores(gallery: Gallery) -> dict:
    rng = np.random.default_rng(len(gallery.about["method"]))
    stages = ("final", "initial") if "diffusion" in gallery.about["method"] else ("final",)
    return {s: {name: {task: float(rng.uniform(1, 90)) for task in gallery.tasks()} for name in gallery.ids} for s in stages}


class _Page(HTMLParser):
    """Every tag with its attributes; refuses what is closed in another order than opened."""

    VOID = ("img", "input", "meta", "link", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def galleries() -> list[Gallery]:
    return [made_up(name, method) for name in SIZES for method in TITLES]


@pytest.fixture(scope="module")
def html(galleries: list[Gallery]) -> str:
    scores = {gallery.about["cell"]: made_up_scores(gallery) for gallery in galleries}
    scores["pascal-onelabel-xtc"]["final"]["2"]["boundary"] = float("nan")
    return gallery_html(galleries, scores, TITLES, "resnet18")


def test_the_part_is_whole_and_needs_no_network(html: str) -> None:
    page = _Page(html)
    assert len(html) < 5_000_000
    assert not re.search(r"(src|href)=\"(?!data:|#)|url\(|https?:|@import", html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {attributes["href"][1:] for attributes in page.all("a")}
    assert targets <= set(ids)
    assert len(targets) == 24


def test_every_picture_is_described_and_every_control_named(html: str) -> None:
    page = _Page(html)
    images = page.all("img")
    stacks = {"pascal": 5, "nyud": 3, "cityscapes": 2}  # tasks; each has a label, 2 + 2 + 4 pictures of the methods
    assert len(images) == sum(COUNT * (1 + tasks * 9) for tasks in stacks.values())
    assert all(image["alt"] for image in images)
    assert sum("error of final" in image["alt"] for image in images) == COUNT * 3 * sum(stacks.values())
    assert html.count("<label>") == sum(tag in ("input", "select") for tag, _ in page.tags)  # each lies in its own
    assert all(header["scope"] in ("col", "row") for header in page.all("th"))


def test_pictures_show_the_maps(galleries: list[Gallery], html: str) -> None:
    """What is lossless on the page is the picture of the map, to the last pixel."""
    uris = {attributes["alt"]: attributes["src"] for attributes in _Page(html).all("img")}
    reference = next(gallery for gallery in galleries if gallery.about["cell"] == "pascal-onelabel-mtl_baseline")
    for task in ("semseg", "human_parts", "saliency", "boundary"):
        about = benchmark("pascal").task(task)
        uri = uris[f"Label, {about.title.lower()}, image 72"]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        np.testing.assert_array_equal(shown, about.kind.picture(about, reference.map("label", task, 7)))
        assert shown.shape == (36, 64, 3)


def test_the_table_compares_two_columns(html: str) -> None:
    page = _Page(html)
    rows = [attributes for attributes in page.all("tr") if "data-task" in attributes]
    assert len(rows) == COUNT * (5 + 3 + 2)
    assert {r["data-task"] for r in rows if "data-lower" in r} == {"depth", "normals"}
    assert page.all("option")[0] == {"value": "0", "selected": None}
    missing = list(re.findall(r"<td class=\"number\"([^>]*)>–</td>", html))
    assert missing == [""]  # the one that is NaN has no value to sort by
    assert relative_difference(50, 60, False) == pytest.approx(100 * 10 / 55)
    assert relative_difference(50, 60, True) == pytest.approx(-100 * 10 / 55)
    assert relative_difference(0, 3, False) == 200
    assert relative_difference(0, 0, True) == 0


def test_equal_galleries_give_equal_pages(galleries: list[Gallery]) -> None:
    few = [gallery for gallery in galleries if gallery.about["benchmark"] == "cityscapes"]
    assert gallery_html(few, {}, TITLES, "resnet18") == gallery_html(few, {}, TITLES, "resnet18")
    assert "<table" not in gallery_html(few, {}, TITLES, "resnet18")  # no scores, no table


def test_without_labels_there_is_nothing_to_show() -> None:
    assert gallery_html([], {}, TITLES, "resnet18") == ""
    assert gallery_html([made_up("nyud", "xtc", 1)], {}, TITLES, "resnet18") == ""


def test_names_are_escaped(galleries: list[Gallery]) -> None:
    hostile = '"><script>alert(1)</script>'
    titles = dict.fromkeys(TITLES, hostile)
    assert "<script>alert" not in gallery_html(galleries[:1], {}, titles, "resnet18")


def test_the_script_is_short_and_stays_inside_its_tag(root: Path) -> None:
    script = (root / "dmtl/report/templates/gallery.js").read_text()
    assert len(script.splitlines()) < 150
    assert "</" not in script


def test_cells_with_a_gallery_are_found_in_order(tmp_path: Path) -> None:
    folder = write_project(tmp_path, tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    project = Project(folder)
    for method in ("diffusion_prediction", "mtl_baseline"):
        made_up("nyud", method, 1).save(project.paths.gallery(f"nyud-onelabel-{method}"))
    assert "nyud-onelabel-mtl_baseline" in grid["cells"]
    found = load_galleries(for_report(project), project.paths)
    assert [gallery.about["method"] for gallery in found] == ["mtl_baseline", "diffusion_prediction"]


def test_scores_are_those_of_each_image_by_itself() -> None:
    """Rows are found by the images' names; an image in which nothing counts has NaN."""
    metric = SimpleNamespace(scores=lambda totals: {"abs_error": totals[..., 0] / totals[..., 1], "rmse": totals[..., 0]})
    table = np.array([[6.0, 3.0], [8.0, 2.0], [0.0, 0.0]])
    statistics = SimpleNamespace(
        ids=np.array(["x", "y", "z", "w"]),
        index=np.array([0, 2, 3]),
        tables={"final": {"depth": table}},
        metrics=lambda: {"depth": metric},
    )
    with np.errstate(invalid="ignore"):
        found = image_scores(statistics, ["w", "z", "x"])  # type: ignore[arg-type]
    assert {name: value["depth"] for name, value in found["final"].items()} == pytest.approx(
        {"w": np.nan, "z": 4, "x": 2}, nan_ok=True
    )


PROBE = """
<script>
const one = (selector) => document.querySelector(selector), said = {};
const part = one(".benchmark"), slider = one("[data-slider]"), image = slider.closest("details");
const seen = () => [...image.querySelectorAll(".strip .panel:last-child .stack .picture")]
  .filter((picture) => picture.getAttribute("aria-hidden") !== "true")
  .map((picture) => picture.dataset.stage + "@" + picture.style.opacity);
const rows = () => [...part.querySelectorAll("tbody tr")].filter((row) => !row.hidden);
said.start = seen().slice(0, 1);
slider.value = 0.5; slider.dispatchEvent(new Event("input"));
said.between = seen().slice(0, 2); said.text = slider.getAttribute("aria-valuetext");
image.querySelectorAll("[data-stop]")[1].click();
said.stop = seen().slice(0, 1); said.pressed = image.querySelector("[aria-pressed=true]").textContent;
said.once = image.querySelector(".panel .stack .seen").dataset.stage;
one(".frame").click();
said.zoom = one("#images").style.getPropertyValue("--zoom");
part.querySelector("[data-most]").click();
said.shares = rows().map((row) => Number(row.lastElementChild.dataset.value));
said.shown = rows().map((row) => row.lastElementChild.textContent);
said.sorted = part.querySelector("[aria-sort]").textContent;
part.querySelectorAll("thead button")[0].click();
said.names = rows().map((row) => row.cells[0].textContent);
const pick = part.querySelector("[data-pick=task]"); pick.value = "depth"; pick.dispatchEvent(new Event("change"));
said.filtered = [...new Set(rows().map((row) => row.dataset.task))];
const b = part.querySelector("[data-pick=b]"); b.value = "0"; b.dispatchEvent(new Event("change"));
said.same = [...new Set(rows().map((row) => row.lastElementChild.textContent))];
part.querySelector("tbody tr:last-child a").click();
said.opened = part.querySelectorAll("details.image[open]").length;
document.body.innerHTML = "<pre>SAID" + JSON.stringify(said) + "</pre>";
</script>
"""


def test_the_controls_work_in_a_browser(html: str, tmp_path: Path) -> None:
    """Slider, zoom, sorting, comparing and links, in a real browser."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    (tmp_path / "page.html").write_text(f"<!DOCTYPE html><html><body>{html}{PROBE}</body></html>")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    done = subprocess.run([browser, *options, (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=120)
    said = json.loads(re.search(r"SAID(\{.*\})", done.stdout)[1])  # type: ignore[index]
    assert said["start"] == ["final@1"]
    assert said["between"] == ["label@1", "initial@0.5"]
    assert said["text"] == "50 % label, 50 % initial"
    assert (said["stop"], said["pressed"], said["once"]) == (["initial@1"], "initial", "final")
    assert said["zoom"] == "4"
    sizes = [abs(share) for share in said["shares"]]
    assert len(sizes) == 24
    assert sizes == sorted(sizes, reverse=True)
    assert [float(text.replace("−", "-")) for text in said["shown"]] == pytest.approx(said["shares"], abs=0.051)
    assert said["sorted"].startswith("B better than A")
    assert said["names"] == [str(10 * k + 2) for k in range(8) for _ in range(3)]
    assert said["filtered"] == ["depth"]
    assert said["same"] == ["+0.0"]
    assert said["opened"] == 2
