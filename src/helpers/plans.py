"""The parts of a profile: what is done for a task, by which labellers, endpoints and coders.

Everything here is read from a profile's YAML file; unknown keys are refused.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

LabelSource = Literal["gold", "verified", "majority", "gold-same", "majority-same"]


class HelpersError(Exception):
    """Base of every error whose message is meant for the user: it says what to do next."""


class Strict(BaseModel):
    """Pydantic base that refuses unknown keys and is immutable once read."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Limit(Strict):
    """Largest number of texts per split (``null``: all)."""

    train: PositiveInt | None = None
    validation: PositiveInt | None = None
    test: PositiveInt | None = None


class TaskPlan(Strict):
    """What is done for a task, and what it does differently from the defaults.

    `models` are evaluated as they are and fine-tuned, `base_only` only as they are.
    `cross_validation`: also fine-tune on k - 1 of k folds (with gold labels) and predict the fold
    left out.
    `label_sources`: train the last of `models` on other labels as well, to see what labels are
    worth: ``gold``, ``gold-same`` and ``majority-same`` (of the texts that were verified).
    """

    models: list[str] = Field(min_length=1)
    base_only: list[str] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    cross_validation: PositiveInt | None = None
    label_sources: list[LabelSource] = Field(default_factory=list)


class Finetuning(Strict):
    """Fine-tuning settings: ``settings`` for all tasks, overridden by those of a task."""

    settings: dict[str, Any] = Field(default_factory=dict)
    tasks: dict[str, TaskPlan]


class Speed(Strict):
    """How predictions are computed; the defaults repeat a run bit by bit.

    Attributes
    ----------
    engine : ``transformers``, or ``vllm`` where it is installed (`helpers.prediction.vllm`).
    autocast : ``bfloat16`` multiplies matrices with 8 bits of precision, several times faster on
        processors made for it (AVX512-BF16, AMX, GPUs); ``auto`` does so only there. Answers
        change a little: `helpers.prediction.precision.agreement` says how much.
    quantise : ``int8`` keeps linear layers in 8 bits (CPU; needs the extra ``[int8]``).
    share_prefix : run the tokens with which all prompts begin (instruction and codebook) once;
        ``auto`` where that is exact and pays, ``on`` refuses where it is not exact.
    batch_tokens : most tokens of a batch, padding counted, instead of a number of texts; ``auto``
        derives it from the free memory.
    """

    engine: Literal["transformers", "vllm"] = "transformers"
    autocast: Literal["none", "bfloat16", "auto"] = "none"
    quantise: Literal["none", "int8"] = "none"
    share_prefix: Literal["auto", "on", "off"] = "auto"
    batch_tokens: PositiveInt | Literal["auto"] | None = None


Method = Literal["v1", "v2", "v3", "v4", "direct", "groups"]
View = Literal["text", "subject"]
ReviewMode = Literal["reject", "correct"]


class Endpoint(Strict):
    """A server that speaks OpenAI's protocol, and how fast it may be asked.

    Attributes
    ----------
    base_url : e.g. ``https://api.openai.com/v1``; empty with `serve`.
    serve : instead of an address: start a local server with a model of this run, trained on the
        task's codebook alone (``codebook``: chapter 02 does that) or on labelled texts
        (``finetuned``: chapter 04; only for `Labelling.compared`, since a crowd must not have seen
        gold labels).
    api_key_env : environment variable that holds the key; empty: the server needs none.
    api : ``chat`` (chat completions) or ``completions`` (plain prompts, for base models).
    mode : ``direct`` (one request a question) or ``batch`` (OpenAI's Batch API, half the price).
    prompt : ``full`` (instruction and list of options), or ``short``: for a model of this package
        that was trained on the task's short prompt (``python -m helpers.share serve`` says so); it
        ends its answer by itself and is asked by ``v4`` or ``direct``.
    structured : ask for JSON that fits a schema (``json_schema``), for any JSON
        (``json_object``), or for plain text (``none``).
    logprobs : ask for log-probabilities; they become the confidence of an answer.
    concurrency : requests in flight at a time.
    requests_per_minute, tokens_per_minute : limits of the account (``null``: none).
    timeout : seconds until a request counts as lost.
    attempts : tries before a question is recorded as an error.
    """

    base_url: str = ""
    serve: Literal["codebook", "finetuned"] | None = None
    api_key_env: str = ""
    api: Literal["chat", "completions"] = "chat"
    mode: Literal["direct", "batch"] = "direct"
    prompt: Literal["full", "short"] = "full"
    structured: Literal["json_schema", "json_object", "none"] = "none"
    logprobs: bool = False
    concurrency: PositiveInt = 8
    requests_per_minute: PositiveInt | None = None
    tokens_per_minute: PositiveInt | None = None
    timeout: PositiveFloat = 60.0
    attempts: PositiveInt = 6

    @model_validator(mode="after")
    def _one_address(self) -> Endpoint:
        if bool(self.base_url) == bool(self.serve):
            raise ValueError("give either base_url or serve")
        return self


class Labeller(Strict):
    """One member of the crowd: who is asked, by which prompt method, about which part of a text.

    Attributes
    ----------
    kind : ``encoder`` (zero-shot sentence encoder), ``local`` (causal language model in this
        process) or ``endpoint``.
    method : V1-V4 of the paper (`helpers.labelling.methods`), ``direct`` (all labels in one
        question) or ``groups`` (one question a group of labels).
    view : the whole text, or its subject line alone (tasks whose texts have one).
    model : name of the model at the endpoint, or of a local model.
    endpoint : name of an endpoint of the profile (``kind: endpoint``).
    temperature, sampling_seed, max_tokens : sampling of one answer.
    propose : encoder, tasks with several labels: how many labels it proposes for a text.
    centre : encoder: count how much nearer a name is to this text than to the average text.
    """

    kind: Literal["encoder", "local", "endpoint"]
    method: Method
    view: View = "text"
    model: str = ""
    endpoint: str = ""
    temperature: float = Field(default=0.0, ge=0)
    sampling_seed: int | None = 1
    max_tokens: PositiveInt = 64
    propose: PositiveInt = 3
    centre: bool = False


class Labelling(Strict):
    """The AI crowd: endpoints, labellers, who labels which task, and what may be spent.

    Attributes
    ----------
    responses : ``live`` asks endpoints for what the store lacks; ``replay`` reads the archived
        answers under `archive` and never opens a connection.
    archive : folder of ``<task>/<model>/<prompt>.jsonl.gz`` for ``replay`` (empty: the run's); a
        relative path starts at the repository.
    budget_usd : no request is sent that could bring the total above it (``null``: no limit).
    splits : texts that the crowd labels.
    endpoints, labellers : by name.
    crowd : task -> names of its labellers, in the order in which they are shown.
    compared : task -> labellers that chapter 05 asks about the test texts, beside the models.
    """

    responses: Literal["live", "replay"] = "live"
    archive: str = ""
    budget_usd: float | None = Field(default=None, ge=0)
    splits: list[Literal["train", "validation", "test"]] = ["train"]
    endpoints: dict[str, Endpoint] = Field(default_factory=dict)
    labellers: dict[str, Labeller] = Field(default_factory=dict)
    crowd: dict[str, list[str]] = Field(default_factory=dict)
    compared: dict[str, list[str]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_exist(self) -> Labelling:
        for name, labeller in self.labellers.items():
            if labeller.kind == "endpoint" and labeller.endpoint not in self.endpoints:
                raise ValueError(f"labeller '{name}': no endpoint '{labeller.endpoint}'")
        for task, names in self.crowd.items():
            for labeller in (self.labellers[name] for name in names if name in self.labellers):
                if labeller.kind == "endpoint" and self._served(labeller) == "finetuned":
                    raise ValueError(
                        f"crowd of '{task}': a model that was tuned on gold labels may not label "
                        "(serve: finetuned); list it under compared"
                    )
        for task, names in [*self.crowd.items(), *self.compared.items()]:
            if unknown := [name for name in names if name not in self.labellers]:
                raise ValueError(f"crowd of '{task}': no labeller {', '.join(unknown)}")
        for task, names in self.compared.items():
            if local := [name for name in names if self.labellers[name].kind != "endpoint"]:
                raise ValueError(
                    f"compared of '{task}': {', '.join(local)} has no endpoint; what answers on "
                    "this machine is compared as part of the crowd"
                )
        return self

    def _served(self, labeller: Labeller) -> str | None:
        return self.endpoints[labeller.endpoint].serve


class SizeStudy(Strict):
    """Chapter 06: test scores against the number of training texts.

    Attributes
    ----------
    models : task -> causal models to be fine-tuned at every size; tasks that are not named get
        the simple methods alone.
    simple : methods of ``baselines`` that learn from labelled texts.
    smallest, sizes : a geometric grid of `sizes` sizes from `smallest` to all training texts.
    seeds, simple_seeds : seeds per size, of the causal models and of the simple methods. Simple
        methods have one at the full size, where neither texts nor training could differ.
    seeds_of_all : seeds of the causal models at the full size (``null``: `seeds`).
    labels : task -> what else models learn from (besides gold labels), at every size: ``verified``
        and ``majority`` (chapters 03 and 02), ``noise-10``: gold, 10% of it replaced at random.
    label_models : methods that learn from these other labels (causal models must be in `models`).
    label_seeds : seeds per size of causal models that learn from other labels than gold.
    free : also let the first seed's causal models answer without constraints, to see how often
        an answer has the right form.
    target : score whose price in labels is asked for, by task.
    """

    models: dict[str, list[str]] = Field(default_factory=dict)
    simple: list[Literal["tfidf-lr", "embeddings-lr"]] = ["tfidf-lr", "embeddings-lr"]
    smallest: PositiveInt = 25
    sizes: int = Field(default=5, ge=3)
    seeds: PositiveInt = 3
    simple_seeds: PositiveInt = 5
    seeds_of_all: PositiveInt | None = None
    labels: dict[str, list[str]] = Field(default_factory=dict)
    label_models: list[str] = ["embeddings-lr"]
    label_seeds: PositiveInt = 3
    free: bool = True
    target: dict[str, float] = Field(default_factory=dict)


class PartsPlan(Strict):
    """Chapter 07, one task: which part of an encoder is trained.

    Attributes
    ----------
    layers : depth of the offline encoder (2, 4 or 6).
    methods : ``dictionary-forest``, ``dictionary-boosting``, ``frozen`` (head only), ``top-<k>``
        (the last k layers), ``lora``, ``all``, ``scratch`` (all, from random weights).
    folds : evaluate by repeated 5-fold cross-validation instead of the split of chapter 01.
    repeats : how often the folds are drawn anew (at most 5), or seeds on the split.
    groups : also leave whole groups out (countries), if the task has groups.
    settings : method -> settings of `helpers.encoders` that differ from its defaults.
    """

    layers: Literal[2, 4, 6] = 6
    methods: list[str] = Field(min_length=1)
    folds: bool = True
    repeats: int = Field(default=1, ge=1, le=5)
    groups: bool = False
    settings: dict[str, dict[str, Any]] = Field(default_factory=dict)


class CausalParts(Strict):
    """Chapter 07, one task: variants of fine-tuning a causal model; name -> settings."""

    model: str
    seeds: PositiveInt = 1
    variants: dict[str, dict[str, Any]]


class PartsStudy(Strict):
    """Chapter 07: what to fine-tune. `explained`: texts whose prediction is taken apart."""

    tasks: dict[str, PartsPlan] = Field(default_factory=dict)
    causal: dict[str, CausalParts] = Field(default_factory=dict)
    explained: PositiveInt = 5


class EstimatesStudy(Strict):
    """Chapter 09: from labels to quantities.

    Attributes
    ----------
    by : task -> columns by which shares are given; ``period`` is made from ``year``. What the
        texts do not have is left out, and the chapter says so.
    periods : years in which a period begins.
    labels : number of labels by group, and of tasks with several labels a text.
    topic : task (one label a text) -> labels that the regressions and the simulation take
        together (default: the most predicted one). Choose them before looking at codes.
    effect : of them on the outcome that is made up for the second regression, in standard
        deviations of its noise.
    folds : of the cross-fitted model; 0 leaves it out.
    replications : of the simulation, for each of its designs.
    n_population : texts of each simulated population (default: as many as were predicted).
    n_coded, accuracies, differential : the designs: coded texts; share of right predictions
        (beside the crowd's own); share of predictions that are replaced by the topic in texts
        of later years (0: the crowd's errors alone).
    widths : interval widths (from limit to limit) for which the number of labels is planned.
    corpus : texts of the corpus that it is planned for.
    """

    by: dict[str, list[str]] = Field(default_factory=dict)
    periods: list[int] = Field(default_factory=list)
    labels: PositiveInt = 4
    topic: dict[str, list[str]] = Field(default_factory=dict)
    effect: float = 0.5
    folds: int = Field(default=5, ge=0)
    replications: int = Field(default=1000, ge=20)
    n_population: PositiveInt | None = None
    n_coded: list[int] = Field(default=[50, 100, 200, 400], min_length=2)
    accuracies: list[float] = Field(default=[0.7, 0.9], min_length=1)
    differential: list[float] = Field(default=[0.0, 0.2], min_length=1)
    widths: list[float] = Field(default=[0.1, 0.05], min_length=1)
    corpus: PositiveInt = 20_000


class Verification(Strict):
    """Human review of the crowd's proposals.

    Attributes
    ----------
    coders : ``simulated`` (seeded, decides by the gold labels with errors; for runs without
        people) or ``logs`` (decisions that people made in the widget or in review sheets).
    names : the coders.
    mode : ``reject`` wrong labels only (Carammia et al. 2024) or ``correct`` them
        (Iacus et al. 2025); `mode_of_task`: tasks that differ.
    error_rate : share of wrong decisions of a simulated coder. Default: two coders with 10%
        errors each disagree in 18% of cases; the paper reports 15-20%.
    overlap : share of texts that two coders review.
    audit : number of texts drawn at random and coded without seeing proposals.
    rule : how disagreeing decisions become one label set (`helpers.verification.aggregate`).
    """

    coders: Literal["simulated", "logs"] = "simulated"
    names: list[str] = Field(default_factory=lambda: ["coder-1", "coder-2"], min_length=1)
    mode: ReviewMode = "reject"
    mode_of_task: dict[str, ReviewMode] = Field(default_factory=dict)
    error_rate: float = Field(default=0.1, ge=0, lt=0.5)
    overlap: float = Field(default=0.2, ge=0, le=1)
    audit: PositiveInt = 100
    rule: Literal["majority", "any", "unanimous", "first-accepted", "high-wins"] = "majority"

    def mode_for(self, task: str) -> ReviewMode:
        """Return how coders review a task."""
        return self.mode_of_task.get(task, self.mode)
