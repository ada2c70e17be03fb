"""CSV that a spreadsheet does not run."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import spreadsheet


@given(st.text())
def test_no_cell_is_a_formula(value: str) -> None:
    """S4"""
    shown = spreadsheet.cell(value)
    assert not shown.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert not shown.startswith(("\t", "\r"))
    assert shown in (value, "'" + value)


@pytest.mark.parametrize("before", ["", " ", "\n", "\u3000"])
@pytest.mark.parametrize("sign", "=+-@＝＋－＠")
def test_every_beginning_of_a_formula_is_quoted(before: str, sign: str) -> None:
    """S4: drawn texts seldom begin so."""
    value = f"{before}{sign}1"
    assert spreadsheet.cell(value) == f"'{value}"


@pytest.mark.parametrize("value", ["\tx", "\rx"])
def test_tab_and_carriage_return_are_quoted(value: str) -> None:
    """S4"""
    assert spreadsheet.cell(value) == f"'{value}"


def test_csv_keeps_numbers_and_quotes_formulas() -> None:
    rows = [{"name": "=1+1", "value": -0.5, "text": "二叉树\n第二行"}]
    written = spreadsheet.as_csv(rows).decode("utf-8-sig")
    assert list(csv.reader(io.StringIO(written))) == [["name", "value", "text"], ["'=1+1", "-0.5", "二叉树\n第二行"]]
    assert spreadsheet.as_csv(rows).startswith(b"\xef\xbb\xbf")
    assert spreadsheet.as_csv([{"text": "\0 \ud83d"}]).decode("utf-8-sig") == "text\n\ufffd \ufffd\n"
    assert spreadsheet.as_csv([{"=1+1": 0}]).decode("utf-8-sig") == "'=1+1\n0\n"
    assert spreadsheet.as_csv([]) == b"\xef\xbb\xbf"
