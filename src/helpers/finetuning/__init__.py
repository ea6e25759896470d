"""Fine-tuning of causal language models with TRL and PEFT.

`train` runs one training into a folder; `finetune_all` runs several side by side and keeps what is
done. The test split never comes here: callers pass the training and validation texts alone.
"""

from helpers.finetuning.examples import build_examples, codebook_frame, codebook_phrases
from helpers.finetuning.jobs import Job, JobResult, finetune_all
from helpers.finetuning.processes import FinetuningError
from helpers.finetuning.run import train
from helpers.finetuning.settings import FinetuningSettings

__all__ = [
    "FinetuningError",
    "FinetuningSettings",
    "Job",
    "JobResult",
    "build_examples",
    "codebook_frame",
    "codebook_phrases",
    "finetune_all",
    "train",
]
