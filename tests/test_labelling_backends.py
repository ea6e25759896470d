"""Labellers in this process: the sentence encoder and a causal language model."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from helpers import offline_model
from helpers.labelling.encoder import EncoderLabeller
from helpers.labelling.label import label_texts
from helpers.labelling.local import LocalModelLabeller
from helpers.labelling.methods import method
from helpers.labelling.questions import Asked, Option, Question
from helpers.language_models import LanguageModelError
from helpers.plans import HelpersError, Labeller
from helpers.prediction import predict
from helpers.tasks import load_task

CAP, DATAVERSE = load_task("cap"), load_task("dataverse")
FLOURISHING = load_task("flourishing")


class Words:
    """Embeds a text as its words, each a random but fixed direction; counts what it embeds."""

    def __init__(self):
        self.seen = []

    def __call__(self, texts):
        self.seen += texts
        return np.stack([self.one(text) for text in texts])

    @staticmethod
    def one(text):
        words = [word.strip(",.:()").lower() for word in text.split()]
        seeds = [int(hashlib.sha256(word.encode()).hexdigest()[:8], 16) for word in words]
        return sum((np.random.default_rng(seed).normal(size=256) for seed in seeds), np.zeros(256))


def frame(texts):
    return pd.DataFrame({"id": [f"t{i}" for i in range(len(texts))], "text": texts})


def label(task, name, texts, backend, **settings):
    who = Labeller(kind="encoder", method=name)
    return label_texts(task, frame(texts), who, backend, name=name, **settings)


# --- encoder ------------------------------------------------------------------------------------


def test_centring_takes_out_a_label_that_is_near_to_every_text():
    subjects = ["Law", "Physics", "Chemistry", "Engineering", "Agricultural Sciences"]
    hub = "Astronomy and Astrophysics " * 3  # in all texts, and louder than their own subject
    texts = [f"{hub}{subject}" for subject in subjects]
    nearest = EncoderLabeller(DATAVERSE, Words(), propose=1)
    centred = EncoderLabeller(DATAVERSE, Words(), propose=1, centre=True)
    found = [label(DATAVERSE, "direct", texts, encoder)["labels"] for encoder in (nearest, centred)]
    names = [[DATAVERSE.label_names[DATAVERSE.loads(x)[0]] for x in column] for column in found]
    assert set(names[0]) == {"Astronomy and Astrophysics"}
    assert names[1] == subjects


@pytest.mark.parametrize("name", ["v1", "v2", "v3"])
def test_the_encoder_finds_the_subtopic_that_a_text_names(name):
    texts = ["Higher Education", "Animal Disease", "Radio and television", "Prisons"]
    if name == "v1":  # its last question knows the topics' names only
        texts = [
            f"{text}: {CAP.label_names[key]}"
            for text, key in zip(texts, ["6", "4", "23", "12"], strict=True)
        ]
    done = label(CAP, name, texts, EncoderLabeller(CAP, Words()))
    assert (done["status"] == "ok").all()
    assert done["labels"].tolist() == ['"6"', '"4"', '"23"', '"12"']
    assert done["confidence"].isna().all()  # a cosine is no probability


def test_the_encoder_embeds_everything_once():
    embed = Words()
    backend = EncoderLabeller(CAP, embed)
    for name in ("v1", "v2", "v3", "v4"):
        label(CAP, name, ["Prisons", "Energy", "Prisons again"], backend)
    assert len(embed.seen) == len(set(embed.seen))


def test_the_encoder_hits_only_the_shortlist_of_the_whole_codebook():
    questions = next(method("v1", CAP)())
    asked = [Asked("a", "animal disease", question) for question in questions]
    hits = [
        [code for answer in EncoderLabeller(CAP, Words(), shortlist=k).answer(asked)
         for code, _ in answer.chosen]
        for k in (1, 5, 50)
    ]  # fmt: skip
    assert hits[0] == ["410"]
    assert 1 <= len(hits[1]) <= 5
    assert set(hits[0]) <= set(hits[1]) <= set(hits[2])
    assert len(hits[2]) > len(hits[1])


def test_a_name_that_several_topics_share_is_a_hit_in_each():
    asked = [Asked("a", "Research and Development", q) for q in next(method("v2", CAP)())]
    found = EncoderLabeller(CAP, Words(), shortlist=1).answer(asked)
    shared = CAP.subtopics[CAP.subtopics["name"] == "Research and Development"]
    assert [code for answer in found for code, _ in answer.chosen] == shared["code"].tolist()


def test_the_encoder_does_not_depend_on_what_is_asked_together():
    texts = ["Higher Education", "Animal Disease and farms", "Radio and television at sea"]
    together = label(CAP, "v2", texts, EncoderLabeller(CAP, Words()))
    alone = [label(CAP, "v2", [text], EncoderLabeller(CAP, Words())) for text in texts]
    assert together["labels"].tolist() == [table["labels"][0] for table in alone]


@pytest.mark.parametrize("name", ["direct", "groups"])
def test_the_encoder_proposes_the_nearest_labels_with_the_middle_level(name):
    backend = EncoderLabeller(FLOURISHING, Words(), propose=2)
    done = label(FLOURISHING, name, ["depression anxiety depression anxiety tea"], backend)
    assert FLOURISHING.loads(done["labels"][0]) == {"depression": "medium", "anxiety": "medium"}


def test_an_embedding_of_the_wrong_shape_is_refused():
    with pytest.raises(HelpersError, match="one row a text"):
        label(CAP, "v4", ["x"], EncoderLabeller(CAP, lambda texts: np.zeros((1, 8))))


# --- local model --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


@pytest.fixture(scope="module")
def local(base):
    return LocalModelLabeller(base, batch_size=3, threads=1, max_tokens=40)


TEXTS = ["fishing quotas", "a text about asylum and borders " * 9, "tax", "trains " * 30]


def test_the_local_model_answers_as_prediction_does(base, local):
    done = label(CAP, "v4", TEXTS, local, style="short")
    expected = predict(CAP, frame(TEXTS).assign(split="x"), base, threads=1)
    assert done["labels"].tolist() == expected["labels"].tolist()
    assert done["confidence"].between(1 / 21, 1).all()


def test_the_confidence_is_the_probability_among_the_options(base, local):
    import torch

    question = next(method("v4", CAP, style="short")())[0]
    (answer,) = local.answer([Asked("a", "tax", question)])
    model, tokenizer = local._loaded
    ids = tokenizer("tax topic :", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0, -1]
    codes = list(CAP.codes.values())
    tokens = [tokenizer(code, add_special_tokens=False).input_ids[0] for code in codes]
    shares = torch.softmax(logits[tokens], 0)
    assert codes[int(shares.argmax())] == answer.chosen[0][0]
    assert answer.confidence == pytest.approx(float(shares.max()), rel=1e-4)


def test_questions_of_all_kinds_in_one_batch_get_answers_that_can_be_read(local):
    none = next(method("v1", CAP)())[5]
    asked = [
        Asked("a", "tax", next(method("v4", CAP, style="short")())[0]),
        Asked("b", "a school", none),
        Asked("c", "a school", next(method("v4", DATAVERSE, style="short")())[0]),
    ]
    found = local.answer(asked)
    alone = [local.answer([item])[0] for item in asked]
    assert [(a.status, a.chosen) for a in found] == [(a.status, a.chosen) for a in alone]
    assert {answer.status for answer in found} <= {"ok", "truncated"}
    assert found[0].status == found[1].status == "ok"
    assert all(0 < answer.confidence <= 1 for answer in found)


def test_codes_that_begin_another_code_can_be_chosen(local):
    options = tuple(Option(code, code) for code in ("160", "1602", "16024"))
    question = Question("cap", "v3", "x", "", " topic :", options, none=True)
    (answer,) = local.answer([Asked("a", "tax", question)])
    assert answer.status == "ok"


def test_an_answer_without_an_end_is_truncated_not_a_label(base):
    cut = LocalModelLabeller(base, threads=1, max_tokens=1)
    question = next(method("v4", DATAVERSE, style="short")())[0]
    (answer,) = cut.answer([Asked("a", "a survey of schools", question)])
    assert (answer.status, answer.chosen) == ("truncated", ())


def test_a_list_of_options_that_is_too_long_for_the_model_is_an_error(local):
    with pytest.raises(LanguageModelError, match="short prompt"):
        label(CAP, "v3", ["tax"], local)


def test_no_questions_load_no_model():
    assert LocalModelLabeller("no such model").answer([]) == []
