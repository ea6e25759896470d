"""Fast prediction: shared beginnings, batches by memory, precision and engines change no answer."""

import dataclasses
import sys
from types import ModuleType, SimpleNamespace

import pandas as pd
import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM

from helpers import offline_model
from helpers.grammar import Grammar, Walk
from helpers.language_models import load_model, load_tokenizer
from helpers.prediction import PredictionError, Speed, answer, predict
from helpers.prediction import batches as batching
from helpers.prediction.batches import Limit, in_batches, token_budget
from helpers.prediction.precision import agreement, to_int8
from helpers.prediction.prefix import common_length, share, why_not
from helpers.prediction.speed import has_bfloat16
from helpers.prediction.vllm import allowed_answers
from helpers.prediction.writer import Writer
from helpers.profiles import REPO
from helpers.tasks import NONE, load_task

CAP, FLOURISHING = load_task("cap"), load_task("flourishing")
SHARED, ALONE = Speed(share_prefix="on"), Speed(share_prefix="off")
SMALL = {"num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4}
PLAIN = {**SMALL, "intermediate_size": 64, "max_position_embeddings": 1024}
KINDS = {
    "llama": ("LlamaConfig", {**PLAIN, "num_key_value_heads": 2}),
    "gpt2": ("GPT2Config", {**SMALL, "n_positions": 1024}),
    "qwen": ("Qwen2Config", {**PLAIN, "num_key_value_heads": 2}),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return offline_model.build(2, tmp_path_factory.mktemp("models") / "minilm-2l")


@pytest.fixture(scope="module")
def tokenizer(base):
    return load_tokenizer(base)


@pytest.fixture(scope="module")
def frame():
    texts = ["tax " * 3, "asylum and borders " * 9, "fishing quotas", "trains and ships " * 20, "x"]
    return pd.DataFrame({"id": [f"t{i}" for i in range(5)], "text": texts, "split": "test"})


def tiny(kind, tokenizer, **changes):
    name, options = KINDS[kind]
    config = getattr(transformers, name)(
        **{"vocab_size": len(tokenizer), "initializer_range": 0.3, **options, **changes}
    )
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("task", [CAP, FLOURISHING], ids=lambda task: task.name)
def test_a_shared_beginning_changes_no_answer(kind, task, frame, tokenizer):
    """Labels scored and answers written, in batches with left padding of different width."""
    model = tiny(kind, tokenizer)
    options = {"prompt_style": "full", "max_prompt_tokens": 400, "max_new_tokens": 6}
    with_it = answer(task, frame, model, tokenizer, batch_size=3, speed=SHARED, **options)
    without = answer(task, frame, model, tokenizer, batch_size=3, speed=ALONE, **options)
    pd.testing.assert_frame_equal(with_it, without)
    free = {"constrained": False, "speed": SHARED}
    written = answer(task, frame, model, tokenizer, **options | free)
    expected = answer(task, frame, model, tokenizer, **options | free | {"speed": ALONE})
    pd.testing.assert_frame_equal(written, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_logits_behind_a_shared_beginning_are_those_of_whole_prompts(kind, tokenizer):
    model = tiny(kind, tokenizer)
    beginning = list(range(1000, 1070))
    prompts = [[*beginning, 7], [*beginning, *range(2000, 2030)], [*beginning, 8, 9]]
    seen = []
    with torch.inference_mode():
        shared = share(model, prompts, "on")
        assert shared.tokens == beginning
        for start, states in ((70, shared), (0, None)):
            writer = Writer(
                model,
                tokenizer,
                Grammar(CAP, tokenizer),
                constrained=True,
                longest=1,
                shared=states,
            )
            writer._named = seen.append
            writer.write([prompt[start:] for prompt in prompts])
    assert torch.allclose(seen[0], seen[1], atol=1e-4)
    assert seen[0].std() > 0.01


def test_a_beginning_is_shared_where_it_pays(tokenizer):
    model = tiny("llama", tokenizer)
    few, many = list(range(1000, 1010)), list(range(1000, 1100))
    with torch.inference_mode():
        assert share(model, [[*few, 1], [*few, 2]], "auto") is None
        assert share(model, [[*many, 1]], "auto") is None
        assert share(model, [[*many, 1], [*many, 2]], "off") is None
        assert share(model, [[*many, 1], [*many, 2]], "auto").tokens == many
        # Equal prompts, and one that is another's beginning, keep a token of their own.
        assert share(model, [many, many, [*many, 2]], "auto").tokens == many[:-1]
    assert common_length([[1, 2], [1, 2, 3], [1, 2, 4]]) == 2


def test_models_for_which_it_is_not_exact_are_refused(base, frame, tokenizer):
    with pytest.raises(PredictionError, match=r"prefix attention.*share_prefix: auto"):
        predict(CAP, frame, base, prompt_style="full", speed=SHARED, threads=1)
    auto = predict(CAP, frame, base, prompt_style="full", threads=1)
    off = predict(CAP, frame, base, prompt_style="full", speed=ALONE, threads=1)
    pd.testing.assert_frame_equal(auto, off)
    torch.manual_seed(1)
    sliding = transformers.MistralConfig(
        vocab_size=200, sliding_window=64, num_key_value_heads=2, **PLAIN
    )
    assert "sliding window" in why_not(AutoModelForCausalLM.from_config(sliding))
    mamba = transformers.MambaConfig(vocab_size=200, hidden_size=32, num_hidden_layers=2)
    assert "keeps no keys" in why_not(AutoModelForCausalLM.from_config(mamba))


def test_a_model_that_looks_ahead_without_saying_so_is_found_out(tokenizer):
    model = tiny("llama", tokenizer)
    inner = model.forward

    def forward(input_ids=None, position_ids=None, past_key_values=None, **others):
        """Give each token a hint of the last one, as attention to what follows would."""
        shifted = (input_ids + input_ids[:, -1:]) % 1000
        return inner(
            input_ids=shifted, position_ids=position_ids, past_key_values=past_key_values, **others
        )

    model.forward = forward
    many = list(range(100, 200))
    with torch.inference_mode():
        assert share(model, [[*many, 1], [*many, 2]], "auto") is None
        with pytest.raises(PredictionError, match="kept states"):
            share(model, [[*many, 1], [*many, 2]], "on")


def test_models_without_the_usual_arguments_are_scored(frame, tokenizer):
    """Bloom counts positions by itself."""
    torch.manual_seed(1)
    config = transformers.BloomConfig(
        vocab_size=len(tokenizer), hidden_size=32, n_layer=2, n_head=4
    )
    model = AutoModelForCausalLM.from_config(config).eval()
    one = answer(CAP, frame, model, tokenizer, batch_size=1)
    many = answer(CAP, frame, model, tokenizer, batch_size=4)
    pd.testing.assert_frame_equal(one, many)


@pytest.mark.parametrize("kind", [*KINDS, "offline"])
def test_the_head_is_applied_to_labels_alone_and_is_whole_again(
    kind, base, frame, tokenizer, monkeypatch
):
    model = load_model(base).eval() if kind == "offline" else tiny(kind, tokenizer)
    head, seen = model.get_output_embeddings(), []
    named = Writer._named

    def keep(self, scores):
        seen.append(scores)
        return named(self, scores)

    monkeypatch.setattr(Writer, "_named", keep)
    fast = answer(CAP, frame, model, tokenizer, batch_size=5, speed=ALONE)
    assert seen[0].shape == (len(frame), len(CAP.labels))
    assert head(torch.zeros(1, head.in_features)).shape[-1] == head.out_features
    monkeypatch.setattr("helpers.prediction.writer._rows_of", lambda head, tokens: None)
    whole = answer(CAP, frame, model, tokenizer, batch_size=5, speed=ALONE)
    assert seen[1].shape == (len(frame), head.out_features)
    labels = Grammar(CAP, tokenizer).single_tokens()
    torch.testing.assert_close(seen[0], seen[1][:, labels], rtol=1e-5, atol=1e-5)
    pd.testing.assert_frame_equal(fast, whole)


def test_answers_are_those_of_one_text_at_a_time(base, frame, tokenizer, monkeypatch):
    monkeypatch.syspath_prepend(REPO / "bench")
    from published_prediction import one_at_a_time

    model = load_model(base)
    published = one_at_a_time(CAP, frame, model, tokenizer, new_tokens=5)
    batched = answer(CAP, frame, model, tokenizer, constrained=False, max_new_tokens=5)
    pd.testing.assert_frame_equal(published, batched)
    endless = one_at_a_time(CAP, frame[:1], model, tokenizer, new_tokens=3, stop=False)
    assert len(tokenizer(endless["answer"][0], add_special_tokens=False)["input_ids"]) == 3


# --- batches ------------------------------------------------------------------------------------


def test_batches_follow_rows_or_tokens():
    sizes = []

    def write(rows):
        sizes.append(len(rows))
        return [str(i) for i in rows]

    lengths = [10, 30, 20, 10, 10, 10]
    names = list(range(6))
    assert in_batches(write, lengths, Limit(4), names) == list("012345")
    assert sizes == [4, 2]
    sizes.clear()
    assert in_batches(write, lengths, Limit(None, 40), names) == list("012345")
    assert sizes == [1, 2, 3]  # 30; 2 x 20; 3 x 10
    sizes.clear()
    in_batches(write, lengths, Limit(None, 40, shared=30), names)
    assert sizes == [1] * 6  # a text beyond the budget is asked alone


@pytest.mark.parametrize(
    "error",
    [
        None,  # a real one, from torch's allocator
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        MemoryError(),
    ],
    ids=["cpu", "cuda", "python"],
)
def test_a_batch_that_does_not_fit_is_halved_and_no_text_is_lost(error, base, frame, monkeypatch):
    expected = predict(CAP, frame, base, threads=1)
    sizes, whole = [], Writer.write

    def write(self, prompts):
        sizes.append(len(prompts))
        if len(prompts) > 2:
            if error is None:
                torch.empty(2**55)
            raise error
        return whole(self, prompts)

    monkeypatch.setattr(Writer, "write", write)
    done = predict(CAP, frame, base, threads=1)
    pd.testing.assert_frame_equal(done, expected)
    assert sizes[:2] == [5, 2] and sum(size for size in sizes if size <= 2) == 5


def test_a_text_that_does_not_fit_alone_is_named(base, frame, monkeypatch):
    def write(self, prompts):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(Writer, "write", write)
    with pytest.raises(PredictionError, match=r"text t3 .*lower max_prompt_tokens"):
        predict(CAP, frame, base, threads=1)


def test_other_errors_are_not_taken_for_a_lack_of_memory(base, frame, monkeypatch):
    def write(self, prompts):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(Writer, "write", write)
    with pytest.raises(RuntimeError, match="shapes"):
        predict(CAP, frame, base, threads=1)


def test_the_budget_follows_memory_and_size(tokenizer, frame, monkeypatch):
    def free(bytes_):
        monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=bytes_))

    small, wide = tiny("llama", tokenizer), tiny("llama", tokenizer, intermediate_size=640)
    free(10**8)
    budget = token_budget(small, 0)
    assert budget > token_budget(wide, 0) and budget > token_budget(small, 8)
    free(10**7)
    assert abs(token_budget(small, 0) - budget / 10) <= 1
    free(10**15)
    assert token_budget(small, 0) == batching.MOST_TOKENS
    one = answer(CAP, frame, small, tokenizer, speed=Speed(batch_tokens="auto"))
    two = answer(CAP, frame, small, tokenizer, speed=Speed(batch_tokens=70))
    pd.testing.assert_frame_equal(one, two)


def test_a_batch_on_a_cpu_holds_what_its_caches_hold(base, frame, tokenizer, monkeypatch):
    given, model = [], load_model(base)
    write = Writer.write
    monkeypatch.setattr(Writer, "write", lambda self, p: given.append(len(p)) or write(self, p))
    monkeypatch.setattr("helpers.prediction.CPU_TOKENS", 150)
    small = answer(CAP, frame, model, tokenizer)
    assert given == [2, 3]  # the two longest texts count 63 tokens each, with padding
    given.clear()
    pd.testing.assert_frame_equal(answer(CAP, frame, model, tokenizer, batch_size=4), small)
    assert given == [4, 1]


# --- the grammar's walk -------------------------------------------------------------------------


def test_walk_reads_each_token_once(tokenizer, monkeypatch):
    grammar = Grammar(FLOURISHING, tokenizer)
    tokens = tokenizer(" 4 high 12 low", add_special_tokens=False)["input_ids"]
    rows = torch.tensor([[5, 5, *tokens], [5, 5, *tokens[:2], grammar.eos, grammar.eos]])
    read = []
    known = Grammar.following
    monkeypatch.setattr(Grammar, "following", lambda *given: read.append(given[2]) or known(*given))
    walk = Walk([grammar, grammar], 2)
    steps = [[walk(row, rows[row, :end]) for end in range(2, 7)] for row in (0, 1)]
    assert len(read) == 8
    assert steps[0] == [grammar.allowed(tokens[:end]) for end in range(5)]
    assert steps[1][-1] == [grammar.eos]


# --- precision ----------------------------------------------------------------------------------


def test_bfloat16_changes_little_and_nothing_when_it_is_off(base, frame):
    exact = predict(CAP, frame, base, threads=1)
    scores = {}
    for choice in ("none", "bfloat16"):
        seen = scores.setdefault(choice, [])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Writer, "_named", lambda self, s, seen=seen: seen.append(s) or [" 1"] * 5)
            predict(CAP, frame, base, threads=1, speed=Speed(autocast=choice))
    difference = (scores["none"][0] - scores["bfloat16"][0].float()).abs().max()
    assert 0 < difference < 0.05 * scores["none"][0].abs().max()
    assert scores["bfloat16"][0].dtype == torch.bfloat16
    pd.testing.assert_frame_equal(predict(CAP, frame, base, threads=1), exact)


def test_auto_takes_bfloat16_only_where_the_hardware_has_it(base, frame, monkeypatch):
    assert has_bfloat16("cpu") in (True, False)
    for there in (True, False):
        monkeypatch.setattr("helpers.prediction.speed.has_bfloat16", lambda device, x=there: x)
        seen = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Writer, "_named", lambda self, s, seen=seen: seen.append(s) or [" 1"] * 5)
            predict(CAP, frame, base, threads=1, speed=Speed(autocast="auto"))
        assert (seen[0].dtype == torch.bfloat16) is there


def test_kept_states_are_left_aside_under_bfloat16(base, frame, tokenizer):
    """They are shared with trainings, in float32: none may be made in bfloat16."""
    lower = SimpleNamespace(batch=lambda *_: pytest.fail("kept states were used"))
    model = load_model(base)
    done = answer(CAP, frame, model, tokenizer, lower=lower, speed=Speed(autocast="bfloat16"))
    assert (done["status"] == "ok").all()


def test_agreement_counts_equal_answers_and_the_difference_in_accuracy():
    ids = [f"t{i}" for i in range(10)]
    truth = pd.DataFrame({"id": ids, "labels": [CAP.dumps("1")] * 10})

    def answers(*codes):
        labels = [CAP.dumps(code) for code in codes]
        return pd.DataFrame({"id": ids, "split": "test", "status": "ok", "labels": labels})

    right = answers(*"1111111122")
    one_wrong = answers(*"1111111322").sample(frac=1, random_state=0)
    table = agreement(CAP, truth, right, {"same": right, "bf16": one_wrong}).set_index("name")
    assert table.loc["same", ["equal", "difference", "ci_low", "ci_high"]].tolist() == [1, 0, 0, 0]
    row = table.loc["bf16"]
    assert row["n"] == 10 and row["equal"] == 0.9
    assert row["equal_low"] < 0.9 < row["equal_high"]
    assert row["metric"] == "accuracy"
    assert row["score"] == pytest.approx(0.7) and row["reference"] == pytest.approx(0.8)
    assert row["ci_low"] <= row["difference"] <= row["ci_high"]
    assert row["difference"] == pytest.approx(-0.1)
    with pytest.raises(PredictionError, match="same texts"):
        agreement(CAP, truth, right, {"short": right[:9]})


def test_int8_says_what_is_missing(base, frame, monkeypatch):
    monkeypatch.setattr("helpers.prediction.precision.find_spec", lambda name: None)
    with pytest.raises(PredictionError, match=r"\[int8\]"):
        predict(CAP, frame, base, threads=1, speed=Speed(quantise="int8"))


def test_int8_keeps_most_of_the_scores(base, tokenizer):
    pytest.importorskip("torchao", reason="needs torchao: pip install -e '.[int8]'")
    model = tiny("llama", tokenizer)
    ids = torch.tensor([list(range(1000, 1040))])
    with torch.inference_mode():
        before = model(ids).logits
        after = to_int8(model)(ids).logits
    assert 0 < (before - after).abs().max() < 0.2 * before.abs().max()


# --- vLLM ---------------------------------------------------------------------------------------


def test_vllm_says_what_is_missing(base, frame, monkeypatch):
    monkeypatch.setattr("helpers.prediction.vllm.find_spec", lambda name: None)
    with pytest.raises(PredictionError, match="engine: transformers"):
        predict(CAP, frame, base, speed=Speed(engine="vllm"))


@pytest.fixture
def fake_vllm(monkeypatch):
    """A package vllm that records how it is called and answers '6' to everything."""
    calls = SimpleNamespace(llm=None, generate=None)

    class LLM:
        def __init__(self, **options):
            calls.llm = options

        def generate(self, prompts, sampling_params, **options):
            calls.generate = (prompts, sampling_params, options)
            return [SimpleNamespace(outputs=[SimpleNamespace(text=" 6")]) for _ in prompts]

    module, sampling = ModuleType("vllm"), ModuleType("vllm.sampling_params")
    module.LLM = LLM
    module.SamplingParams = SimpleNamespace
    sampling.StructuredOutputsParams = SimpleNamespace
    monkeypatch.setitem(sys.modules, "vllm", module)
    monkeypatch.setitem(sys.modules, "vllm.sampling_params", sampling)
    monkeypatch.setattr("helpers.prediction.vllm.find_spec", lambda name: True)
    return calls


def test_vllm_gets_the_same_prompts_and_answers(base, frame, tokenizer, fake_vllm):
    done = predict(CAP, frame, base, dtype="bfloat16", speed=Speed(engine="vllm"))
    assert done["id"].tolist() == frame["id"].tolist()
    assert done["labels"].tolist() == [CAP.dumps("6")] * 5 and (done["answer"] == " 6").all()
    assert fake_vllm.llm["enable_prefix_caching"] and fake_vllm.llm["dtype"] == "bfloat16"
    prompts, params, _ = fake_vllm.generate
    text = tokenizer.decode(prompts[2]["prompt_token_ids"])
    assert "fishing quotas topic :" in text and text.startswith("[CLS]")
    assert params.temperature == 0.0
    assert params.structured_outputs.choice == [f" {code}" for code in CAP.codes.values()]
    with pytest.raises(PredictionError, match="merge"):
        predict(CAP, frame, base, quantised=True, speed=Speed(engine="vllm"))


def matches(rules, answer, rule="root"):
    """Whether a grammar of `allowed_answers` derives an answer; for grammars of this form."""
    ends = {0}
    known = dict(line.split(" ::= ") for line in rules.splitlines())

    def derive(name, start):
        found = set()
        body = known[name].replace("(", "( ").replace(")", " )")
        depth, option, options = 0, "", []
        for sign in body:
            depth += {"(": 1, ")": -1}.get(sign, 0)
            if sign == "|" and depth == 0:
                options.append(option)
                option = ""
            else:
                option += sign
        for one in [*options, option]:
            found |= sequence(one.strip(), start)
        return found

    def sequence(parts, start):
        at = {start}
        while parts:
            if parts[0] == '"':
                word, _, parts = parts[1:].partition('"')
                at = {i + len(word) for i in at if answer.startswith(word, i)}
            elif parts[0] == "(":
                group, _, parts = parts[1:].partition(")")
                words = [word.strip().strip('"') for word in group.split("|")]
                words = [f" {word.strip()}" for word in words]
                at = {i + len(w) for i in at for w in words if answer.startswith(w, i)}
            else:
                name, _, parts = parts.partition(" ")
                at = {end for i in at for end in derive(name, i)}
            parts = parts.strip()
        return at

    ends = derive(rule, 0)
    return len(answer) in ends


def test_vllm_grammar_allows_what_ours_allows():
    codes = list(FLOURISHING.codes.values())
    rules = allowed_answers(FLOURISHING, codes, " ")["grammar"]
    for good in (" 4 high 12 low", f" {NONE}", f" {codes[-1]} low", f" {codes[0]} medium"):
        assert matches(rules, good), good
        assert FLOURISHING.parse(good).status == "ok"
    for bad in (" 4", " 4 high 4 low", " 12 low 4 high", " high", f" 4 high {NONE}", ""):
        assert not matches(rules, bad), bad
    dataverse = load_task("dataverse")
    rules = allowed_answers(dataverse, list(dataverse.codes.values()), " ")["grammar"]
    assert matches(rules, " 1 3") and not matches(rules, " 3 1")
    assert len(allowed_answers(load_task("conflict"), ["0.0"], "")["choice"]) == 1


def test_limits_are_immutable_and_shrink():
    limit = Limit(32, None, 10)
    assert limit.below(8, 30) == dataclasses.replace(limit, tokens=160)
