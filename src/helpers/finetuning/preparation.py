"""Prepare a model for training: what is frozen, where adapters go, how answers start."""

from __future__ import annotations

from typing import Any

from helpers.finetuning.examples import codebook_phrases
from helpers.finetuning.settings import FinetuningSettings
from helpers.language_models import LanguageModelError, prompt_tokens, word_tokens
from helpers.tasks import NONE, Task

ANSWER_SCALE = 0.1
"""Turns centred codebook representations into head weights with log-odds of plausible size."""
ANSWER_BIAS = 10.0
"""Head bias of words that an answer may contain; larger than the untuned model's other logits."""

_READ: dict[tuple[str, str, str], Any] = {}  # the codebook as the last model read it


def prepare(
    model: Any, tokenizer: Any, task: Task, settings: FinetuningSettings, name: str, prefix: bool
) -> int:
    """Prepare a model's head and freeze what is not to learn; return the first layer that learns.

    Parameters
    ----------
    model, tokenizer, task, settings : what is trained.
    name : stands for the model's weights (see `start_answers_from_codebook`).
    prefix : the model is the offline model.
    """
    from helpers.finetuning import head_rows

    if settings.answer_rows == "codebook" and task.labels:
        start_answers_from_codebook(model, tokenizer, task, settings, name)
    elif prefix or any(head_rows.is_head(model, entry) for entry in _saved_whole(settings)):
        head_rows.untie(model)  # a head that learns alone is saved apart from the embeddings
    first = freeze_below(model, settings.train_layers)
    if settings.head_rows == "answers":
        head_rows.install(model, head_rows.answer_tokens(task, tokenizer))
    return first


def _saved_whole(settings: FinetuningSettings) -> list[str]:
    return [] if settings.method == "full" else settings.modules_to_save


def answer_words(task: Task) -> list[str]:
    """Return every word that an answer of a task may contain."""
    words = list(task.codes.values()) + list(task.levels)
    return [*words, NONE] if task.empty is not None else words


def start_answers_from_codebook(
    model: Any, tokenizer: Any, task: Task, settings: FinetuningSettings, name: str = ""
) -> None:
    """Start the head's rows for the labels from the codebook's names; no labelled text is used.

    A label's row becomes the mean of the model's last hidden states for the prompts that hold its
    names, minus the mean of all labels. All words that an answer may contain get a bias that lifts
    them above the rest of the vocabulary. What the model makes of the codebook is kept in this
    process under `name`, which stands for its weights (empty: not kept).

    Raises
    ------
    LanguageModelError
        If a label is no single token, or the head has no bias: use ``answer_rows: as_is`` then.
    """
    import torch

    from helpers.finetuning import head_rows

    tokens = {key: word_tokens(tokenizer, code, first=True) for key, code in task.codes.items()}
    head = model.get_output_embeddings()
    if any(len(ids) != 1 for ids in tokens.values()) or head.bias is None:
        raise LanguageModelError(
            "answer_rows: codebook needs labels of one token and a head with a bias, which this "
            "model has not: set answer_rows: as_is"
        )
    phrases = codebook_phrases(task)
    key = (name, task.name, settings.prompt_style)
    if not name or key not in _READ:
        _READ.clear()
        texts = [phrase for _, phrase in phrases]
        _READ[key] = _last_states(model, tokenizer, task, texts, settings)
    states = _READ[key]
    owners = [label for label, _ in phrases]
    rows = torch.stack(
        [states[[i for i, o in enumerate(owners) if o == label]].mean(0) for label in task.labels]
    )
    head_rows.untie(model)
    head = model.get_output_embeddings()
    allowed = [word_tokens(tokenizer, word, first=True)[0] for word in answer_words(task)]
    with torch.no_grad():
        head.weight[[tokens[label][0] for label in task.labels]] = ANSWER_SCALE * (
            rows - rows.mean(0)
        )
        head.bias[[*allowed, tokenizer.eos_token_id]] = ANSWER_BIAS


def _last_states(
    model: Any, tokenizer: Any, task: Task, phrases: list[str], settings: FinetuningSettings
) -> Any:
    import torch

    model.eval()
    rows = []
    with torch.no_grad():
        for start in range(0, len(phrases), 64):
            ids = [
                prompt_tokens(tokenizer, task.prompt(phrase, settings.prompt_style), 64)
                for phrase in phrases[start : start + 64]
            ]
            batch = tokenizer.pad({"input_ids": ids}, padding_side="left", return_tensors="pt")
            output = model.base_model(
                input_ids=batch["input_ids"].to(model.device),
                attention_mask=batch["attention_mask"].to(model.device),
            )
            rows.append(output.last_hidden_state[:, -1])
    return torch.cat(rows)


def freeze_below(model: Any, train_layers: int | None) -> int:
    """Freeze embeddings and lower layers, and switch off their dropout.

    Returns
    -------
    Index of the first layer that learns.

    Raises
    ------
    LanguageModelError
        If the model has fewer layers than `train_layers`.
    """
    import torch

    total = model.config.num_hidden_layers
    if train_layers is None:
        return 0
    if train_layers > total:
        raise LanguageModelError(
            f"train_layers is {train_layers}, but the model has only {total} layers"
        )
    first = total - train_layers
    frozen = [model.get_input_embeddings(), *_layers(model)[:first]]
    embeddings = getattr(model.base_model, "embeddings", None)
    for module in frozen if embeddings is None else [*frozen, embeddings]:
        module.requires_grad_(False)
        for part in module.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 0.0
    return first


def _layers(model: Any) -> Any:
    """Return the list of layers, wherever this architecture keeps it."""
    import torch

    total = model.config.num_hidden_layers
    for module in model.base_model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == total:
            return module
    raise LanguageModelError("cannot find the model's layers: set train_layers: null")


def adapter_config(model: Any, settings: FinetuningSettings, first_layer: int) -> Any:
    """Return the LoRA configuration, or None for full fine-tuning."""
    from peft import LoraConfig

    from helpers.finetuning import head_rows

    if settings.method == "full":
        return None
    saved = settings.modules_to_save
    if settings.head_rows == "answers":
        saved = [entry for entry in saved if not head_rows.is_head(model, entry)]
        saved = [*saved, head_rows.ROWS]
    layers = list(range(first_layer, model.config.num_hidden_layers))
    return LoraConfig(
        r=settings.lora_r,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=settings.target_modules,
        modules_to_save=saved or None,
        layers_to_transform=layers if first_layer else None,
        bias="none",
        task_type="CAUSAL_LM",
    )
