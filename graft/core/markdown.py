"""User text in Markdown, escaped so that it is shown as plain text."""

import html
import re

from graft.core.terminal import plain

MARKDOWN = re.compile(r"[\\`*|~]|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_])")
"""Characters with a meaning in Markdown; an underscore within a word and brackets without a link have none."""


def as_markdown(text: str) -> str:
    """The text on one line, in which names cannot break a table or become links, images or HTML."""
    return html.escape(MARKDOWN.sub(r"\\\g<0>", plain(" ".join(text.split()))), quote=False)
