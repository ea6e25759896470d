"""The protocol: what is sent, what a reply says, and what decides a request's key."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.labelling import wire
from helpers.labelling.parsing import parse
from helpers.labelling.questions import Asked, Option, Question
from helpers.plans import Endpoint, Labeller

OPTIONS = (Option("1", "Macroeconomics"), Option("6", "Education"))
SINGLE = Question("cap", "v4", "majors", "1: Macro\n6: Edu\n\n", "\n\nCode:", OPTIONS, none=True)
MANY = replace(SINGLE, many=True)
LEVELS = replace(MANY, levels=("low", "high"))
CHAT = Endpoint(base_url="http://localhost:1/v1")
PLAIN = Endpoint(base_url="http://localhost:1/v1", api="completions")
LABELLER = Labeller(kind="endpoint", method="v4", model="m", endpoint="e")
ASKED = Asked("t1", "On schools.", SINGLE)
CHAT_REPLY = {
    "model": "m-2",
    "system_fingerprint": "fp",
    "choices": [{"message": {"content": " 6"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
}


def chat_reply(**choice):
    return {**CHAT_REPLY, "choices": [{**CHAT_REPLY["choices"][0], **choice}]}


def test_a_chat_request_is_one_user_message():
    assert wire.body(ASKED, LABELLER, CHAT) == {
        "model": "m",
        "temperature": 0.0,
        "seed": 1,
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "1: Macro\n6: Edu\n\nOn schools.\n\nCode:"}],
    }


def test_a_plain_completion_ends_with_the_line():
    sent = wire.body(ASKED, LABELLER, PLAIN)
    assert sent["prompt"].endswith("On schools.\n\nCode:")
    assert sent["stop"] == ["\n"]
    assert not {"messages", "logprobs", "response_format"} & set(sent)


@pytest.mark.full  # importing the server takes longer than all other tests
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_transformers_serve_accepts_every_field(api):
    serving = pytest.importorskip(
        "transformers.cli.serving." + {"chat": "chat_completion", "completions": "completion"}[api]
    )
    names = {
        "chat": "TransformersCompletionCreateParamsStreaming",
        "completions": "TransformersTextCompletionCreateParams",
    }
    accepted = getattr(serving, names[api]).__mutable_keys__
    endpoint = Endpoint(base_url="http://localhost:1/v1", api=api, logprobs=True)
    assert set(wire.body(ASKED, LABELLER, endpoint)) <= set(accepted)


def test_openai_gets_the_new_name_of_the_longest_answer():
    for host, name in [
        ("api.openai.com", "max_completion_tokens"),
        ("me.openai.azure.com", "max_completion_tokens"),
        ("notopenai.com", "max_tokens"),
    ]:
        assert wire.body(ASKED, LABELLER, Endpoint(base_url=f"https://{host}/v1"))[name] == 64


def test_the_schema_lists_the_codebook():
    single = wire.schema_of(SINGLE)["properties"]["answer"]
    many = wire.schema_of(MANY)["properties"]["answers"]
    level = wire.schema_of(LEVELS)["properties"]["answers"]["items"]
    assert single["enum"] == ["1", "6", "none"]
    assert many["items"]["enum"] == ["1", "6"]
    assert level["properties"]["level"]["enum"] == ["low", "high"]
    assert level["required"] == ["code", "level"]
    assert level["additionalProperties"] is False


@pytest.mark.parametrize("question", [SINGLE, MANY, LEVELS], ids=["single", "many", "levels"])
def test_what_fits_the_schema_can_be_parsed(question):
    answers = {
        1: ['{"answer": "6"}', '{"answer": "none"}'],
        2: ['{"answers": ["6"]}', '{"answers": []}'],
        3: ['{"answers": [{"code": "6", "level": "high"}]}', '{"answers": []}'],
    }[1 + question.many + bool(question.levels)]
    level = "high" if question.levels else ""
    found = [parse(question, answer) for answer in answers]
    assert [one.status for one in found] == ["ok", "ok"]
    assert [one.chosen for one in found] == [(("6", level),), ()]


def test_json_is_asked_for_in_words_too():
    for structured in ("json_schema", "json_object"):
        endpoint = CHAT.model_copy(update={"structured": structured})
        sent = wire.body(replace(ASKED, question=LEVELS), LABELLER, endpoint)
        assert sent["response_format"]["type"] == structured
        content = sent["messages"][0]["content"]
        assert '{"answers": [{"code": "<code>", "level": "<level>"}, ...]}' in content
        assert "low, high" in content


def test_the_key_changes_with_what_decides_the_answer_and_nothing_else():
    key = wire.key_of(ASKED, LABELLER, CHAT, "here")

    def changed(asked=ASKED, labeller=None, endpoint=None, identity="here"):
        labeller = LABELLER.model_copy(update=labeller or {})
        return wire.key_of(asked, labeller, CHAT.model_copy(update=endpoint or {}), identity) != key

    assert changed(replace(ASKED, text="Other."))
    assert changed(replace(ASKED, question=replace(SINGLE, tail="\nTopic:")))
    assert changed(labeller={"temperature": 1.0})
    assert changed(labeller={"sampling_seed": 2})
    assert changed(labeller={"max_tokens": 65})
    assert changed(labeller={"model": "n"})
    assert changed(endpoint={"structured": "json_object"})
    assert changed(endpoint={"api": "completions"})
    assert changed(identity="there")
    assert not changed(replace(ASKED, text_id="t2"))
    assert not changed(endpoint={"timeout": 5.0, "concurrency": 3, "attempts": 1, "logprobs": True})
    assert not changed(labeller={"method": "v2", "propose": 1})


def test_a_reply_is_read():
    found = wire.read(CHAT_REPLY)
    assert (found.status, found.content, found.finish_reason) == ("ok", " 6", "stop")
    assert (found.served_model, found.fingerprint) == ("m-2", "fp")
    assert (found.prompt_tokens, found.completion_tokens) == (7, 2)
    assert found.confidence is None
    plain = wire.read({"choices": [{"text": " 6", "finish_reason": "stop"}]})
    assert (plain.status, plain.content, plain.prompt_tokens) == ("ok", " 6", None)


@pytest.mark.parametrize(
    ("choice", "status", "content"),
    [
        ({"message": {"content": None, "refusal": "No."}}, "refused", "No."),
        ({"finish_reason": "content_filter"}, "refused", " 6"),
        ({"finish_reason": "length"}, "truncated", " 6"),
        ({"message": {"content": None}}, "ok", ""),
        ({"message": {"content": "\ud83d"}}, "ok", "?"),
    ],
)
def test_the_status_says_why_an_answer_ended(choice, status, content):
    found = wire.read(chat_reply(**choice))
    assert (found.status, found.content) == (status, content)


def test_log_probabilities_become_a_confidence():
    chat = chat_reply(logprobs={"content": [{"logprob": -0.5}, {"logprob": -0.25}]})
    plain = {"choices": [{"text": "6", "logprobs": {"token_logprobs": [-0.5, -0.25]}}]}
    assert wire.read(chat).confidence == pytest.approx(math.exp(-0.75))
    assert wire.read(plain).confidence == pytest.approx(math.exp(-0.75))
    for odd in ({}, {"content": []}, {"content": [{"logprob": None}]}, {"token_logprobs": "x"}, 3):
        assert wire.read(chat_reply(logprobs=odd)).confidence is None
    assert wire.read(chat_reply(logprobs={"content": [{"logprob": 1e-9}]})).confidence == 1.0


@pytest.mark.parametrize(
    "reply",
    [None, [], "x", 3, {}, {"choices": []}, {"choices": None}, {"choices": [3]},
     {"choices": [{}]}, {"choices": [{"message": {}}]}, {"choices": [{"message": {"content": 3}}]},
     {"choices": [{"text": None}]}, {"error": {"message": "overloaded"}}],
)  # fmt: skip
def test_another_form_is_no_answer(reply):
    with pytest.raises(wire.BadReply):
        wire.read(reply)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "text", "usage", "logprobs", "x"]),
        inner, max_size=4),
)  # fmt: skip


@given(JSON)
def test_any_json_is_read_or_refused(reply):
    for odd in (
        reply,
        {"choices": [reply]},
        chat_reply(logprobs=reply),
        {**CHAT_REPLY, "usage": reply},
    ):
        try:
            found = wire.read(odd)
        except wire.BadReply:
            continue
        assert found.status in ("ok", "refused", "truncated")
        json.dumps(found.content).encode()
