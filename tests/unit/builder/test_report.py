"""Where size and time went: the numbers, the drawings, the page."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mailimg import cli, manifest
from mailimg.report import drawing, timeline, treemap
from mailimg.report.figures import Figures, figures, size_words, time_words
from mailimg.report.page import render

MIB = 1024**2
NAMES = ("distribution", "base", "mta", "mx", "role")


def hook(name: str, start: float, seconds: float) -> dict[str, Any]:
    return {"phase": "install", "hook": name, "start": start, "seconds": seconds}


def package(name: str, mib: float, layer: str) -> dict[str, Any]:
    return {"name": name, "version": "1", "size_kib": int(mib * 1024), "layer": layer}


def document(**more: Any) -> dict[str, Any]:
    """A manifest, as far as the report reads it: five layers, the first two reused."""
    trees = (100, 150, 190, 180, 181)
    layers = [
        {
            "name": name,
            "identity": f"{number}" * 64,
            "reused": number < 2,
            "tree_bytes": trees[number] * MIB,
            "seconds": 10.0 + number,
            "hooks": [hook("10-first", 0.5, 2.0), hook("50-long-name-of-a-hook", 3.0, 6.0)],
        }
        for number, name in enumerate(NAMES)
    ]
    packages = [package("libc6:amd64", 40, "distribution"), package("bash", 80, "distribution")]
    packages += [package(f"small{number}", 0.2, "base") for number in range(50)]
    packages += [package("postfix", 30, "mta"), package("virtual", 0, "mta"), package("clamav", 30, "mx")]
    return {
        "schema": manifest.SCHEMA,
        "role": "mx",
        "distro": "debian-12",
        "identity": "ab" * 32,
        "image": {"file": "mx-debian-12.qcow2", "bytes": 60 * MIB, "tree_bytes": 181 * MIB,
                  "virtual_bytes": 8 * 1024 * MIB},
        "layers": layers,
        "seconds": {"layers": 37.0, "disk": 3.0, "image": 20.0},
        "packages": packages,
        **more,
    }


@pytest.fixture
def found() -> Figures:
    return figures(document())


def test_figures(found: Figures) -> None:
    assert found.took == 60.0
    assert found.from_nothing == 10 + 11 + 12 + 13 + 14 + 23
    assert [layer.added for layer in found.layers] == [100 * MIB, 50 * MIB, 40 * MIB, -10 * MIB, MIB]
    assert [layer.other_bytes // MIB for layer in found.layers] == [0, 40, 10, 0, 1]
    assert [one.name for one in found.packages[:3]] == ["bash", "libc6:amd64", "clamav"]
    assert [one.hook for one in found.hooks[:2]] == ["50-long-name-of-a-hook"] * 2
    assert sum(len(layer.packages) for layer in found.layers) == len(document()["packages"])


def test_layer_that_nobody_knows_any_more() -> None:
    base = document()
    base["layers"][1] |= {"tree_bytes": None, "seconds": None, "hooks": []}
    found = figures(base)
    assert [layer.added for layer in found.layers][:3] == [100 * MIB, None, None]
    assert found.layers[1].seconds is None
    assert "unknown" in render([found], "1")


@pytest.mark.parametrize(
    ("size", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (34 * 1024, "34 KiB"), (521.3 * MIB, "521 MiB"),
     (8 * 1024 * MIB, "8.0 GiB"), (-10 * MIB, "-10 MiB")],
)  # fmt: skip
def test_sizes_have_units(size: float, words: str) -> None:
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0.04, "0.0 s"), (9.94, "9.9 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s")],
)
def test_times_have_units(seconds: float | None, words: str) -> None:
    assert time_words(seconds) == words


@pytest.mark.parametrize("sizes", [[1.0], [6, 6, 4, 3, 2, 2, 1], [1000, 1, 1, 0.001], [1.0] * 100])
def test_places_share_out_the_rectangle(sizes: list[float]) -> None:
    places = treemap.squarify(sizes, (10, 20, 600, 400))
    assert len(places) == len(sizes)
    for size, (x, y, width, height) in zip(sizes, places, strict=True):
        assert width * height == pytest.approx(size / sum(sizes) * 600 * 400)
        assert x >= 10 - 1e-6
        assert y >= 20 - 1e-6
        assert x + width <= 610 + 1e-6
        assert y + height <= 420 + 1e-6
    assert not [pair for pair in pairs(places) if overlap(*pair)]


def test_places_of_nothing() -> None:
    assert treemap.squarify([], (0, 0, 10, 10)) == []


def test_places_as_in_the_paper() -> None:
    """The example of "Squarified Treemaps", figure 3: the first two stand above each other."""
    places = treemap.squarify([6, 6, 4, 3, 2, 2, 1], (0, 0, 6, 4))
    assert places[0] == pytest.approx((0, 0, 3, 2))
    assert places[1] == pytest.approx((0, 2, 3, 2))
    assert places[2] == pytest.approx((3, 0, 12 / 7, 7 / 3))


def pairs(places: list[treemap.Place]) -> list[tuple[treemap.Place, treemap.Place]]:
    return [(a, b) for number, a in enumerate(places) for b in places[number + 1 :]]


def overlap(a: treemap.Place, b: treemap.Place) -> bool:
    little = 1e-6
    return (a[0] + a[2] > b[0] + little and b[0] + b[2] > a[0] + little
            and a[1] + a[3] > b[1] + little and b[1] + b[3] > a[1] + little)


def text_place(text: drawing.Text) -> treemap.Place:
    """The room that a text takes, about."""
    width = drawing.text_width(text.words, text.size)
    left = {"start": text.x, "middle": text.x - width / 2, "end": text.x - width}[text.anchor]
    return (left, text.y - text.size * 0.8, width, text.size)


@pytest.mark.parametrize("draw", [treemap.tree_map, timeline.time_line])
def test_labels_are_readable(found: Figures, draw: Any) -> None:
    """No text leaves the picture, nor its box, nor runs into another."""
    picture: drawing.Drawing = draw(found)
    texts = [*picture.texts, *(text for box in picture.boxes for text in box.texts)]
    assert texts
    for x, y, width, height in map(text_place, texts):
        assert x >= 0
        assert y >= 0
        assert x + width <= picture.width
        assert y + height <= picture.height
    assert not [pair for pair in pairs([text_place(text) for text in texts]) if overlap(*pair)]
    for box in picture.boxes:
        for text in box.texts:
            assert text.x + drawing.text_width(text.words, text.size) <= box.x + box.width, text
            assert text.y <= box.y + box.height, text


def test_map_shows_every_package_and_what_belongs_to_none(found: Figures) -> None:
    titles = [box.title for box in treemap.tree_map(found).boxes]
    assert "bash 1: 80 MiB" in titles
    assert "layer base: files of no package: 40 MiB" in titles
    assert sum(title.startswith("small") for title in titles) == 50
    assert not [title for title in titles if title.startswith("virtual")], "of no size"


def test_line_follows_the_build(found: Figures) -> None:
    boxes = timeline.time_line(found).boxes
    bars = [box for box in boxes if box.style.startswith("bar") or box.style == "stage"]
    assert [box.title for box in bars][:2] == ["layer distribution: 10 s (reused)", "layer base: 11 s (reused)"]
    assert [box.style for box in bars] == ["bar hatched"] * 2 + ["bar"] * 3 + ["stage"] * 2
    for before, after in pairwise(bars):
        assert after.x == pytest.approx(before.x + before.width)
    written = [text.words for box in boxes for text in box.texts]
    assert written == ["long-nam…"] * 5, "the short hooks have no room for theirs"


@pytest.mark.parametrize(("total", "step"), [(0.1, 1), (12, 1), (111, 10), (700, 60), (10**6, 10**6)])
def test_axis(total: float, step: int) -> None:
    assert timeline.tick_step(total) == step
    assert timeline.tick_words(120.0, 60) == "2 min"
    assert timeline.tick_words(60.0, 10) == "60 s"


def test_cut_names() -> None:
    assert drawing.fitting("postfix", 100) == "postfix"
    assert drawing.fitting("perl-modules-5.36", 60) == "perl-mod…"
    assert drawing.fitting("perl-modules-5.36", 20) == ""


class Page(HTMLParser):
    """Tags and their attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "img", "rect", "line", "br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        # Rows, cells and paragraphs may be left open in HTML; ours are closed.
        assert self.open.pop() == tag


def test_page_needs_nothing_from_elsewhere(found: Figures) -> None:
    text = render([found, found], "0.1.0")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert not [attributes for _, attributes in page.tags if {"src", "href", "onload", "srcset"} & set(attributes)]
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    policy = next(attributes["content"] for _, attributes in page.tags if "http-equiv" in attributes)
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) == 4
    assert all(f"url(#{name})" in text for name in ids if "time" in str(name)), "hatching"
    assert "prefers-color-scheme: dark" in text


def test_page_cannot_be_smuggled_into() -> None:
    base = document()
    base["packages"][0]["name"] = "<script>alert(1)</script>"
    base["layers"][0]["hooks"][0]["hook"] = '10-"><b>'
    text = render([figures(base)], "0.1.0")
    assert "<script>" not in text
    assert "<b>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert '"><b>' not in text.replace('<div class="tile"><b>', "")


def mailimg(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["mailimg", "report", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    code: object = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr()
    assert isinstance(code, int)
    return code, said.out, said.err


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "mx-debian-12.qcow2"
    manifest.manifest_path(image).write_text(json.dumps(document()))
    code, out, _ = mailimg(monkeypatch, capsys, str(image), "--output", str(tmp_path / "r.html"))
    assert code == 0
    assert "60 MiB image, 181 MiB of files, 55 packages; built in 1 min 0 s, 1 min 23 s without any layer" in out
    assert re.search(r"base +50 MiB +50 +11 s \(reused\)", out)
    assert re.search(r"bash +distribution +80 MiB", out)
    assert "<svg" in (tmp_path / "r.html").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mx-debian-12.qcow2.manifest.json", "r.html"]


def test_command_without_manifest_or_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = mailimg(monkeypatch, capsys, str(tmp_path / "a.qcow2"), str(tmp_path / "b.qcow2"))
    assert (code, out) == (2, "")
    assert err.count("has no manifest") == 2
    image = tmp_path / "a.qcow2"
    manifest.manifest_path(image).write_text(json.dumps(document()))
    code, _, err = mailimg(monkeypatch, capsys, str(image), "--output", str(tmp_path / "none" / "r.html"))
    assert code == 1
    assert err.startswith("error: write the report: No such file or directory: ")
