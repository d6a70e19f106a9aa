"""Data Docs that are equal for equal data and open offline: without times, random ids and external files."""

import re
import shutil
from collections.abc import Mapping, Sequence
from html import escape
from itertools import count
from pathlib import Path
from typing import Any

from graft.core.errors import DiskSpaceError
from graft.validation.great_expectations import TIME_OF_RUN
from graft.validation.result import Expectation

SCRIPTS_AND_STYLES = r"<script\b.*?</script>|<style\b.*?</style>|<link\b[^>]*>"
LOGO_AND_FOOTER = r'<div class="float-left navbar-brand.*?</div>|<footer>.*?</footer>'
SCRIPTED_FILTER = (
    r'<div class="card mb-3">\s*<div class="card-header p-2">\s*<strong>Actions.*?(?=<div class="card d-md)'
)
STAND_INS = {"&": "\U00010600", "<": "\U00010601", ">": "\U00010602", '"': "\U00010603", "'": "\U00010604"}
"""Stand-ins for HTML characters: letters of Linear A, which no data use, and which repr, regex and templates keep."""
STYLE = """
body { margin: 0; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; color: #17201d; }
a { color: #0f6b5d; text-decoration: none; } a:hover { text-decoration: underline; } small { color: #55615c; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 32px 0 8px; } h4, h5 { margin: 0; font-size: 1rem; }
h6 { margin: 8px 0 0; font-size: .9rem; } .index { max-width: 1080px; margin: 0 auto; padding: 24px; }
.breadcrumb { display: flex; list-style: none; margin: 0; padding: 16px 24px; color: #55615c; }
.breadcrumb-item + .breadcrumb-item::before { content: "/"; padding: 0 8px; }
.container-fluid { box-sizing: border-box; width: 100%; } body > .container-fluid { padding: 8px 24px 64px; }
.row { display: flex; flex-wrap: wrap; } .col-12 { width: 100%; } .col-lg-2 { width: 230px; }
.col-lg-10 { flex: 1; min-width: 320px; padding-left: 28px; box-sizing: border-box; }
.card { border: 1px solid #d5dcd9; border-radius: 6px; margin: 12px 0; overflow: auto; }
.card-header { padding: 8px 12px; background: #f4f7f6; } .card-body { padding: 10px 12px; }
.nav { list-style: none; margin: 0; padding: 0; } .nav-link { display: block; padding: 2px 0; } hr { display: none; }
.alert { padding: 10px 14px; border-radius: 6px; background: #f4f7f6; } .sticky { position: sticky; top: 16px; }
table { border-collapse: collapse; } .table { width: 100%; } .table-responsive { width: 100%; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: 6px 14px 6px 0; border-bottom: 1px solid #e4e9e7; }
td { overflow-wrap: anywhere; } .table-sm th, .table-sm td { padding: 2px 14px 2px 0; border: 0; }
.badge { padding: 1px 6px; border-radius: 4px; background: #e4e9e7; font-size: .9em; }
.passed, .failed, .warning { white-space: nowrap; } .text-warning, .warning { color: #8a5a00; }
.text-success, .passed { color: #0f6b5d; } .text-danger, .failed { color: #b3261e; }
[data-toggle="collapse"] { display: none; }
.fas { font-style: normal; font-weight: 700; } .fa-check-circle::before { content: "\\2713"; }
.fa-times::before { content: "\\2717"; } .fa-exclamation-triangle::before { content: "!"; }
"""


def write_pages(docs_dir: Path, findings: Mapping[str, Sequence[Expectation]]) -> None:
    """Finishes all pages and writes the first one.

    Args:
        findings: name of a suite -> its expectations in the user's words.
    """
    for page in sorted(docs_dir.rglob("*.html")):
        page.write_text(unmarked(_self_contained(page.read_text(encoding="utf-8"))), encoding="utf-8")
    shutil.rmtree(docs_dir / "static")
    (docs_dir / "index.html").write_text(_index(docs_dir, findings), encoding="utf-8")


def marked(value: Any) -> Any:
    """A copy of JSON content in which all text has stand-ins for the special characters of HTML."""
    if isinstance(value, str):
        return value.translate({ord(character): sign for character, sign in STAND_INS.items()})
    if isinstance(value, dict):
        return {marked(key): marked(item) for key, item in value.items()}
    return [marked(item) for item in value] if isinstance(value, list) else value


def unmarked(html: str) -> str:
    """The page with the stand-ins replaced by entities."""
    return html.translate({ord(sign): escape(character) for character, sign in STAND_INS.items()})


def _self_contained(html: str) -> str:
    """The page without external files and scripts, with its own style, and without times and random ids."""
    for pattern in (SCRIPTS_AND_STYLES, LOGO_AND_FOOTER, SCRIPTED_FILTER):
        html = re.sub(pattern, "", html, flags=re.DOTALL)
    html = re.sub(r'(<nav class="navbar[^>]*) style="height: 70px"', r"\1", html)
    html = html.replace("</head>", f"<style>{STYLE}</style></head>", 1)
    html = re.sub(r"\d{8}T\d{6}\.\d{6}Z", f"{TIME_OF_RUN:%Y%m%dT%H%M%S.%fZ}", html)
    numbers: dict[str, str] = {}
    numbering = count(1)
    return re.sub(
        r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
        lambda match: numbers.setdefault(match.group(), f"id-{next(numbering)}"),
        html,
    )


def _index(docs_dir: Path, findings: Mapping[str, Sequence[Expectation]]) -> str:
    parts = []
    for suite, expectations in findings.items():
        result = _page_of(docs_dir, suite).relative_to(docs_dir).as_posix()
        rows = "".join(
            f"<tr><td>{_status(item)}</td><td>{escape(item.sentence)}</td><td>{escape(item.observed)}"
            + "".join(f"<br><small>{escape(name)}</small>" for name in item.examples)
            + "</td></tr>\n"
            for item in expectations
        )
        parts.append(
            f'<h2>{suite.replace("_", " ")}</h2>\n<p><a href="{result}">details</a> · '
            f'<a href="expectations/{suite}.html">the suite</a></p>\n<table class="table"><thead><tr><th>Result</th>'
            f"<th>Expectation</th><th>Observed</th></tr></thead><tbody>\n{rows}</tbody></table>\n"
        )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data Docs</title>'
        f"<style>{STYLE}</style></head>\n<body>"
        f'<main class="index"><h1>Data Docs</h1>\n<p>Expectations of expectations.yaml, and their results.</p>\n'
        f"{''.join(parts)}</main></body></html>\n"
    )


def _page_of(docs_dir: Path, suite: str) -> Path:
    """Path of the suite's page. Great Expectations continues if it cannot write a page completely, so that is checked.

    Raises:
        DiskSpaceError: the page is missing or incomplete.
    """
    page = next((docs_dir / "validations" / suite).rglob("*.html"), None)
    if page is None or not page.read_text(encoding="utf-8").rstrip().endswith("</html>"):
        raise DiskSpaceError(
            f"Great Expectations could not write its page about {suite} into {docs_dir}. Check whether that disk has "
            "space and can be written to; then run the same command again."
        )
    return page


def _status(item: Expectation) -> str:
    return f'<span class="{item.outcome}">{item.outcome}</span>'
