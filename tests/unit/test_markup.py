"""Class and file names that are markup: shown as they are, never taken for a part of the page."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml
from report_content import content_of

from benchmarks.validate_rows import synthetic_manifest, write_artifacts
from graft.report.page import render_report
from graft.serving.card import CardContent, render_card
from graft.validation.expectations import expect
from graft.validation.suite import load_suite

IMAGE = "<img src=x onerror=alert(1)>"
ATTRIBUTE = "\"' onmouseover=alert(2) x='"
TABLES = {"label": "classes", "path": "samples", "domain": "samples"}
EXPECTATIONS = {
    "ExpectColumnValuesToBeInSet": {"value_set": ["a"]},
    "ExpectColumnValuesToMatchRegex": {"regex": IMAGE},
    "ExpectColumnDistinctValuesToBeInSet": {"value_set": [IMAGE, ATTRIBUTE]},
    "ExpectColumnValuesToNotMatchRegexList": {"regex_list": [IMAGE, ATTRIBUTE]},
}


class Page(HTMLParser):
    """The tags and attributes of a page, and the text that it shows."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_names_that_are_markup_are_shown_in_the_data_docs_and_do_nothing(tmp_path: Path) -> None:
    manifest = synthetic_manifest(400, seed=1)
    manifest.loc[:20, "label"], manifest.loc[21:60, "label"] = IMAGE, ATTRIBUTE
    manifest["path"] = IMAGE + manifest["path"]
    manifest["domain"] = ATTRIBUTE
    write_artifacts(tmp_path, manifest)
    entries = [
        {"sentence": f"{name} of {column} {IMAGE}", "table": table, "level": "warning",
         "expect": {name: {"column": column, **arguments}}}
        for column, table in TABLES.items() for name, arguments in EXPECTATIONS.items()
    ]  # fmt: skip
    entries.append(entries[0] | {"sentence": "a condition", "table": "samples", "where": f'domain == "{IMAGE}"'})
    suite_path = tmp_path / "expectations.yaml"
    suite_path.write_text(yaml.safe_dump(entries))
    expect(
        load_suite(suite_path), suite_path=suite_path, manifest_path=tmp_path / "manifest.parquet",
        duplicates_path=tmp_path / "duplicates.csv", accepted=None, change_alpha=0.01, min_psi=0.1,
        docs_dir=tmp_path / "docs",
    )  # fmt: skip
    pages = {path.relative_to(tmp_path).as_posix(): Page(path.read_text()) for path in tmp_path.rglob("*.html")}
    assert len(pages) == 5
    for name, page in pages.items():
        assert not page.tags & {"img", "script", "b"}, name
        assert not {attribute for attribute in page.attributes if attribute.startswith("on")}, name
    (details,) = (page for name, page in pages.items() if name.endswith("classes-classes.html"))
    assert {IMAGE, ATTRIBUTE} <= {text for text in (IMAGE, ATTRIBUTE) if text in details.text}


def test_names_that_are_markup_are_shown_in_the_report_and_do_nothing() -> None:
    names = (IMAGE, ATTRIBUTE, "--></svg><script>alert(3)</script>", "\x1b[2J\x00\x07", "$x_{1}$")
    page = Page(render_report(content_of(classes=names)))
    assert not page.tags & {"script", "b"}
    assert not {attribute for attribute in page.attributes if attribute.startswith("on")}
    for name in (IMAGE, ATTRIBUTE, "$x_{1}$"):
        assert page.text.count(name) > 3


MARKDOWN = {
    IMAGE: r"&lt;img src=x onerror=alert(1)&gt;",
    "[cat](javascript:alert(1))": r"[cat\](javascript:alert(1))",
    "**bold** _it_ `code` ~~gone~~": r"\*\*bold\*\* \_it\_ \`code\` \~\~gone\~\~",
    "&lt;b&gt;": "&amp;lt;b&amp;gt;",
    "a\\": "a\\\\",
    "a|b\nc": r"a\|b c",
    "snake_case": "snake_case",
    "\x1b[2Jred": r"\\x1b[2Jred",
}


@pytest.mark.parametrize("name", MARKDOWN)
def test_names_that_are_markdown_or_html_are_text_in_the_model_card(name: str) -> None:
    of_report = content_of(classes=(name, "dog"))
    fields = {field.name: getattr(of_report, field.name) for field in dataclasses.fields(CardContent)}
    card = render_card(CardContent(**fields))
    assert f"\n| {MARKDOWN[name]} | 20 |" in card
    assert f"# Model card: {MARKDOWN[name]}, dog\n" in card
