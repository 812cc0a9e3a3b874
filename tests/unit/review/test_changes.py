"""Changes of a round: authors and times are kept, what was taken back is said."""

from __future__ import annotations

from dataclasses import replace

from qupath_her2.review.changes import Change, count_changes, digest_of, sorted_changes, with_authors

ONE = Change("i", "cell", "u1", "reclassified", "Tumor: 1+", "Tumor: 2+")
TWO = Change("i", "cell", "u2", "deleted", "Tumor: 1+", "")


def test_a_known_change_keeps_its_author_and_a_new_one_gets_the_new():
    first = with_authors([ONE], [], "Anna", "t1", "001-anna")
    second = with_authors([ONE, TWO], first, "Bo", "t2", "002-bo")
    assert [(one.uuid, one.author, one.time, one.round) for one in second] == [
        ("u1", "Anna", "t1", "001-anna"),
        ("u2", "Bo", "t2", "002-bo"),
    ]


def test_another_class_of_a_known_cell_is_the_new_authors():
    first = with_authors([ONE], [], "Anna", "t1", "001-anna")
    (second,) = with_authors([replace(ONE, after="Tumor: 3+")], first, "Bo", "t2", "002-bo")
    assert (second.author, second.round) == ("Bo", "002-bo")


def test_what_was_taken_back_is_undone_once():
    first = with_authors([ONE], [], "Anna", "t1", "001-anna")
    (second,) = with_authors([], first, "Bo", "t2", "002-bo")
    assert (second.is_undone, second.after, second.author) == (True, "Tumor: 1+", "Bo")
    # The next round repeats it, and it stays Bo's.
    third = with_authors([], [*first, second], "Anna", "t3", "003-anna")
    assert third == [second]
    # Changed once more it is no longer undone.
    (fourth,) = with_authors([ONE], [*first, second], "Anna", "t4", "004-anna")
    assert (fourth.is_undone, fourth.author, fourth.round) == (False, "Anna", "004-anna")


def test_deleting_and_reclassifying_a_cell_are_states_of_one_side():
    assert ONE.object == replace(ONE, change="deleted", after="").object
    assert ONE.object != replace(ONE, change="shifted").object
    # A deleted cell without a known UUID is known by its place.
    assert replace(TWO, uuid="", x="1.00", y="2.00").object == ("i", "cell", "1.00 2.00", "label")


def test_the_order_does_not_depend_on_that_of_the_search():
    assert sorted_changes([TWO, ONE]) == sorted_changes([ONE, TWO]) == [ONE, TWO]


def test_digests_tell_outlines_apart():
    one = {"type": "Point", "coordinates": [1, 2]}
    assert digest_of(one) == digest_of(dict(reversed(list(one.items()))))
    assert digest_of(one) != digest_of({"type": "Point", "coordinates": [1, 3]})
    assert digest_of(None) == ""


def test_counts_are_said_in_words():
    region = Change("i", "region", "r1", "class changed", "Tumor", "Ignore*")
    score = Change("i", "score", "", "score typed", "2+", "3+")
    comment = replace(score, change="comment typed")
    assert count_changes([ONE, TWO, replace(ONE, uuid="u3"), region, score, comment]) == [
        "1 cell deleted",
        "2 cells reclassified",
        "1 region given another class",
        "1 comment typed",
        "1 score typed",
    ]
    assert count_changes([replace(score, image=str(i)) for i in range(1000)]) == ["1,000 scores typed"]
    assert count_changes([]) == []
