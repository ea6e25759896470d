"""A zero-shot sentence encoder that answers a prompt method's questions by similarity of meaning.

It reads no prompt: the answer is the option whose name is nearest to the text (cosine). Three
rules stand in for what it cannot judge. None is fitted to labels:

* "None of these" (first questions of V1 and V2; groups): an option counts only if it is among the
  `SHORTLIST` nearest of the task's whole codebook (names that several topics share count once).
  With one answer a question that is 5 of about 245 subtopics, so 1 to 5 topics are found.
* Several labels: the `propose` nearest of the whole codebook. So ``groups`` and ``direct`` agree.
* Levels: the middle one throughout; similarity says nothing about intensity.

Some names are near to every text (hubs: Radovanović, Nanopoulos, Ivanović 2010, JMLR 11). With
`centre`, what counts is how much nearer a name is to this text than to the average text that was
asked about. That is no matter of labels either, but the answer then depends on the other texts.

Cosines are no probabilities, so answers have no confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers.labelling.questions import Answer, Asked, Option, Question
from helpers.plans import HelpersError
from helpers.tasks import Task

SHORTLIST = 5
"""Nearest subtopics of the codebook that may be an answer where "none" is possible."""

Embed = Callable[[list[str]], NDArray[Any]]


class EncoderLabeller:
    """A `Backend` over sentence embeddings.

    Parameters
    ----------
    task : its codebook is what "near" is measured against.
    embed : turns n texts into an (n, d) array; each text is embedded once.
    propose : number of labels a text gets in tasks with several.
    shortlist, centre : see the module.
    """

    def __init__(
        self,
        task: Task,
        embed: Embed,
        *,
        propose: int = 3,
        shortlist: int = SHORTLIST,
        centre: bool = False,
    ) -> None:
        self.embed, self.propose, self.shortlist = embed, propose, shortlist
        self.centre = centre
        subtopics = task.subtopics["name"].unique().tolist()
        self._subtopics = subtopics or list(task.label_names.values())
        self._labels = list(dict.fromkeys(task.label_names.values()))
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def answer(self, asked: Sequence[Asked]) -> list[Answer]:
        """Answer all questions; each status is ``ok``."""
        self._remember([a.text for a in asked])
        self._remember([*self._subtopics, *self._labels])
        rows: dict[Question, list[int]] = {}
        for i, item in enumerate(asked):
            rows.setdefault(item.question, []).append(i)
        self._remember([option.name for question in rows for option in question.options])
        texts = list(dict.fromkeys(item.text for item in asked))
        place = {text: i for i, text in enumerate(texts)}
        vectors = self._matrix(texts)
        if self.centre:
            vectors = vectors - vectors.mean(axis=0)
        least = {many: self._threshold(vectors, many) for many in {q.many for q in rows}}
        answers: list[Answer] = [Answer("unparsed")] * len(asked)
        for question, items in rows.items():
            own = [place[asked[i].text] for i in items]
            found = self._chosen(question, vectors[own], least[question.many][own])
            for i, answer in zip(items, found, strict=True):
                answers[i] = answer
        return answers

    def _chosen(
        self, question: Question, texts: NDArray[np.float32], least: NDArray[np.float32]
    ) -> list[Answer]:
        names = [option.name for option in question.options]
        similarity = texts @ self._matrix(names).T
        level = question.levels[len(question.levels) // 2] if question.levels else ""
        if question.many:
            near = similarity >= least[:, None]
        else:
            near = np.zeros(similarity.shape, dtype=bool)
            near[np.arange(len(near)), similarity.argmax(axis=1)] = True
            if question.none:
                near &= similarity >= least[:, None]
        return [_answer(question.options, row, level) for row in near]

    def _threshold(self, texts: NDArray[np.float32], many: bool) -> NDArray[np.float32]:
        """Return for each text the similarity of the last name of the codebook that is near."""
        names, count = (self._labels, self.propose) if many else (self._subtopics, self.shortlist)
        count = min(count, len(names))
        similarity = texts @ self._matrix(names).T
        # The same name in another matrix may differ in the last digit.
        return np.partition(similarity, -count, axis=1)[:, -count] - np.float32(1e-6)

    def _matrix(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([self._vectors[text] for text in texts])

    def _remember(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        if not new:
            return
        vectors = np.asarray(self.embed(new), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(new):
            raise HelpersError(
                f"{len(new)} texts were embedded as an array of shape {vectors.shape}: `embed` "
                "must return one row a text"
            )
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
        self._vectors.update(zip(new, vectors / lengths, strict=True))


def _answer(options: tuple[Option, ...], near: NDArray[np.bool_], level: str) -> Answer:
    return Answer("ok", tuple((options[i].code, level) for i in np.flatnonzero(near)))
