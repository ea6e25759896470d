"""The models that answer: loaded once a worker process, asked once a shard."""

from __future__ import annotations

from typing import Any

import pandas as pd

from helpers.classify.settings import Settings
from helpers.tasks import load_task


def _asked(settings: Settings) -> dict[str, Any]:
    names = ("prompt_style", "max_prompt_tokens", "max_new_tokens", "constrained")
    return {"progress": False} | {name: getattr(settings, name) for name in names}


class Local:
    """A model in this process, on a CPU or a GPU.

    Parameters
    ----------
    settings : what is asked.
    threads : torch threads.
    """

    def __init__(self, settings: Settings, threads: int) -> None:
        from helpers.language_models import load_model, load_tokenizer, set_threads

        set_threads(threads)
        self.settings, self.task = settings, load_task(settings.task)
        self.tokenizer = load_tokenizer(settings.model, settings.revision)
        self.model = load_model(
            settings.model,
            revision=settings.revision,
            dtype=settings.dtype,
            device=settings.device,
        )
        if settings.adapter:
            from peft import PeftModel

            self.model = PeftModel.from_pretrained(self.model, settings.adapter)

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Answer for each text; see `helpers.prediction.answer`."""
        from helpers.prediction import answer

        options = _asked(self.settings) | {"speed": self.settings.speed()}
        return answer(self.task, frame, self.model, self.tokenizer, **options)


class Served:
    """A model in vLLM, in this process; see `helpers.prediction.vllm`."""

    def __init__(self, settings: Settings, threads: int) -> None:
        from helpers.language_models import load_tokenizer
        from helpers.prediction.vllm import Vllm

        self.settings, self.task = settings, load_task(settings.task)
        self.engine = Vllm(
            settings.model,
            load_tokenizer(settings.model, settings.revision),
            revision=settings.revision,
            adapter=settings.adapter,
            dtype=settings.dtype,
            quantised=False,
            speed=settings.speed(),
        )

    def answer(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Answer for each text; see `helpers.prediction.vllm.Vllm.answer`."""
        return self.engine.answer(self.task, frame, **_asked(self.settings))
