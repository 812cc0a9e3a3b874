"""Agreement tables: shape, notes, and the text of proportions."""

from __future__ import annotations

from qupath_her2.scoring.agreement.kappa import BootstrapSettings
from qupath_her2.scoring.agreement.pairs import make_pairs
from qupath_her2.scoring.agreement.study import agreement
from qupath_her2.scoring.agreement.tables import NO_VALUE, agreement_tables, table_text

FEW = BootstrapSettings(draws=100)


def test_tables_are_rectangular_and_say_research_use_only(study):
    tables = agreement_tables(agreement(study(), settings=FEW))
    assert [table.title for table in tables] == [
        "Agreement with the truth",
        "Confusion matrix",
        "Each class against the rest",
        "Agreement at each cut",
    ]
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.header)}
        lines = table_text(table).splitlines()
        assert lines[0] == table.title
        assert len(lines) == 3 + len(table.rows) + len(table.notes)
    assert "research use only" in tables[0].notes


def test_proportions_are_printed_with_interval_and_counts():
    pairs = make_pairs(["a"] * 20 + ["b"] * 20, ["a"] * 15 + ["b"] * 25, ("a", "b"))
    summary, matrix, classes, cuts = agreement_tables(agreement(pairs, settings=FEW))
    # 35 of 40; the Wilson interval of 0.875 is 73.9 to 94.5 %.
    assert dict(summary.rows)["agreement"] == "87.5 % (73.9–94.5), 35/40"
    assert matrix.rows == (("a", "15", "5", "20"), ("b", "0", "20", "20"), ("all", "15", "25", "40"))
    assert classes.rows[0][-1] == NO_VALUE  # no probabilities, so no AUC
    assert cuts.rows[0][1].endswith("20/20")


def test_columns_of_a_text_table_are_aligned(study):
    _, header, rule, *rows = table_text(agreement_tables(agreement(study(), settings=FEW))[1]).splitlines()
    starts = [0, *(at + 2 for at in range(len(rule)) if rule[at : at + 2] == "  ")]
    assert [header[at:].split("  ")[0] for at in starts] == ["truth \\ answer", "0", "1+", "2+", "3+", "all"]
    assert [row[starts[0] :].split("  ")[0] for row in rows] == ["0", "1+", "2+", "3+", "all"]
    assert all(row[at] != " " and row[at - 1] == " " for row in rows for at in starts[1:])
