"""What leaves for a terminal or a log: text that can be shown, whatever the names in it hold."""

import re
import sys
import unicodedata
from typing import TextIO

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, which terminals obey; marks that turn the order of letters; half a letter."""


def plain(text: str) -> str:
    """The text with what would not be seen, but obeyed, written out: \\x1b[2J clears no screen."""
    return HIDDEN.sub(lambda match: match.group().encode("unicode_escape").decode(), text)
