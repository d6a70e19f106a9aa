"""`where` of an expectation: what is understood, and what never reaches pandas."""

import pandas as pd
import pytest

from graft.validation.conditions import ConditionError, checked_condition

TABLE = pd.DataFrame(
    {"width": [16, 200, 400, 800], "height": [16, 100, 500, 10], "mode": ["L", "RGB", "L", "RGB"],
     "domain": ["roof", "yard", "roof @ noon", ""]}
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('domain == "roof" and width > 10', [0]),
        ('width > 100 and mode == "RGB"', [1, 3]),
        ("width > 100 & mode == 'RGB' | height == 16", [0, 1, 3]),
        ("not (width > 100)", [0]),
        ("~(width > 100)", [0]),
        ('domain in ["roof", "yard"]', [0, 1]),
        ('domain not in ("roof", "yard", "")', [2]),
        ("100 < width <= 400", [1, 2]),
        ("width / height > 1.5", [1, 3]),
        ("width == height or -width < -500", [0, 3]),
        ('domain == "roof @ noon"', [2]),
        ("width > 100\nand width < 300", [1]),
    ],
)
def test_conditions_over_columns_pick_their_rows(text: str, rows: list[int]) -> None:
    assert TABLE.query(checked_condition(text, TABLE.columns)).index.tolist() == rows


@pytest.mark.parametrize(
    "text",
    [
        '@pd.io.common.os.system("true") == 0',
        "@TABLE.width == 3",
        'width.__class__ == "a"',
        '__import__("os").system("true") == 0',
        'domain.str.contains("a") == True',
        "`width` == 3",
        "width[0] == 1",
        "(lambda: 1)() == 1",
        'f"{width}" == "a"',
        "width := 3",
        "width = 3",
        "width ** 9 ** 9 == 1",
        "width == 3; height == 1",
        "width if height else mode",
        "[x for x in [1]] == 1",
        "width == None",
        "width",
        "1 == ",
        "(" * 500 + "width == 1" + ")" * 500,
        "width == 1" + " or width == 1" * 2000,
    ],
)
def test_what_is_no_condition_over_columns_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(ConditionError, match="condition"):
        checked_condition(text, TABLE.columns)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("widht > 3", "there is no column widht; did you mean width"),
        ("mode == RGB", "there is no column RGB; .*Text is written in quotes"),
        ("mode * 1000000000 == 'L'", "mode is not a number"),
        ("'L' * 1000000000 == mode", "'L' is not a number"),
        ("mode in width", "`in` needs a list of constants"),
    ],
)
def test_a_mistake_in_a_condition_is_named(text: str, answer: str) -> None:
    with pytest.raises(ConditionError, match=answer):
        checked_condition(text, TABLE.columns)
