"""Text of users in Markdown, where it is text and nothing else."""

import html
import re

from graft.core.terminal import plain

MARKDOWN = re.compile(r"[\\`*|~]|\](?=[(\[])|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown takes for more than a character: not an underscore within a word, nor brackets without a link."""


def as_markdown(text: str) -> str:
    """One line in which names neither tear a table nor become links, images or HTML."""
    return html.escape(MARKDOWN.sub(r"\\\g<0>", plain(" ".join(text.split()))), quote=False)
