"""The model card: front matter that the hub reads, and a page that people read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from helpers.models import get_dataset, load_datasets
from helpers.offline_model import SHA256
from helpers.share.errors import ShareError
from helpers.share.finished import Trained
from helpers.share.folder import ABOUT, about
from helpers.share.licences import Licence
from helpers.share.provenance import code_of, labels_of, texts_of
from helpers.share.scores import Scores, read_scores

TEMPLATE = Path(__file__).with_name("card.md.jinja")
ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""What the offline base models are made of, by its name on the hub."""
HUB_METRICS = {"accuracy": "accuracy", "macro_f1": "f1", "micro_f1": "f1", "mse": "mse"}
"""Ours, by the hub's names; others keep theirs."""
KINDS = {"single": "single-label", "numeric": "regression"} | dict.fromkeys(
    ["multi", "multi_intensity"], "multi-label"
)
UNSTATED = "NOT STATED: for the author to write before this is published."


def write_card(
    trained: Trained,
    what: str,
    licence: Licence,
    *,
    repo: str = "",
    rights: str = "",
    language: str = "",
) -> str:
    """Return the content of a model card.

    Parameters
    ----------
    trained : the model.
    what : ``adapter`` or ``merged``.
    licence : of the base model.
    repo : where it will be on the hub (empty: a local folder).
    rights : whose the training texts are, and on what terms; needed for texts that are not the
        package's own.
    language : code of the texts' language, e.g. ``en``; needed for a user's own texts.

    Raises
    ------
    ShareError
        If a score has no interval.
    """
    from huggingface_hub import ModelCard

    scores, texts = read_scores(trained), texts_of(trained)
    texts["rights"] = " ".join(filter(None, [texts["rights"], rights])) or UNSTATED
    texts["language"] = language or texts["language"]
    spec = trained.spec
    page = ModelCard.from_template(
        _front_matter(trained, what, licence, scores, texts),
        template_path=str(TEMPLATE),
        about=about(trained, what) | {"file": ABOUT},
        base=_base(trained),
        code=code_of(trained.run),
        custom=spec.source == "offline",
        labels=labels_of(trained),
        licence=licence,
        performance=trained.performance,
        profile=trained.run.profile,
        repo=repo,
        scores=scores,
        settings=trained.settings,
        spec=spec,
        task=trained.task,
        texts=texts,
        used=trained.manifest.get("used", {}),
        versions=trained.manifest["versions"],
        weights=_weights(trained, what),
        what=what,
    )
    return str(page).rstrip() + "\n"


def check_publishable(trained: Trained, rights: str, language: str) -> None:
    """Refuse to upload a card that would leave open whose texts a model has read.

    Raises
    ------
    ShareError
        If the texts are not the package's own and nothing was said about rights or language.
    """
    texts = texts_of(trained)
    if not texts["embedded"] and not rights:
        raise ShareError(
            f"{trained.task.name}: the model learnt from {texts['what']}, and weights can give "
            "away training texts. Say whose they are and what allows you to publish, e.g. "
            '--rights "Our own survey; consent covers publication (ethics vote 12/2026)"; '
            "without --repo the folder is written all the same"
        )
    if not (language or texts["language"]):
        raise ShareError(f"{trained.task.name}: say in which language the texts are: --language de")


def _front_matter(
    trained: Trained, what: str, licence: Licence, scores: Scores, texts: dict[str, Any]
) -> Any:
    from huggingface_hub import EvalResult, ModelCardData

    task, spec, settings = trained.task, trained.spec, trained.settings
    results = [
        EvalResult(
            task_type="text-classification",
            task_name=task.title,
            dataset_type=texts["source"],
            dataset_name=f"{task.title} ({texts['what']})",
            dataset_split="test",
            metric_type=HUB_METRICS.get(row.metric, row.metric),
            metric_name=f"{row.name}, test texts",
            metric_value=float(row.value),
            metric_args={
                "interval_95": [float(row.ci_low), float(row.ci_high)],
                "n": int(row.n),
                "n_answered": int(row.n_answered),
            },
        )
        for row in scores.own.itertuples(index=False)
    ]
    return ModelCardData(
        license=licence.hub,
        base_model=_base(trained)["hub"],
        base_model_relation="adapter" if what == "adapter" else "finetune",
        base_model_revision=_base(trained)["version"],
        language=texts["language"] or None,
        library_name="peft" if what == "adapter" else "transformers",
        pipeline_tag="text-generation",
        tags=["text-classification", "social-science", KINDS[task.label_type], settings["method"]],
        datasets=_hub_datasets(trained, texts) or None,
        metrics=list(dict.fromkeys(HUB_METRICS.get(m, m) for m in scores.own["metric"])),
        model_name=about(trained, what)["name"],
        eval_results=results,
        license_name=spec.licence if licence.hub == "other" else None,
    )


def _base(trained: Trained) -> dict[str, str]:
    spec = trained.spec
    if spec.source == "offline":
        return {"hub": ENCODER, "version": f"sha256:{SHA256}"}
    return {"hub": str(spec.repository), "version": str(trained.manifest["revision"])}


def _hub_datasets(trained: Trained, texts: dict[str, Any]) -> list[str]:
    """Return data sets by their names on the hub; texts from elsewhere have none there."""
    if texts["source"] != "hub":
        return []
    known = [key for key, data in load_datasets().items() if data.task == trained.task.name]
    return [get_dataset(key).repository for key in known]


def _weights(trained: Trained, what: str) -> dict[str, str]:
    inside = f"{trained.part(what).name}/"
    return {
        path.removeprefix(inside): sha
        for path, sha in trained.sums.items()
        if path.startswith(inside) and path.endswith((".safetensors", "tokenizer.json"))
    }
