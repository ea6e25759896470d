"""The same predictions through vLLM, an engine for GPUs with a prefix cache of its own.

vLLM is not among this package's requirements: it brings its own torch. Install it in an environment
of its own, with this package, on a machine with a GPU. Written for vLLM 0.12 and later
(`StructuredOutputsParams`, docs.vllm.ai/en/latest/features/structured_outputs).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from helpers.grammar import Grammar
from helpers.language_models import prompt_tokens
from helpers.prediction.speed import PredictionError, Speed
from helpers.tasks import NONE, Task


class Vllm:
    """A model in vLLM.

    Parameters
    ----------
    model, revision, adapter, dtype : as in `helpers.prediction.predict`.
    tokenizer : of the model; prompts are sent as tokens, so that they are those of training.
    quantised, speed : refused where vLLM has no counterpart.

    Raises
    ------
    PredictionError
        If vLLM is not installed, or settings do not apply to it.
    """

    def __init__(
        self,
        model: str | Path,
        tokenizer: Any,
        *,
        revision: str | None,
        adapter: str | Path | None,
        dtype: str,
        quantised: bool,
        speed: Speed,
    ) -> None:
        if find_spec("vllm") is None:
            raise PredictionError(
                "engine: vllm needs the package vllm and a GPU (python -m pip install vllm, in an "
                "environment of its own), or set engine: transformers"
            )
        if quantised or speed.quantise != "none" or speed.autocast != "none":
            raise PredictionError(
                "engine: vllm takes neither 4-bit adapters (qlora) nor quantise nor autocast: "
                "merge the adapter and choose dtype, or set engine: transformers"
            )
        from vllm import LLM

        self.tokenizer = tokenizer
        self.engine = LLM(
            model=str(model),
            revision=revision,
            dtype=dtype,
            seed=0,
            enable_prefix_caching=speed.share_prefix != "off",
            enable_lora=adapter is not None,
            **({"max_lora_rank": _rank(adapter)} if adapter is not None else {}),
        )
        self._options: dict[str, Any] = {}
        if adapter is not None:
            from vllm.lora.request import LoRARequest

            self._options["lora_request"] = LoRARequest("adapter", 1, str(adapter))

    def answer(
        self,
        task: Task,
        frame: pd.DataFrame,
        *,
        prompt_style: Literal["short", "full"],
        max_prompt_tokens: int,
        max_new_tokens: int,
        constrained: bool,
        progress: bool,
    ) -> pd.DataFrame:
        """Answer all texts; see `helpers.prediction.predict`."""
        from vllm import SamplingParams
        from vllm.sampling_params import StructuredOutputsParams

        from helpers.prediction import as_frame

        prompts = [
            prompt_tokens(self.tokenizer, task.prompt(text, prompt_style), max_prompt_tokens)
            for text in frame["text"]
        ]
        form: dict[str, Any] = {}
        if constrained:
            space = "" if self.tokenizer.chat_template else " "
            allowed = allowed_answers(task, Grammar(task, self.tokenizer).codes, space)
            form["structured_outputs"] = StructuredOutputsParams(**allowed)
        params = SamplingParams(temperature=0.0, max_tokens=max_new_tokens, **form)
        written = self.engine.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            params,
            use_tqdm=progress,
            **self._options,
        )
        return as_frame(task, frame, [f" {one.outputs[0].text.strip()}" for one in written])


def allowed_answers(task: Task, codes: list[str], space: str) -> dict[str, Any]:
    """Return the answers that `Grammar` allows as vLLM takes them: a list, or a GBNF grammar.

    Parameters
    ----------
    codes : in the order in which they may follow one another.
    space : what stands before an answer's first word.
    """
    if task.label_type in ("single", "numeric"):
        return {"choice": [f"{space}{code}" for code in codes]}
    levels = " | ".join(f'" {level}"' for level in task.levels)
    level = f" ({levels})" if task.levels else ""
    # first<i>: no code yet, codes from i on may come; next<i>: the same after a code.
    rules = [f'root ::= first0 | "{space}{NONE}"']
    for i, code in enumerate(codes):
        skip = f" | first{i + 1}" if i + 1 < len(codes) else ""
        rules.append(f'first{i} ::= "{space}{code}"{level} next{i + 1}{skip}')
        if i:
            rules.append(f'next{i} ::= " {code}"{level} next{i + 1} | next{i + 1}')
    rules.append(f'next{len(codes)} ::= ""')
    return {"grammar": "\n".join(rules)}


def _rank(adapter: str | Path) -> int:
    from peft import PeftConfig

    rank: int = PeftConfig.from_pretrained(str(adapter)).r
    return rank
