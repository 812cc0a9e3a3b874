"""Two people: what they agree on is agreed, everything else is listed with both states."""

from __future__ import annotations

from dataclasses import replace

from qupath_her2.review.changes import Change
from qupath_her2.review.conflicts import agreed_changes, conflicts_csv, find_conflicts
from qupath_her2.review.round_files import Round


def change(author: str, after: str, uuid: str = "u", **more) -> Change:
    given = {"change": "reclassified", "x": "1.00", "y": "2.00", "time": author, **more}
    return Change("i", "cell", uuid, before="Tumor: 1+", after=after, author=author, **given)


def rounds(*changes: Change) -> list[Round]:
    return [Round(f"{n:03}-x", n, one.author, "t", (one,)) for n, one in enumerate(changes, 1)]


def test_the_same_class_by_two_people_is_agreed():
    found = rounds(change("Anna", "Tumor: 2+"), change("Bo", "Tumor: 2+"))
    assert find_conflicts(found) == []
    assert [one.after for one in agreed_changes(found)] == ["Tumor: 2+"]


def test_different_classes_are_a_conflict_and_no_label():
    found = rounds(change("Anna", "Tumor: 2+"), change("Bo", "Tumor: 3+"), change("Bo", "Tumor: 2+", "v"))
    (conflict,) = find_conflicts(found)
    assert (
        conflict.sentence == "i, cell at 1.00, 2.00: Anna reclassified Tumor: 2+; Bo reclassified Tumor: 3+"
    )
    assert [one.uuid for one in agreed_changes(found)] == ["v"]
    text = conflicts_csv([conflict]).decode("utf-8-sig")
    assert text.count("\r\n1,i,cell,u,") == 2


def test_deleting_what_another_reclassified_is_a_conflict():
    found = rounds(change("Anna", "Tumor: 2+"), change("Bo", "", change="deleted"))
    assert len(find_conflicts(found)) == 1


def test_the_last_state_of_each_person_counts():
    found = rounds(change("Anna", "Tumor: 2+"), change("Bo", "Tumor: 3+"), change("Anna", "Tumor: 3+"))
    assert find_conflicts(found) == []


def test_what_was_undone_is_a_state_and_no_label():
    undone = replace(change("Bo", "Tumor: 1+"), is_undone=True)
    found = rounds(change("Anna", "Tumor: 2+"), undone)
    (conflict,) = find_conflicts(found)
    assert "Bo left as written" in conflict.sentence
    assert agreed_changes(rounds(undone)) == []


def test_scores_of_two_people_are_opinions():
    one = Change("i", "score", "", "score typed", "2+", "2+", author="Anna")
    assert find_conflicts(rounds(one, replace(one, after="3+", author="Bo"))) == []
