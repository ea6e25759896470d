"""Export: merged models, the converter's archive, answers that a grammar allows, GGUF files."""

import io
import json
import re
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import export
from helpers.export import converter, gguf, inference, optional
from helpers.export.optional import ExportError
from helpers.grammar import Grammar
from helpers.prediction import predict
from helpers.tasks import load_task

sys.path.append(str(Path(__file__).resolve().parents[1] / "bench"))

CAP, DATAVERSE = load_task("cap"), load_task("dataverse")
FLOURISHING, CONFLICT = load_task("flourishing"), load_task("conflict")
needs_gguf = pytest.mark.skipif(
    not export.is_available(), reason="needs llama.cpp: pip install -e '.[gguf]'"
)


@pytest.fixture(scope="module")
def frame():
    texts = ["fishing quotas", "a long text about asylum and borders " * 9, "tax", "trains " * 30]
    ids = [f"t{i}" for i in range(4)]
    return pd.DataFrame({"id": ids, "text": texts, "split": "test"})


# --- without the optional part ------------------------------------------------------------------


@pytest.fixture
def bare(monkeypatch):
    monkeypatch.setattr(optional, "find_spec", lambda name: None)


@pytest.mark.parametrize(
    "call",
    [
        lambda path: export.export_gguf(path, path / "x.gguf"),
        lambda path: export.quantise(path / "x.gguf", path / "y.gguf"),
        lambda path: export.predict_gguf(CAP, pd.DataFrame(), path / "x.gguf", path),
        lambda path: converter.converter(path),
    ],
    ids=["export", "quantise", "predict", "converter"],
)
def test_what_is_missing_is_named_with_its_remedy(bare, tmp_path, call):
    assert not export.is_available()
    with pytest.raises(ExportError, match=r"llama-cpp-python.*pip install -e '\.\[gguf\]'"):
        call(tmp_path)


def test_a_library_compiled_for_another_machine_is_reported(monkeypatch):
    def fails(name):
        raise OSError("libllama.so: cannot open shared object file\nmore")

    monkeypatch.setattr(optional, "find_spec", lambda name: True)
    monkeypatch.setattr(optional, "import_module", fails)
    with pytest.raises(ExportError, match=r"does not load \(libllama.so.*force-reinstall"):
        optional.require("llama_cpp")


# --- the converter's archive --------------------------------------------------------------------

ROOT = "llama_cpp_python-9.9/vendor/llama.cpp/"


def archive(path, names):
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 2
            tar.addfile(info, io.BytesIO(b"ok"))
    return path


def test_only_the_converter_is_unpacked_and_its_source_recorded(tmp_path):
    wanted = [ROOT + name for name in (converter.SCRIPT, "conversion/base.py", "gguf-py/gguf/a.py")]
    others = [ROOT + "ggml/src/big.c", "llama_cpp_python-9.9/setup.py"]
    file = archive(tmp_path / "a.tar.gz", wanted + others)
    converter.unpack(file, "9.9", tmp_path / "cache" / "new")
    script = tmp_path / "cache" / "new" / converter.SCRIPT
    assert converter.source(script)["sha256"] == converter.file_sha256(file)
    found = sorted(p.name for p in (tmp_path / "cache" / "new").rglob("*") if p.is_file())
    assert found == ["a.py", "base.py", converter.SCRIPT, converter.SOURCE]
    assert [p.name for p in (tmp_path / "cache").iterdir()] == ["new"]


def test_an_archive_cannot_write_outside_its_folder(tmp_path):
    names = [ROOT + converter.SCRIPT, ROOT + "gguf-py/../../../evil"]
    file = archive(tmp_path / "a.tar.gz", names)
    with pytest.raises(ExportError, match=r"a\.tar\.gz cannot be unpacked"):
        converter.unpack(file, "9.9", tmp_path / "cache" / "new")
    assert not (tmp_path / "cache" / "new").exists() and not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("content", "version", "message"),
    [
        ([ROOT + converter.SCRIPT], "0.3.36", "expected 832db0699007…"),
        ([ROOT + "README.md"], "9.9", "holds no convert_hf_to_gguf.py"),
        (b"no archive", "9.9", "cannot be unpacked"),
    ],
    ids=["another archive", "no converter", "damaged"],
)
def test_a_wrong_archive_is_refused(tmp_path, content, version, message):
    file = tmp_path / "a.tar.gz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        archive(file, content)
    with pytest.raises(ExportError, match=re.escape(message)):
        converter.unpack(file, version, tmp_path / "cache" / "new")
    assert not (tmp_path / "cache" / "new").exists()


def test_no_network_is_said_and_a_cached_converter_needs_none(tmp_path, monkeypatch):
    monkeypatch.setattr(converter, "require", lambda name: None)
    monkeypatch.setattr(converter, "version", lambda name: "9.9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ExportError, match=r"cannot fetch the source archive.*downloaded archive"):
        converter.converter(tmp_path)
    given = archive(tmp_path / "a.tar.gz", [ROOT + converter.SCRIPT])
    script = converter.converter(tmp_path, given)
    assert converter.converter(tmp_path) == script


# --- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["adapter_config.json", "adapter_model.safetensors"], "an adapter must be merged first"),
        (["config.json:prefix-lm", "model.safetensors"], "the offline model cannot be exported"),
        (["config.json:llama", "model.safetensors", "tokenizer.json"], "without its tokenizer.mod"),
    ],
    ids=["adapter", "offline model", "no sentencepiece file"],
)
def test_folders_that_cannot_be_converted_are_refused_before_anything_is_written(
    tmp_path, monkeypatch, files, message
):
    monkeypatch.setattr(gguf, "require", lambda name: None)
    for file in files:
        name, _, kind = file.partition(":")
        content = {"model_type": kind, "model": {"byte_fallback": True}}
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ExportError, match=message):
        export.export_gguf(tmp_path, tmp_path / "out" / "x.gguf")
    assert not (tmp_path / "out").exists()


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(ExportError, match="unknown kind 'Q2': use 'f16' or 'Q4_K_M'"):
        export.export_gguf(tmp_path, tmp_path / "x.gguf", "Q2")


def test_merging_an_adapter_keeps_the_answers(tmp_path):
    import torch
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    from helpers import offline_model

    coder = offline_model._tokenizer(offline_model.source_folder())
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=len(coder), num_attention_heads=2, **size)
    base = LlamaForCausalLM(config)
    base.save_pretrained(tmp_path / "base")
    coder.save_pretrained(tmp_path / "base")
    adapted = get_peft_model(
        base, LoraConfig(r=4, target_modules=["q_proj"], init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    out = export.merge_adapter(
        tmp_path / "base", tmp_path / "adapter", tmp_path / "merged", dtype="float32"
    )
    ids = torch.arange(5, 25)[None]
    fresh = LlamaForCausalLM.from_pretrained(tmp_path / "base")
    on_top = PeftModel.from_pretrained(fresh, tmp_path / "adapter")
    merged = LlamaForCausalLM.from_pretrained(out)
    assert torch.allclose(on_top(ids).logits, merged(ids).logits, atol=1e-5)
    assert (out / "tokenizer.json").is_file()


# --- grammars -----------------------------------------------------------------------------------


def allows(text, answer):
    """Whether a grammar of `gbnf` allows an answer: follow the rules, word by word."""
    rules = dict(line.split(" ::= ", 1) for line in text.splitlines())
    single = set(re.findall(r'"([^" ][^"]*)"', rules["root"]))
    words = answer.split()
    if not answer.startswith(" ") or not words:
        return False
    if len(words) == 1 and words[0] in single:
        return True
    begun, may = 0, set(re.findall(r"c\d+", rules["root"]))
    while begun < len(words):
        found = [name for name in may if rules[name].startswith(f'"{words[begun]}"')]
        if len(found) != 1:
            return False
        own, _, later = rules[found[0]].partition('(" " (c')
        levels = re.findall(r'"([^" ]+)"', own)[1:]
        begun += 1
        if levels:
            if begun == len(words) or words[begun] not in levels:
                return False
            begun += 1
        may = set(re.findall(r"c\d+", "c" + later)) if later else set()
    return True


@pytest.mark.parametrize(
    ("task", "good", "bad"),
    [
        (CAP, [" 6", " 12", " 1"], [" 11", " 6 7", " none", "", "6"]),
        (DATAVERSE, [" 1", " 1 12", " 3 7 11", " none"], [" 7 3", " 3 3", " none 3", " 15", ""]),
        (FLOURISHING, [" 4 high 12 low", " none"], [" 4", " 4 high 4 low", " high", " 4 none"]),
        (CONFLICT, [" 0.0", " 12.3"], [" 12", " 99.0", " none"]),
    ],
    ids=["single", "multi", "intensity", "numeric"],
)
def test_gbnf_allows_exactly_the_tasks_answers(task, good, bad):
    text = export.gbnf(task)
    assert all(allows(text, answer) for answer in good)
    assert not any(allows(text, answer) for answer in bad)


def test_a_chats_answer_starts_without_a_space():
    assert export.gbnf(CAP, chat=True) == export.gbnf(CAP).replace('" " (', "(", 1)


class Letters:
    """A tokenizer with one token a character."""

    chat_template = None
    eos_token_id = 0

    def __call__(self, text, add_special_tokens=False):
        return {"input_ids": [ord(sign) for sign in text]}


def test_other_tokens_than_the_allowed_ones_are_impossible():
    only = inference.OnlyAllowed(Grammar(CAP, Letters()), begun=3)
    logits = np.arange(200, dtype=np.float32)
    changed = only([7, 7, 7, ord(" "), ord("1")], logits)
    allowed = [0, *(ord(sign) for sign in "0123456789")]  # 1 itself, and 10, 12 ... 19
    found = np.flatnonzero(np.isfinite(changed)).tolist()
    assert set(found) <= set(allowed) and {0, ord("2")} <= set(found) and ord("1") not in found
    assert (changed[found] == logits[found]).all() and logits[5] == 5


# --- for real -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(tmp_path_factory, frame):
    import parity_model

    texts = [text + " topic : 1 2 3 4 5 6 7 8 9 10" for text in frame["text"]] * 3
    folder = tmp_path_factory.mktemp("llama")
    shape = {"num_hidden_layers": 1, "intermediate_size": 256}
    return parity_model.build(folder / "model", texts, vocabulary=350, seed=1, **shape)


@pytest.fixture(scope="module")
def files(llama):
    try:
        script = converter.converter()
    except ExportError as error:
        pytest.skip(f"the converter of the extra [gguf] cannot be fetched: {error}")
    assert script.is_file()
    f16 = export.export_gguf(llama, llama.parent / "f16.gguf")
    return {"f16": f16, "Q4_K_M": export.quantise(f16, llama.parent / "Q4_K_M.gguf")}


@needs_gguf
def test_a_model_survives_conversion_and_quantisation(llama, files, frame):
    options = {"max_prompt_tokens": 64, "max_new_tokens": 6}
    asked = predict(CAP, frame, llama, threads=1, **options)
    got = export.predict_gguf(CAP, frame, files["f16"], llama, **options)
    pd.testing.assert_frame_equal(asked, got)
    asked = predict(CAP, frame, llama, threads=1, constrained=False, **options)
    got = export.predict_gguf(CAP, frame, files["f16"], llama, constrained=False, **options)
    pd.testing.assert_frame_equal(asked, got)
    assert files["Q4_K_M"].stat().st_size < 0.6 * files["f16"].stat().st_size
    record = json.loads(files["f16"].with_suffix(".json").read_text(encoding="utf-8"))
    assert record["kind"] == "f16" and len(record["converter"]["sha256"]) == 64
    few = export.predict_gguf(CAP, frame, files["Q4_K_M"], llama, **options)
    assert (few["status"] == "ok").all()


@needs_gguf
@pytest.mark.parametrize("task", [CAP, DATAVERSE, FLOURISHING], ids=lambda task: task.name)
def test_both_grammars_give_answers_of_the_task(llama, files, frame, task):
    options = {"max_prompt_tokens": 64, "max_new_tokens": 40}
    for grammar in ("tokens", "gbnf"):
        got = export.predict_gguf(
            task, frame.head(2), files["f16"], llama, grammar=grammar, **options
        )
        # An answer may be cut at max_new_tokens, in the middle of a pair: then it is unparsed.
        assert set(got["status"]) <= {"ok", "unparsed"} and not (got["answer"] == " ").any()


@needs_gguf
def test_a_damaged_file_is_named(llama, files, frame, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(files["f16"].read_bytes()[:5000])
    with pytest.raises(ExportError, match=r"cannot load broken\.gguf"):
        export.predict_gguf(CAP, frame, broken, llama)
    with pytest.raises(ExportError, match=r"cannot quantise broken\.gguf"):
        export.quantise(broken, tmp_path / "out.gguf")
    assert not (tmp_path / "out.gguf").exists()
    with pytest.raises(ExportError, match=r"no file absent\.gguf"):
        export.predict_gguf(CAP, frame, tmp_path / "absent.gguf", llama)


@needs_gguf
def test_a_folder_without_the_tokenizers_file_takes_it_from_the_base_model(llama, files, tmp_path):
    folder = tmp_path / "merged"
    folder.mkdir()
    for path in llama.iterdir():
        if path.name != "tokenizer.model":
            (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ExportError, match="pass the base model's file as tokenizer_model"):
        export.export_gguf(folder, tmp_path / "x.gguf")
    spelling = llama / "tokenizer.model"
    made = export.export_gguf(folder, tmp_path / "x.gguf", "Q4_K_M", tokenizer_model=spelling)
    assert made.stat().st_size == files["Q4_K_M"].stat().st_size
    model = inference.load(made, context=64)
    from helpers.language_models import load_tokenizer

    text = "a long text about trains"
    assert model.tokenize(text.encode()) == load_tokenizer(folder)(text)["input_ids"]
    model.close()
