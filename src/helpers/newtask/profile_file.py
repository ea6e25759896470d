"""``config/profiles/<name>.yaml`` of a new task: commented, since it is there to be edited."""

from __future__ import annotations

import json

from helpers.newtask.shape import Shape, listed, quoted
from helpers.newtask.sizing import Plan

CHAPTERS = [
    *("01_data", "02_labelling", "03_verification", "04_finetuning", "05_comparison"),
    *("06_training_size", "09_estimates"),
]
NUMERIC_CHAPTERS = ["01_data", "07_what_to_finetune"]
SMALL, LARGE = "minilm-2l", "minilm-6l"


def profile_yaml(shape: Shape, plan: Plan) -> str:
    """Return ``config/profiles/<name>.yaml``."""
    numeric = shape.label_type == "numeric"
    crowd, mode = _crowd(shape), "correct" if _must_correct(shape) else "reject"
    if numeric:
        baselines = ["majority", "tfidf-lr", "embeddings-lr"]
    else:
        baselines = ["majority", "predict-nothing", "tfidf-lr", "embeddings-lr", "zero-shot"]
    limit = ", ".join(f"{key}: {value}" for key, value in plan.limit.items())
    more = "   # draws so many (stratified) from what the file has; remove: all" if limit else ""
    lines = [
        f"# Settings for the task {shape.name}, made by `make new-task` for {plan.train} training",
        f"# texts and a laptop: about {plan.minutes} minutes on two cores.",
        f"# `make replicate TASKS={shape.name}`",
        "# takes this profile because it has the task's name. All keys: config/profiles/demo.yaml.",
        f"name: {shape.name}",
        f"title: {quoted(f'own texts: {shape.description}, offline model, CPU')}",
        "",
        "data: own",
        f"tasks: [{shape.name}]",
        *_chapters(numeric),
        "",
        "seed: 20241101",
        "device: cpu",
        "dtype: float32",
        "threads: 1",
        "workers: auto",
        "offline: true               # nothing leaves this computer",
        "",
        "# Your labels. verified (the crowd's proposals that coders left) or majority (what the",
        "# crowd says, unreviewed) would show how far one gets without them.",
        "train_labels: gold",
        f"limit: {{{limit}}}{more}",
        "train_scored: 100",
        "bootstrap: 1000",
        f"baselines: {listed(baselines)}",
    ]
    if not numeric:
        lines += _labelling(shape, crowd, mode, plan)
    lines += _finetuning(shape, plan, numeric)
    return "\n".join(lines) + "\n"


def _must_correct(shape: Shape) -> bool:
    """Whether the crowd's proposals will be so poor that rejecting leaves next to nothing."""
    return shape.label_type == "multi_intensity" or not shape.words


def _chapters(numeric: bool) -> list[str]:
    if numeric:
        return [
            "# Numbers: encoders and dictionaries (07), by cross-validation. Labelling,",
            "# verification, causal models (02 to 06) and estimates (09) are for labels.",
            f"chapters: {listed(NUMERIC_CHAPTERS)}",
        ]
    return [
        "# 07 (which parameters to train) and 08 (the paper's own results) are left out.",
        f"chapters: [{', '.join(CHAPTERS[:4])},",
        f"           {', '.join(CHAPTERS[4:])}]",
    ]


def _crowd(shape: Shape) -> list[str]:
    several = shape.label_type != "single"
    crowd = ["nearest", "centred"] if several else ["encoder-direct", "encoder-centred"]
    if shape.titles:
        crowd.append("nearest-title" if several else "encoder-title")
    if shape.subtopics and not several:
        crowd += ["encoder-v2", "encoder-v3"]
    return [*crowd, "local-codebook"]


def _labelling(shape: Shape, crowd: list[str], mode: str, plan: Plan) -> list[str]:
    propose = f", propose: {shape.several}"
    own = []
    if shape.label_type != "single":
        own = [
            "  labellers:              # beside those of config/labellers.yaml",
            f"    nearest: {{kind: encoder, method: direct{propose}}}",
            f"    centred: {{kind: encoder, method: direct{propose}, centre: true}}",
        ]
        if shape.titles:
            own.append(
                f"    nearest-title: {{kind: encoder, method: direct, view: subject{propose}}}"
            )
    why = {
        "reject": "# reject (Carammia et al. 2024) | correct (Iacus et al. 2025)",
        "correct": "# this crowd finds too little for rejecting alone",
    }[mode]
    return [
        "",
        "# The AI crowd (chapter 02) sees no label of yours, only the codebook's names"
        + (": here they are" if not shape.words else "."),
        *(
            []
            if shape.words
            else ["# numbers or signs, so it can only guess. Give names: CODEBOOK=file"]
        ),
        "labelling:",
        "  splits: [train, test]",
        "  crowd:                  # more labellers, also GPT-4o: config/labellers.yaml",
        f"    {shape.name}: {listed(crowd)}",
        *own,
        "",
        "# Coders (chapter 03). Your labels are known, so coders are SIMULATED from them, with",
        "# errors: they show what a review would cost and bring. With people: coders: logs, and",
        "# names: [their, names].",
        "verification:",
        "  coders: simulated       # simulated | logs",
        f"  mode: {mode}            {why}",
        "  error_rate: 0.1",
        "  overlap: 0.2",
        f"  audit: {plan.audit}",
    ]


def _groups(shape: Shape) -> list[str]:
    """Return the keys that say by which columns shares are given."""
    if not shape.keep:
        return []
    names = ["period" if name == "year" else name for name in shape.keep]
    by = listed([json.dumps(name, ensure_ascii=False) for name in names])
    lines = [f"  by: {{{shape.name}: {by}}}   # shares by these columns"]
    if shape.periods:
        lines.append(f"  periods: {shape.periods}   # years in which one begins")
    return lines


def _finetuning(shape: Shape, plan: Plan, numeric: bool) -> list[str]:
    name = shape.name
    if numeric:
        return [
            "",
            "# Not trained here (chapters 04 to 06 are left out), but a model has to be named.",
            f"finetuning: {{tasks: {{{name}: {{models: [{SMALL}]}}}}}}",
            "",
            "what_to_finetune:         # chapter 07: which part of an encoder is trained",
            "  tasks:",
            f"    {name}:",
            "      layers: 2",
            "      methods: [dictionary-forest, dictionary-boosting, frozen, top-1, all]",
            "      folds: true         # 5-fold cross-validation: every text is a test text once",
            "      repeats: 1",
            "      settings: {top-1: {epochs: 3}, all: {learning_rate: 3.0e-4, epochs: 3}}",
        ]
    return [
        "",
        "finetuning:",
        "  settings:               # those of the demo, chosen there on validation texts",
        "    method: lora",
        "    lora_r: 16",
        "    train_layers: 3",
        f"    batch_size: {plan.batch_size}",
        "  tasks:",
        f"    {name}:",
        f"      models: [{SMALL}, {LARGE}]",
        "      label_sources: [verified]   # the larger model also learns from the review's labels",
        "      # By the number of training texts, not by scores: try others on validation texts.",
        f"      settings: {{epochs: {plan.epochs}, learning_rate: {plan.learning_rate}}}",
        "",
        "training_size:            # chapter 06",
        f"  models: {{{name}: [{LARGE}]}}",
        f"  smallest: {plan.smallest}",
        f"  sizes: {plan.sizes}",
        f"  seeds: {plan.seeds}                # more seeds: narrower intervals, more minutes",
        "  seeds_of_all: 1",
        "  simple_seeds: 3",
        f"  labels: {{{name}: [verified, noise-20]}}",
        "  label_models: [embeddings-lr]",
        "",
        "estimates:                # chapter 09",
        *_groups(shape),
        f"  labels: {min(4, shape.labels)}",
        "  folds: 5",
        "  replications: 200",
        f"  n_coded: [{max(20, plan.audit // 2)}, {plan.audit + 20}]",
        "  widths: [0.2, 0.1]",
    ]
