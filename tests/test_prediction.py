"""Prediction: only allowed answers, the order of the texts, scoring equal to generation."""

import pandas as pd
import pytest

from helpers import offline_model
from helpers.grammar import Grammar
from helpers.language_models import (
    LanguageModelError,
    load_tokenizer,
    prompt_tokens,
    prompts_tokens,
)
from helpers.prediction import as_frame, predict
from helpers.tasks import load_task

CAP, DATAVERSE = load_task("cap"), load_task("dataverse")
FLOURISHING, CONFLICT = load_task("flourishing"), load_task("conflict")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


@pytest.fixture(scope="module")
def frame():
    texts = ["fishing quotas", "a long text about asylum and borders " * 9, "tax", "trains " * 30]
    ids = [f"t{i}" for i in range(4)]
    return pd.DataFrame({"id": ids, "text": texts, "split": ["train", "test", "test", "train"]})


class Digits:
    """A tokenizer with one token a character, so that words share first tokens."""

    chat_template = None
    eos_token_id = 0

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [ord(sign) for sign in text]}


def reachable(grammar, answer):
    """Whether the grammar allows an answer, character by character, and its end."""
    tokens = [ord(sign) for sign in answer]
    steps = all(tokens[i] in grammar.allowed(tokens[:i]) for i in range(len(tokens)))
    return steps and grammar.eos in grammar.allowed(tokens)


@pytest.mark.parametrize(
    ("task", "good", "bad"),
    [
        (CAP, [" 6", " 12", " 1"], [" 11", " 6 7", " none", ""]),
        (DATAVERSE, [" 1", " 1 12", " 3 7 11", " none"], [" 7 3", " 3 3", " none 3", " 15", ""]),
        (FLOURISHING, [" 4 high 12 low", " none"], [" 4", " 4 high 4 low", " high", " 4 none"]),
        (CONFLICT, [" 0.0", " 12.3"], [" 12", " 99.0", " none"]),
    ],
    ids=["single", "multi", "intensity", "numeric"],
)
def test_grammar_allows_exactly_the_tasks_answers(task, good, bad):
    grammar = Grammar(task, Digits())
    for answer in good:
        assert reachable(grammar, answer), answer
        assert task.parse(answer).status == "ok"
    for answer in bad:
        assert not reachable(grammar, answer), answer


def test_grammar_ends_after_the_end():
    grammar = Grammar(CAP, Digits())
    assert grammar.allowed([32, 54, 0, 0]) == [0]


def test_scoring_equals_constrained_generation(base, frame, monkeypatch):
    scored = predict(CAP, frame, base, threads=1)
    monkeypatch.setattr(Grammar, "single_tokens", lambda self: None)
    generated = predict(CAP, frame, base, threads=1)
    pd.testing.assert_frame_equal(scored, generated)


@pytest.mark.parametrize("task", [CAP, DATAVERSE, FLOURISHING], ids=lambda task: task.name)
def test_order_and_batches_do_not_matter(base, frame, task):
    one = predict(task, frame, base, batch_size=1, max_new_tokens=6, threads=1)
    many = predict(task, frame, base, batch_size=4, max_new_tokens=6, threads=1)
    pd.testing.assert_frame_equal(one, many)
    assert one["id"].tolist() == frame["id"].tolist()
    assert one["split"].tolist() == frame["split"].tolist()


def test_multi_label_answers_have_the_format(base, frame):
    done = predict(FLOURISHING, frame, base, max_new_tokens=100, threads=1)
    assert (done["status"] == "ok").all()
    for answer, cell in zip(done["answer"], done["labels"], strict=True):
        assert FLOURISHING.completion(FLOURISHING.loads(cell)) == answer


def test_free_generation_reports_what_it_cannot_read(base, frame):
    done = predict(CAP, frame, base, constrained=False, max_new_tokens=4, threads=1)
    assert set(done["status"]) <= {"unparsed", "off_list"}
    assert (done["labels"] == "null").all()
    assert "quota" in done["answer"][0]  # the untuned model repeats its prompt


def test_as_frame_keeps_status_and_empty_labels():
    frame = pd.DataFrame({"id": ["a", "b", "c"], "split": "test"})
    done = as_frame(DATAVERSE, frame, [" 1 3", " 99", " what"])
    assert done["status"].tolist() == ["ok", "off_list", "unparsed"]
    assert done["labels"].tolist()[1:] == ["[]", "[]"]


def test_many_prompts_become_the_tokens_of_each(base, monkeypatch):
    monkeypatch.setattr("helpers.language_models.TOGETHER", 3)
    tokenizer = load_tokenizer(base)
    texts = ["tax", "", "a very long text " * 40, "Fish & ships\n", "x", "Übersee"]
    prompts = [CAP.prompt(text, "short") for text in texts]
    found = prompts_tokens(tokenizer, prompts, 32)
    assert found == [prompt_tokens(tokenizer, prompt, 32) for prompt in prompts]
    assert [len(tokens) for tokens in found].count(32) == 1
    with pytest.raises(LanguageModelError, match="without its text"):
        prompts_tokens(tokenizer, prompts, 3)


def test_tokens_of_an_answer_do_not_depend_on_neighbours(base):
    from helpers.language_models import completion_tokens

    tokenizer = load_tokenizer(base)
    tokens = completion_tokens(tokenizer, " 4 high 12 low")
    assert tokenizer.decode(tokens) == "4 high 12 low [SEP]"
    assert tokens == [*tokenizer("4 high 12 low")["input_ids"][1:], tokenizer.eos_token_id]
