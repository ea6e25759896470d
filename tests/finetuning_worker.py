"""Tiny models and a trainer of random examples, for tests; under torchrun: one step of it.

``torchrun --nproc_per_node 2 tests/finetuning_worker.py FOLDER CASE...`` trains each case for one
step with half the batch in each process; the first saves the parameters as ``FOLDER/CASE.pt``.

``accelerate launch ... tests/finetuning_worker.py as-on-gpus OPTION...`` is ``-m helpers.finetuning
OPTION...`` with FSDP on processors.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

VOCABULARY, PAD, EOS = 200, 0, 2
SIZES: dict[str, Any] = {"vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64}
SIZES |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
SPECIAL = {"pad_token_id": PAD, "bos_token_id": 1, "eos_token_id": EOS}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
BERT = {k: v for k, v in SIZES.items() if k != "num_key_value_heads"} | NO_DROPOUT

# name of the architecture -> settings beside the sizes. The names say what is special: logits that
# are capped or scaled behind the head, a transform before it, a head of its own or a shared one.
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "bert-generation": ("BertGeneration", BERT | {"is_decoder": True, "tie_word_embeddings": True}),
    "bert-transform": ("Bert", BERT | {"is_decoder": True}),
    "gpt2-tied": (
        "GPT2",
        {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4}
        | dict.fromkeys(["resid_pdrop", "embd_pdrop", "attn_pdrop"], 0.0),
    ),
    "llama": ("Llama", SIZES | {"tie_word_embeddings": False}),
    "llama-tied": ("Llama", SIZES | {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", SIZES | {"head_dim": 8}),
    "gemma2-capped": ("Gemma2", SIZES | {"head_dim": 8, "final_logit_softcapping": 0.05}),
    "cohere-scaled": ("Cohere", SIZES | {"logit_scale": 5.0}),
    "granite-scaled": ("Granite", SIZES | {"logits_scaling": 7.0}),
}
LORA = {"gpt2-tied": ["c_attn", "c_proj"], "bert-generation": ["query", "value"]}


def tiny_model(kind: str, seed: int = 0) -> Any:
    """Return a causal language model with random weights."""
    import transformers

    name, settings = KINDS[kind]
    torch.manual_seed(seed)
    config = getattr(transformers, f"{name}Config")(**settings, **SPECIAL)
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # larger than at a usual start, so that wrong losses differ
        for parameter in model.parameters():
            parameter.mul_(3.0 if parameter.dim() > 1 else 1.0)
    return model.eval()


def random_examples(n: int, seed: int = 0) -> list[dict[str, list[int]]]:
    """Return examples of different lengths, with answers of one to four tokens."""
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int, size: int) -> list[int]:
        return torch.randint(low, high, (size,), generator=generator).tolist()

    rows = []
    for _ in range(n):
        asked = draw(3, VOCABULARY, draw(4, 15, 1)[0])
        answer = [*draw(3, VOCABULARY, draw(0, 4, 1)[0]), EOS]
        rows.append({"input_ids": asked + answer, "labels": [-100] * len(asked) + answer})
    return rows


def tiny_tokenizer() -> Any:
    """Return a tokenizer of as many words as the tiny models know."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {f"w{i}": i for i in range(3, VOCABULARY)} | {"[PAD]": 0, "[BOS]": 1, "[EOS]": 2}
    backend = Tokenizer(WordLevel(words, unk_token="[PAD]"))
    special = {"pad_token": "[PAD]", "bos_token": "[BOS]", "eos_token": "[EOS]"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **special)


def make_trainer(
    model: Any,
    out: Path,
    *,
    batch_size: int,
    accumulation: int = 1,
    lora: list[str] | None = None,
    saved: list[str] | None = None,
    n: int = 8,
) -> Any:
    """Return a trainer that makes plain gradient steps, one in all if the batch is `n`."""
    from datasets import Dataset
    from peft import LoraConfig

    from helpers.finetuning.arguments import training_arguments
    from helpers.finetuning.settings import FinetuningSettings
    from helpers.finetuning.trainer import Collator, CompletionTrainer

    settings = FinetuningSettings(
        epochs=1,
        batch_size=batch_size,
        gradient_accumulation=accumulation,
        learning_rate=0.5,
        scheduler="constant",
        warmup_ratio=0.0,
        weight_decay=0.0,
        max_grad_norm=1e9,
    )
    arguments = training_arguments(settings, out, evaluate=False, checkpoints=False)
    arguments.optim = "sgd"  # an adaptive optimiser's first step hides the size of gradients
    examples = random_examples(n)
    torch.manual_seed(0)
    adapter = None
    if lora:
        adapter = LoraConfig(
            r=4,
            target_modules=lora,
            modules_to_save=saved,
            task_type="CAUSAL_LM",
            init_lora_weights=False,
        )
    return CompletionTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(examples),
        processing_class=tiny_tokenizer(),
        data_collator=Collator(PAD, prefix=False),
        peft_config=adapter,
        lengths=[len(example["input_ids"]) for example in examples],
        group=False,
        head_learning_rate=None,
    )


CASES: dict[str, dict[str, Any]] = {
    "llama": {"kind": "llama"},
    "gpt2": {"kind": "gpt2-tied", "lora": LORA["gpt2-tied"], "saved": ["lm_head"]},
    "gemma2": {"kind": "gemma2-capped", "lora": ["q_proj", "v_proj"]},
}


def one_step(case: str, out: Path, batch_size: int, accumulation: int = 1) -> dict[str, Any]:
    """Train a case for one step; return its parameters."""
    options = dict(CASES[case])
    model = tiny_model(options.pop("kind"))
    trainer = make_trainer(model, out, batch_size=batch_size, accumulation=accumulation, **options)
    trainer.train()
    assert trainer.state.global_step == 1
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def main(folder: Path, cases: list[str]) -> None:
    """Train each case for one step in this process and its siblings."""
    torch.set_num_threads(1)
    for case in cases:
        parameters = one_step(case, folder, batch_size=4)
        if torch.distributed.get_rank() == 0:
            torch.save(parameters, folder / f"{case}.pt")
        else:
            torch.save(parameters, folder / f"{case}-other.pt")
    torch.distributed.destroy_process_group()


def as_on_gpus(options: list[str]) -> int:
    """Run ``python -m helpers.finetuning`` and let accelerate take processors for GPUs.

    torch's FSDP2 runs on processors with gloo; accelerate 1.15 switches it on for accelerators
    alone. That one condition is changed here, nothing else.
    """
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    from helpers.finetuning.__main__ import main as finetune

    original = PartialState.__init__

    def init(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        if self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.MULTI_GPU

    PartialState.__init__ = init
    return finetune(options)


if __name__ == "__main__":
    if sys.argv[1] == "as-on-gpus":
        sys.exit(as_on_gpus(sys.argv[2:]))
    main(Path(sys.argv[1]), sys.argv[2:])
