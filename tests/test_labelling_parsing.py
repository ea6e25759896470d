"""Parsing: what is understood, what is refused, and that nothing is ever guessed."""

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.labelling.parsing import LONGEST, parse, read_answer, render
from helpers.labelling.questions import Option, Question, Response
from helpers.labelling.wire import schema_of
from helpers.tasks import load_task

CAP, DATAVERSE = load_task("cap"), load_task("dataverse")
FLOURISHING = load_task("flourishing")


def question(task, **kinds):
    options = tuple(Option(task.codes[key], task.label_names[key]) for key in task.labels)
    return Question(task.name, "v4", "labels", "head", "tail", options, **kinds)


def subtopics(major=None):
    rows = CAP.subtopics if major is None else CAP.subtopics[CAP.subtopics["label"] == major]
    options = tuple(Option(row.code, row.name) for row in rows.itertuples())
    return Question("cap", "v3", "subtopics", "head", "tail", options, none=True)


ONE, OR_NONE = question(CAP), question(CAP, none=True)
MANY = question(DATAVERSE, many=True, none=True)
LEVELS = question(FLOURISHING, many=True, none=True, levels=("low", "medium", "high"))
KINDS = [ONE, OR_NONE, MANY, LEVELS]


@pytest.mark.parametrize(
    "content",
    [
        "6",
        " 6",
        "6.",
        "[6]",
        '{"answer": "6"}',
        '{"choice": 6}',
        '```json\n{"answer": "6"}\n```',
        '{"reason": "the answer: schools, not health (3)", "answer": "6"}',
        "```Education```",
        '{"answer": "6',
        "{'answer': '6'}",
        'Sure! {"answer": "6: Education"}',
        "6: Education",
        "Education (6)",
        "Topic 6 (Education)",
        "The answer is **Education**.",
        "6: this is about schools",
        "6\n\nThe question is about schools and the health of pupils.",
        "<think>Is it 5, labour? No.</think>\n6",
        "Edcuation",
        "EDUCATON",
    ],
)
def test_one_answer_in_many_forms(content):
    assert parse(ONE, content).chosen == (("6", ""),)


@pytest.mark.parametrize(
    "content",
    [
        "6 or 7",
        "3 7",
        "6\n7",
        "6\nor 7",
        "6\nor Health",
        "Education or Health",
        "6: Health",
        "6: Education or Health",
        "[6] or Health",
        "{answer: 6 or 7}",
        '{"answer": "6", "answer": "7"}',
        '{"answer": "6"} {"answer": "7"}',
        '{"answer": "6"} or maybe 7',
        '{"answer": ["6", "7"]}',
        '{"answer": null}',
        '{"answer": true}',
        '{"answer": 6.5}',
        "```\n6\n``` or ```\n7\n```",
        "not 6",
        "6?",
        "6: no",
        "6: I am not sure",
        '```json\n{"answer": "6"}\n```\nor 7',
        "27 member states",
        "<think>6",
        "",
        " \n",
        "[" * 5000,
        '{"a":' * 5000,
        "6" + " " * LONGEST,
    ],
    ids=lambda content: content[:20],
)
def test_what_could_mean_two_things_or_nothing_is_unparsed(content):
    for asked in (ONE, OR_NONE):
        answer = parse(asked, content)
        assert (answer.status, answer.chosen) == ("unparsed", ())


@pytest.mark.parametrize("content", ["99", "Topic 11", "11: Fisheries", '{"answer": "Football"}'])
def test_an_unknown_code_in_the_right_format_is_off_list(content):
    assert parse(ONE, content).status == "off_list"


@pytest.mark.parametrize("content", ["none", "None.", '{"answer": "none"}', "None of these apply"])
def test_none_is_an_answer_only_where_it_is_allowed(content):
    assert parse(OR_NONE, content).status == "ok"
    assert parse(OR_NONE, content).chosen == ()
    assert parse(ONE, content).status == "off_list"


@pytest.mark.parametrize(
    ("content", "codes"),
    [
        (" 3 7", "3 7"),
        ("7, 3, 7", "3 7"),
        ('{"answers": ["7", "3"]}', "3 7"),
        ('{"answers": []}', ""),
        (" none", ""),
        ("Law, Physics and Medicine, Health and Life Sciences", "9 11 12"),
        ("- Law\n- Arts & Humanities", "2 9"),
        ("9 (Law), 11: Medicine, Health and Life Sciences", "9 11"),
    ],
)
def test_several_labels(content, codes):
    assert parse(MANY, content).status == "ok"
    assert [code for code, _ in parse(MANY, content).chosen] == codes.split()


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ("3 99", "off_list"),
        ('{"answers": ["3", "Football"]}', "off_list"),
        ("none, 3", "unparsed"),
        ("3 or 7", "unparsed"),
        ("1. Law\n2. Physics", "unparsed"),  # is the number a code or a count?
        ('{"answers": [', "unparsed"),
        ("Law, perhaps Physics", "unparsed"),
    ],
)
def test_several_labels_are_read_all_or_not_at_all(content, status):
    assert parse(MANY, content).status == status


@pytest.mark.parametrize("content", ["", " ", ",", "\n\n", "-", "[", "and", "```\n```"])
def test_silence_is_not_none(content):
    for asked in KINDS:
        assert parse(asked, content).status == "unparsed"


@pytest.mark.parametrize(
    ("content", "chosen"),
    [
        (" 4 high 12 low", "4 high 12 low"),
        ("12 low, 4 high", "4 high 12 low"),
        ('{"answers": [{"code": "4", "level": "High"}]}', "4 high"),
        ('{"answers": [{"code": 4, level: high}', "4 high"),
        ('{"4": "high", "happiness": "low"}', "1 low 4 high"),
        ("happiness: high; mastery (ability, capability): low", "1 high 12 low"),
        ("peace with thoughts and feelings (low)", "6 low"),
        ("4 high 4 low", "4 high"),
        ("none", ""),
    ],
)
def test_labels_with_levels(content, chosen):
    answer = parse(LEVELS, content)
    assert answer.status == "ok"
    assert " ".join(word for pair in answer.chosen for word in pair) == chosen


@pytest.mark.parametrize(
    "content",
    [
        "4",
        "4 very high",
        "4 strong",
        "high",
        "{}",
        '{"answers": ["4"]}',
        "unhappiness high",
        "life dissatisfaction: high",
        '{"answers": [{"code": "4", "level": "extreme"}]}',
    ],
)
def test_a_missing_level_or_an_opposite_is_no_label(content):
    assert parse(LEVELS, content).chosen == ()
    assert parse(LEVELS, content).status in ("unparsed", "off_list")


@pytest.mark.parametrize("asked", [*KINDS, subtopics()], ids=["1", "0-1", "n", "levels", "subs"])
def test_exact_names_never_map_to_another_option(asked):
    end = ": high" if asked.levels else ""
    names = [option.name.casefold() for option in asked.options]
    for option in asked.options:
        answer = parse(asked, option.name + end)
        if names.count(option.name.casefold()) > 1:  # "Research and Development": of which topic?
            assert answer.status == "unparsed"
        else:
            assert [code for code, _ in answer.chosen] == [option.code], option


def typed(name, kind, place):
    """Return a name with one typing error at a letter of its longest word."""
    word = max(re.findall("[A-Za-z]+", name), key=len)
    at = name.index(word) + place % (len(word) - 1)
    return {
        "missing": name[:at] + name[at + 1 :],
        "extra": name[:at] + "x" + name[at:],
        "wrong": name[:at] + "x" + name[at + 1 :],
        "swapped": name[:at] + name[at + 1] + name[at] + name[at + 2 :],
    }[kind]


@pytest.mark.parametrize("asked", [ONE, MANY, LEVELS, *map(subtopics, CAP.labels)])
def test_names_with_one_typing_error_are_found_and_never_confused(asked):
    end = ": high" if asked.levels else ""
    missed, total = 0, 0
    for option, kind, place in itertools.product(
        asked.options, ["missing", "extra", "wrong", "swapped"], [0, 2, 5]
    ):
        if len(option.name) < 8:
            continue
        answer = parse(asked, typed(option.name, kind, place) + end)
        total += 1
        missed += answer.status != "ok"
        assert [code for code, _ in answer.chosen] in ([option.code], []), option
    # Those that differ from another name by a word ("General ..." and "Other ...") may be refused.
    assert missed <= 0.05 * total


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*KINDS, subtopics("3")]), st.data())
def test_no_string_raises_or_yields_what_was_not_offered(asked, data):
    words = [*"{}[]:,\"'`#-()", "answer", "answers", "code", "level", "high", "or", "and", "none"]
    words += [option.name for option in asked.options[:5]] + ["6", "7", "99", "```json\n", "\n"]
    pieces = st.lists(st.one_of(st.sampled_from(words), st.text(max_size=8)), max_size=25)
    answer = parse(asked, data.draw(st.sampled_from(["", " "])).join(data.draw(pieces)))
    codes = [code for code, _ in answer.chosen]
    order = [option.code for option in asked.options]
    assert answer.status in ("ok", "off_list", "unparsed")
    assert codes == sorted(set(codes), key=order.index)
    assert answer.status == "ok" or not codes
    assert asked.many or len(codes) <= 1
    assert codes or answer.status != "ok" or asked.none
    assert all((level in asked.levels) == bool(asked.levels) for _, level in answer.chosen)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(KINDS), st.data())
def test_a_rendered_answer_is_read_back(asked, data):
    codes = [option.code for option in asked.options]
    most = len(codes) if asked.many else 1
    least = 0 if asked.none else 1
    picked = data.draw(st.lists(st.sampled_from(codes), min_size=least, max_size=most, unique=True))
    level = st.sampled_from(asked.levels or ("",))
    chosen = tuple((code, data.draw(level)) for code in sorted(picked, key=codes.index))
    assert parse(asked, render(asked, chosen)).chosen == chosen
    items = [{"code": code, "level": lvl} if lvl else code for code, lvl in chosen]
    content = {"answers": items} if asked.many else {"answer": (items or ["none"])[0]}
    assert set(content) == set(schema_of(asked)["properties"])
    for written in (json.dumps(content), json.dumps(content, indent=2)[:-1]):
        if items or written.endswith("}"):  # an empty list that breaks off is no "none"
            assert parse(asked, written).chosen == chosen
            assert parse(asked, written).status == "ok"


def response(status, content, confidence=None):
    names = "key task method step prompt text_id text_sha256 endpoint model sampling schema"
    empty = dict.fromkeys(names.split(), "")
    return Response(**empty, status=status, content=content, confidence=confidence)


@pytest.mark.parametrize("status", ["refused", "truncated", "error"])
def test_a_failed_response_never_becomes_a_label(status):
    answer = read_answer(ONE, response(status, "6"))
    assert (answer.status, answer.chosen) == (status, ())


def test_a_response_keeps_its_confidence():
    answer = read_answer(ONE, response("ok", "6", 0.75))
    assert (answer.status, answer.chosen, answer.confidence) == ("ok", (("6", ""),), 0.75)
    assert read_answer(ONE, response("ok", None)).status == "unparsed"


def test_completions_are_read_as_the_task_reads_them():
    for task, asked in [(CAP, ONE), (DATAVERSE, MANY), (FLOURISHING, LEVELS)]:
        for answer in [" 6", " 3 7", " 4 high 12 low", " none", " 99", " 99 high", "what", ""]:
            expected, found = task.parse(answer), parse(asked, answer)
            if not (task is CAP and answer == " none"):  # the task's own models never write it
                assert found.status == expected.status, answer
            if found.status == "ok":
                assert render(asked, found.chosen) == task.completion(expected.labels)
