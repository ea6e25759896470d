"""Baselines: what they learn from, what they return, and that they repeat themselves."""

import numpy as np
import pandas as pd
import pytest

from helpers.baselines import (
    BASELINES,
    BaselineError,
    applicable,
    codebook_phrases,
    label_similarity,
    predict_baseline,
    remembered,
    title,
)
from helpers.metrics import counts_from_frames, scores
from helpers.tasks import load_task

CUES = {
    "cap": [
        ("6", "school pupils teachers"),
        ("3", "hospital doctors patients"),
        ("7", "water air"),
    ],
    "dataverse": [
        (["Physics"], "laser photons"),
        (["Chemistry"], "acid solvent"),
        (["Chemistry", "Physics"], "laser acid"),
    ],
    "flourishing": [
        ({"happiness": "high"}, "joy smile"),
        ({"loneliness": "low"}, "alone empty"),
        ({}, "bus timetable"),
    ],
    "conflict": [(1.0, "calm quiet"), (4.0, "bombs shells"), (6.0, "bombs shells massacre")],
}
TASKS = tuple(CUES)


def make_texts(task, n=90):
    """Texts whose words give the label away, split 2:1."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(n):
        labels, words = CUES[task.name][i % 3]
        noise = " ".join(f"w{k}" for k in rng.integers(0, 30, 4))
        split = "train" if i % 9 < 6 else "test"
        rows.append((f"t{i}", f"{words} {noise}", task.dumps(task.check_labels(labels)), split))
    return pd.DataFrame(rows, columns=["id", "text", "labels", "split"])


def embed(texts):
    """Count the cue words: a stand-in for a sentence encoder."""
    words = sorted({w for cues in CUES.values() for _, cue in cues for w in cue.split()})
    words += ["Physics", "Chemistry"]
    return np.array([[text.count(w) + 0.01 for w in words] for text in texts], dtype=np.float32)


def pairs():
    tasks = [load_task(name) for name in TASKS]
    return [(b, t.name) for t in tasks for b in BASELINES if applicable(b, t)]


def score(task, texts, predictions, split="test"):
    frame = predictions.assign(truth=texts["labels"].to_numpy())
    return scores(counts_from_frames(task, frame[frame["split"] == split]))


@pytest.mark.parametrize(("name", "task_name"), pairs())
def test_every_baseline_gives_a_valid_frame_twice(name, task_name):
    task = load_task(task_name)
    texts = make_texts(task)
    found = predict_baseline(name, task, texts, embed)
    assert list(found.columns) == ["id", "split", "status", "answer", "labels"]
    assert found[["id", "split"]].equals(texts[["id", "split"]])
    assert set(found["status"]) == {"ok"}
    for answer, cell in zip(found["answer"], found["labels"], strict=True):
        labels = task.loads(cell)
        assert task.check_labels(labels) == labels
        parsed = task.parse(answer)
        assert parsed.status == "ok"
        assert parsed.labels == pytest.approx(labels, abs=0.051)
    assert found.equals(predict_baseline(name, task, texts, embed))


@pytest.mark.parametrize("task_name", TASKS)
@pytest.mark.parametrize("name", ["tfidf-lr", "embeddings-lr"])
def test_regressions_learn_what_the_words_give_away(name, task_name):
    task = load_task(task_name)
    texts = make_texts(task)
    found = score(task, texts, predict_baseline(name, task, texts, embed))
    metric = {"single": "accuracy", "numeric": "r2"}.get(task.label_type, "jaccard")
    assert found[metric] > 0.9


@pytest.mark.parametrize(("name", "task_name"), pairs())
def test_only_training_labels_are_learnt_from(name, task_name):
    task = load_task(task_name)
    texts = make_texts(task)
    shuffled = texts.copy()
    held_out = (texts["split"] != "train").to_numpy()
    shuffled.loc[held_out, "labels"] = texts.loc[held_out, "labels"].to_numpy()[::-1]
    assert not shuffled["labels"].equals(texts["labels"])
    first = predict_baseline(name, task, texts, embed)
    assert first.equals(predict_baseline(name, task, shuffled, embed))


def test_majority_and_nothing_by_hand():
    cap = load_task("cap")
    texts = pd.DataFrame(
        {
            "id": list("abcd"),
            "text": list("abcd"),
            "labels": [cap.dumps(code) for code in ("6", "3", "6", "3")],
            "split": ["train", "train", "train", "test"],
        }
    )
    assert set(predict_baseline("majority", cap, texts)["labels"]) == {'"6"'}
    flourishing = load_task("flourishing")
    sets = [
        {"happiness": "low"},
        {"happiness": "high"},
        {"happiness": "high", "resilience": "low"},
        {},
    ]
    texts["labels"] = [flourishing.dumps(item) for item in sets]
    assert set(predict_baseline("majority", flourishing, texts)["labels"]) == {
        '{"happiness": "high"}'
    }
    nothing = predict_baseline("predict-nothing", flourishing, texts)
    assert set(nothing["labels"]) == {"{}"}
    assert set(nothing["answer"]) == {"none"}


def test_zero_shot_takes_the_nearest_phrase():
    texts = ["a", "b"]
    vectors = {"a": [1, 0], "b": [0, 1], "x": [1, 1], "y": [0, 2], "z": [3, 0]}
    found = label_similarity(
        lambda items: np.array([vectors[i] for i in items]),
        texts,
        {"1": ["x", "y"], "2": ["z"]},
        ["1", "2"],
    )
    np.testing.assert_allclose(found, [[0.5**0.5, 1], [1, 0]])


def test_codebook_phrases_name_every_label():
    cap = load_task("cap")
    phrases = codebook_phrases(cap)
    assert list(phrases) == cap.labels
    assert sum(map(len, phrases.values())) == 250
    assert all(item.startswith(cap.label_names["6"] + ": ") for item in phrases["6"])
    assert codebook_phrases(load_task("dataverse"))["Physics"] == ["Physics"]


def test_tiny_training_sets_do_not_crash():
    cap = load_task("cap")
    texts = make_texts(cap).head(9)
    one_class = texts.assign(labels=cap.dumps("6"))
    for name in ("tfidf-lr", "embeddings-lr"):
        assert len(predict_baseline(name, cap, texts, embed)) == 9
        assert set(predict_baseline(name, cap, one_class, embed)["labels"]) == {'"6"'}
    task = load_task("flourishing")
    empty = make_texts(task).head(9).assign(labels="{}")
    assert set(predict_baseline("embeddings-lr", task, empty, embed)["labels"]) == {"{}"}


def test_misuse_is_named():
    cap = load_task("cap")
    texts = make_texts(cap)
    with pytest.raises(BaselineError, match="unknown baseline"):
        predict_baseline("majorty", cap, texts)
    with pytest.raises(BaselineError, match="does not apply"):
        predict_baseline("predict-nothing", cap, texts)
    with pytest.raises(BaselineError, match="embeds"):
        predict_baseline("zero-shot", cap, texts)
    with pytest.raises(BaselineError, match="no text of split 'train'"):
        predict_baseline("majority", cap, texts.assign(split="test"))


def test_embeddings_are_computed_once():
    calls = []
    once = remembered(lambda texts: calls.append(texts) or np.zeros((len(texts), 2)))
    assert once(["a"]) is once(["a"])
    once(["b"])
    assert calls == [["a"], ["b"]]


def test_titles_follow_the_label_type():
    assert title("majority", load_task("conflict")) == "Mean of the training texts"
    assert title("tfidf-lr", load_task("cap")) == "TF-IDF + logistic regression"
    assert title("tfidf-lr", load_task("conflict")) == "TF-IDF + ridge regression"
    assert title("embeddings-lr", load_task("cap"), short=True) == "Sentence embeddings + LR"
