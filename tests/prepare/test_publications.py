"""What is published where: benchmarks, label masks and weights, downloaded and checked."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.server import CONTENT, SHA256

from dmtl.benchmarks import all_benchmarks, benchmark, nyud
from dmtl.benchmarks.benchmark import Publication
from dmtl.errors import UserError
from dmtl.prepare import publications
from dmtl.prepare.publications import get, get_benchmark

pytestmark = pytest.mark.usefixtures("local_host_is_known")


@pytest.fixture
def published(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """NYUD's archive on that server, a zip as Dropbox makes it."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "made.zip", "w") as packed:
        packed.writestr("/", b"")
        for name in ("train/image/0.npy", "val/image/0.npy"):
            packed.writestr(f"nyuv2/{name}", b"0")
    server.files["/nyuv2.zip"] = (tmp_path / "made.zip").read_bytes()
    archive = Publication("nyud/nyuv2.zip", f"{server.url}/nyuv2.zip")
    monkeypatch.setattr(nyud, "BENCHMARK", replace(nyud.BENCHMARK, archive=archive))
    return server


def test_a_benchmark_is_downloaded_and_unpacked_once(published: Any, tmp_path: Path) -> None:
    folder = get_benchmark(tmp_path / "downloads", benchmark("nyud"))
    assert folder == tmp_path / "downloads" / "nyud" / "tree" / "nyuv2"
    assert (folder / "train/image/0.npy").read_bytes() == b"0"
    assert get_benchmark(tmp_path / "downloads", benchmark("nyud")) == folder
    assert len(published.seen) == 1


def test_archives_put_there_by_hand_are_taken(published: Any, tmp_path: Path) -> None:
    folder = tmp_path / "downloads" / "pascal"
    folder.mkdir(parents=True)
    with pytest.raises(UserError, match=r"pascal cannot be downloaded: 'python -m dmtl data' says what to do; its archive"):
        get_benchmark(tmp_path / "downloads", benchmark("pascal"))
    (folder / "under another name.zip").write_bytes((tmp_path / "made.zip").read_bytes())
    assert (get_benchmark(tmp_path / "downloads", benchmark("pascal")) / "train/image/0.npy").is_file()
    assert published.seen == []


def test_a_primary_source_put_there_by_hand_is_taken(published: Any, tmp_path: Path) -> None:
    (tmp_path / "nyud").mkdir()
    (tmp_path / "nyud" / "nyu_depth_v2_labeled.mat").touch()
    assert get_benchmark(tmp_path, benchmark("nyud")) == tmp_path / "nyud"
    assert published.seen == []


def test_the_primary_source_is_downloaded(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat")
    primary = nyud.BENCHMARK.further["nyud-primary"]
    assert {Path(f.name).name for f in primary} == set(names)
    moved = tuple(Publication(f.name, f"{server.url}/file.zip") for f in primary)
    monkeypatch.setattr(nyud, "BENCHMARK", replace(nyud.BENCHMARK, further={"nyud-primary": moved}))
    get(tmp_path, "nyud-primary")
    assert get_benchmark(tmp_path, benchmark("nyud")) == tmp_path / "nyud"
    assert {p.name for p in (tmp_path / "nyud").glob("*.mat")} == set(names)


def test_the_published_mappings_have_the_checksums_that_are_expected(shared_data: Path) -> None:
    for published in all_benchmarks():
        for file in published.masks.files if published.masks else ():
            path = shared_data / "xtc_mappings" / "original" / published.name / Path(file.name).name
            assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
            assert path.stat().st_size == file.size


def test_mappings_are_downloaded_and_checked(
    server: Any, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = shared_data / "xtc_mappings" / "original" / "nyud"
    for setting in ("onelabel", "randomlabels"):
        server.files[f"/{setting}.pth"] = (original / f"{setting}.pth").read_bytes()
    moved = tuple(replace(f, url=f"{server.url}/{Path(f.name).name}") for f in nyud.MASKS.files)
    only = replace(nyud.BENCHMARK, masks=replace(nyud.MASKS, files=moved))
    monkeypatch.setattr(publications, "all_benchmarks", lambda: [only])
    get(tmp_path, "mappings")
    assert sorted(p.name for p in (tmp_path / "mappings/nyuv2_settings").glob("*.pth")) == ["onelabel.pth", "randomlabels.pth"]
    (tmp_path / "mappings/nyuv2_settings/onelabel.pth").unlink()
    server.files["/onelabel.pth"] = server.files["/randomlabels.pth"]
    with pytest.raises(UserError, match=r"onelabel\.pth: what came has another SHA-256"):
        get(tmp_path, "mappings")


def test_weights_are_those_of_torchvision() -> None:
    torchvision = pytest.importorskip("torchvision")
    for backbone, publication in publications.WEIGHTS.items():
        weights = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
        assert publication.url == weights.url
        assert publication.name == f"{backbone}-{publication.sha256}.pth"
        assert publication.size / 2**20 == pytest.approx(weights.meta["_file_size"], abs=1e-2)  # type: ignore[operator]


def test_weights_go_where_torchvision_looks(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(publications, "WEIGHTS", {"resnet18": Publication("r.pth", f"{server.url}/file.zip", None, SHA256[:8])})
    get(tmp_path / "unused", "weights")
    assert (tmp_path / "hub" / "checkpoints" / "r.pth").read_bytes() == CONTENT


def test_an_unknown_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing is known of 'nyd'; did you mean 'nyud'"):
        get(tmp_path, "nyd")
