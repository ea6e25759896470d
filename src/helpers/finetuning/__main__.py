"""Train one model, on one process or, under ``accelerate launch``, on several.

    accelerate launch --config_file config/accelerate/ddp.yaml -m helpers.finetuning \\
        --task cap --train train.parquet --validation validation.parquet \\
        --model meta-llama/Llama-3.2-1B --settings settings.yaml --global-batch 64 --out folder

learns from tables of your own (columns text and labels);

    accelerate launch ... -m helpers.finetuning \\
        --profile demo --task cap --key minilm-6l --out folder

from the texts that chapters 01 to 03 of a run prepared, with the settings of its profile. A command
that was stopped or killed continues from its last checkpoint when it is given again. See
docs/cluster.md.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.finetuning import processes
from helpers.finetuning.jobs import Job
from helpers.finetuning.processes import FinetuningError, with_global_batch
from helpers.finetuning.record import RECORD, check_folder, record_of
from helpers.finetuning.settings import FinetuningSettings
from helpers.runs import HelpersError, write_json

PATIENCE = 5.0  # seconds in which the main process reports an error that all have


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m helpers.finetuning",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--task", required=True, help="name in config/tasks")
    parser.add_argument("--out", required=True, type=Path, help="folder of the result")
    own = parser.add_argument_group("tables of your own")
    own.add_argument("--train", type=Path, help=".parquet, .csv or .jsonl: text, labels")
    own.add_argument("--validation", type=Path, help="the same, for the validation loss")
    own.add_argument("--model", help="folder or hub name of the base model")
    own.add_argument("--revision", help="commit of a hub model")
    run = parser.add_argument_group("texts of a run")
    run.add_argument("--profile", help="name in config/profiles, or a YAML file")
    run.add_argument("--key", help="base model, a name in config/models.yaml")
    run.add_argument("--labels", help="gold, verified, majority (default: the profile's)")
    run.add_argument("--root", default="", help="folder of all runs (default: runs/)")
    both = parser.add_argument_group("training")
    both.add_argument("--settings", type=Path, help="YAML file, as under finetuning.settings")
    both.add_argument("--batch-size", type=int, help="texts of one process at a time")
    both.add_argument("--global-batch", type=int, help="texts of a step, all processes together")
    return parser


def _changes(options: argparse.Namespace) -> dict[str, Any]:
    """Read the settings that the user changes: file, then command line."""
    import yaml

    changed: Any = {}
    if path := options.settings:
        try:
            changed = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except OSError as error:
            raise FinetuningError(f"{path.name} cannot be read: check the path {path}") from error
        except yaml.YAMLError as error:
            raise FinetuningError(f"{path.name} is no YAML: {error}") from error
        if not isinstance(changed, dict):
            raise FinetuningError(f"{path.name}: write one 'setting: value' a line")
    if options.batch_size is not None:
        changed["batch_size"] = options.batch_size
    return changed


def _own_job(options: argparse.Namespace) -> Job:
    from pydantic import ValidationError

    from helpers.finetuning.tables import labelled_texts
    from helpers.tasks import load_task

    task, changed = load_task(options.task), _changes(options)
    try:
        settings = FinetuningSettings(**changed)
    except ValidationError as error:
        where = options.settings.name if options.settings else "--batch-size"
        problems = [f"  {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        known = ", ".join(FinetuningSettings.model_fields)
        raise FinetuningError(
            "\n".join([f"{where}:", *problems, f"  known settings: {known}"])
        ) from error
    train = labelled_texts(options.train, task)
    empty = train.iloc[:0]
    return Job(
        name=f"{task.name}/{Path(options.model).name}",
        task=task.name,
        train=train,
        validation=labelled_texts(options.validation, task) if options.validation else empty,
        model=options.model,
        revision=options.revision,
        settings=settings,
        out=options.out,
    )


def _run_job(options: argparse.Namespace) -> Job:
    from helpers.data.prepared import read_task
    from helpers.experiments import trainings
    from helpers.models import get_model
    from helpers.runs import open_run
    from helpers.tasks import load_task

    run, task = open_run(options.profile, options.root), load_task(options.task)
    texts = read_task(run, task)
    source = options.labels or run.profile.train_labels
    job = trainings.job_of(
        run,
        task.name,
        options.key,
        f"{options.key}-ft",
        trainings.train_texts(run, task, source),
        texts[texts["split"] == "validation"],
        **_changes(options),
    )
    if get_model(options.key).source == "offline":
        trainings.build_base(trainings.base_work(run, options.key))
    return replace(job, out=options.out)


def read_job(options: argparse.Namespace) -> Job:
    """Return the training that the command line asks for.

    Raises
    ------
    HelpersError
        If an option is missing, or a file, column, row or setting is wrong: each is named.
    """
    own, run = bool(options.train or options.model), bool(options.profile or options.key)
    if own == run or (own and not (options.train and options.model)):
        raise FinetuningError("give --train and --model, or --profile and --key")
    if run and not (options.profile and options.key):
        raise FinetuningError("a run's texts need --profile and --key (a model's name)")
    job = _own_job(options) if own else _run_job(options)
    settings = with_global_batch(job.settings, options.global_batch, processes.count())
    return replace(job, settings=settings)


def _told() -> Any:
    """Return a callback that prints the losses of each epoch."""
    from transformers import TrainerCallback

    class Told(TrainerCallback):
        def on_log(
            self, args: Any, state: Any, control: Any, logs: dict[str, Any], **kwargs: Any
        ) -> None:
            known = {"loss": "training loss", "eval_loss": "validation loss"}
            for key, name in known.items():
                if key in logs and state.is_world_process_zero:
                    print(f"epoch {logs['epoch']:g}: {name} {float(logs[key]):.4f}", flush=True)

    return Told()


def _train(job: Job) -> None:
    from helpers.finetuning.run import train
    from helpers.tasks import load_task

    main, record = processes.rank() == 0, record_of(job)
    if check_folder(job, record):
        if main:
            print(f"{job.name}: done before, nothing to do")
        return
    settings, n = job.settings, processes.count()
    if main:
        write_json(job.out / RECORD, record)
        split = f"{settings.batch_size} × {settings.gradient_accumulation} × {n} process(es)"
        steps = f"{record['global_batch']} a step ({split}, {settings.device})"
        print(f"{job.name}: {len(job.train):,} texts, {steps}", flush=True)
    validation: pd.DataFrame | None = job.validation if len(job.validation) else None
    train(
        load_task(job.task),
        job.train,
        validation,
        job.model,
        settings,
        job.out,
        revision=job.revision,
        callbacks=[_told()],
    )
    if main:
        print(f"{job.name}: saved in {job.out}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; a `HelpersError` becomes its message, once, and exit status 1."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP's advice, once a process
    silent = processes.rank() > 0
    with contextlib.ExitStack() as stack:
        if silent:  # usage and help come from the main process alone
            stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        options = _parser().parse_args(arguments)
    try:
        _train(read_job(options))
    except HelpersError as error:
        prefix = "error"
        if silent:
            # All processes mostly find the same; the launcher ends this one when the main one ends.
            time.sleep(PATIENCE)
            prefix = f"error in process {processes.rank()}"
        print(f"{prefix}: {error}", file=sys.stderr, flush=True)
        return 1
    finally:
        processes.finish()
    return 0


if __name__ == "__main__":
    sys.exit(main())
