"""Which words a prediction rests on: leave each word out and predict again.

A word's effect is the prediction of the whole text less that of the text without the word. It
needs nothing of a model but its predictions, so it serves an encoder and a forest alike.

References
----------
Zeiler & Fergus (2014), Visualizing and Understanding Convolutional Networks, ECCV (occlusion).
Li, Monroe & Jurafsky (2016), Understanding Neural Networks through Representation Erasure,
arXiv:1612.08220 (words).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from helpers.encoders.dictionary_words import Dictionary
from helpers.runs import HelpersError

COLUMNS = ("id", "position", "start", "end", "word", "effect", "prediction")
# A number keeps its separators, a word its apostrophe and what follows; hyphens divide.
WORD = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+(?:['’][^\W_]+)*")
_BLUE, _VERMILLION = (0, 114, 178), (213, 94, 0)
_STRONGEST = 0.65  # opacity of the background; black text on it keeps a contrast of 4.5 to 1

Predict = Callable[[list[str]], NDArray[Any]]


class OcclusionError(HelpersError):
    """Predictions do not fit the texts that they were asked for."""


class Word(NamedTuple):
    """A word and where it stands: ``text[start:end]``."""

    start: int
    end: int
    text: str


def words_of(text: str) -> list[Word]:
    """Return the words of a text with their places."""
    return [Word(match.start(), match.end(), match[0]) for match in WORD.finditer(text)]


def without(text: str, word: Word, replacement: str = "") -> str:
    """Return the text with the word replaced; left out, one of the spaces around it goes too."""
    before, after = text[: word.start], text[word.end :]
    if not replacement and after[:1] == " " and before[-1:] in ("", " "):
        after = after[1:]
    return before + replacement + after


def occlude(
    predict: Predict, texts: Sequence[str], ids: Sequence[str], *, replacement: str = ""
) -> pd.DataFrame:
    """Take each text's prediction apart, word by word.

    Parameters
    ----------
    predict : k texts -> (k,) numbers, or (k, L) probabilities of classes. Called once a text, with
        the text and all its variants.
    texts, ids : n texts and their names.
    replacement : what takes a word's place (the mask token of an encoder, say); empty: nothing.

    Returns
    -------
    DataFrame
        One row per word: id, position (0, 1, ...), start, end, word, effect, prediction. `effect`
        above 0: the word raises the prediction. `prediction` is that of the whole text; for
        classes, the probability of the class that the whole text is given. A text without words
        has no row.

    Raises
    ------
    OcclusionError
        If `predict` returns another number of predictions than texts, or one that is not finite,
        or `ids` and `texts` differ in length.
    """
    if len(texts) != len(ids):
        raise OcclusionError(f"{len(texts)} texts, but {len(ids)} ids")
    rows: list[tuple[Any, ...]] = []
    for name, text in zip(ids, texts, strict=True):
        words = words_of(text)
        if not words:
            continue
        values = _predictions(
            predict, name, [text, *(without(text, w, replacement) for w in words)]
        )
        effects = values[0] - values[1:]
        for position, (word, effect) in enumerate(zip(words, effects, strict=True)):
            place = (name, position, word.start, word.end, word.text)
            rows.append((*place, float(effect), float(values[0])))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _predictions(predict: Predict, name: str, texts: list[str]) -> NDArray[np.float64]:
    found = np.asarray(predict(texts), dtype=np.float64)
    if found.ndim not in (1, 2) or len(found) != len(texts) or not np.isfinite(found).all():
        raise OcclusionError(
            f"text {name}: predict was given {len(texts)} texts and returned an array of shape "
            f"{found.shape}: it must return one finite number, or one row of finite "
            "probabilities, for each"
        )
    return found if found.ndim == 1 else found[:, int(found[0].argmax())]


def top_words(frame: pd.DataFrame, n: int = 8) -> pd.DataFrame:
    """Per text, the words with the largest absolute sum of effects over their occurrences.

    Returns
    -------
    DataFrame
        id, rank (from 1), word (lower case), occurrences, effect.
    """
    lower = frame.assign(word=frame["word"].str.lower())
    grouped = lower.groupby(["id", "word"], sort=False)["effect"]
    sums = grouped.agg(occurrences="size", effect="sum").reset_index()
    return _ranked(sums, "effect", n)[["id", "rank", "word", "occurrences", "effect"]]


def dictionary_words(frame: pd.DataFrame, dictionary: Dictionary) -> pd.DataFrame:
    """Add a column `score` to the rows of `occlude`: what the dictionary gives the word.

    A word of the text may hold several of the dictionary, or none (score NaN): the dictionary cuts
    at apostrophes and commas.
    """
    alone = Dictionary(dictionary.words, dictionary.scores)
    counts = alone.counts(frame["word"].tolist())
    known = np.asarray(counts.sum(axis=1)).ravel() > 0
    return frame.assign(score=np.where(known, counts @ alone.scores, np.nan))


def compare_words(frame: pd.DataFrame, dictionary: Dictionary, n: int = 8) -> pd.DataFrame:
    """Set the words that an encoder's prediction rests on beside the dictionary's, text by text.

    Parameters
    ----------
    frame : as `occlude` returns it.
    dictionary : for classes, that of the predicted class.
    n : words a side.

    Returns
    -------
    DataFrame
        id, rank, encoder_word, effect, dictionary_word, score: by absolute effect of all
        occurrences in the text, and by absolute score times occurrences. Sides may differ in
        length; what is missing is empty.
    """
    scored = dictionary_words(frame, dictionary).dropna(subset=["score"])
    sums = scored.assign(word=scored["word"].str.lower()).groupby(["id", "word"], sort=False)
    theirs = _ranked(sums["score"].sum().reset_index(), "score", n)
    ours = top_words(frame, n).drop(columns="occurrences")
    both = ours.rename(columns={"word": "encoder_word"}).merge(
        theirs.rename(columns={"word": "dictionary_word"}), on=["id", "rank"], how="outer"
    )
    place = {name: row for row, name in enumerate(dict.fromkeys(frame["id"]))}
    both = both.sort_values(
        ["id", "rank"], key=lambda c: c.map(place) if c.name == "id" else c, ignore_index=True
    )
    columns = ["id", "rank", "encoder_word", "effect", "dictionary_word", "score"]
    return both[columns].fillna({"encoder_word": "", "dictionary_word": ""})


def _ranked(sums: pd.DataFrame, value: str, n: int) -> pd.DataFrame:
    order = sums.assign(size=sums[value].abs()).sort_values("size", ascending=False, kind="stable")
    order["rank"] = order.groupby("id").cumcount() + 1
    return order[order["rank"] <= n].drop(columns="size")


def highlighted(
    frame: pd.DataFrame,
    text: str,
    *,
    heading: str = "",
    dictionary: Dictionary | None = None,
    strongest: float | None = None,
) -> str:
    """Show a text as HTML, its words coloured by their effect.

    Parameters
    ----------
    frame : rows of `occlude` of this text alone.
    text : the text.
    heading : stands above it, in bold.
    dictionary : its words are underlined.
    strongest : effect with the fullest colour (default: the largest of this text); the same for
        several texts makes their colours comparable.

    Returns
    -------
    str
        Self-contained. Vermillion: the word raises the prediction; blue: it lowers it. Numbers
        stand in the tooltips.
    """
    scores = pd.Series(np.nan, index=frame.index)
    if dictionary is not None:
        scores = dictionary_words(frame, dictionary)["score"]
    limit = strongest or float(frame["effect"].abs().max() if len(frame) else 0.0) or 1.0
    parts, done = [], 0
    for row, score in zip(frame.itertuples(), scores, strict=True):
        if text[int(row.start) : int(row.end)] != row.word:
            raise OcclusionError(f"'{row.word}' does not stand at {row.start} in this text")
        parts.append(escape(text[done : int(row.start)]))
        parts.append(_span(str(row.word), float(row.effect), float(score), limit))
        done = int(row.end)
    parts.append(escape(text[done:]))
    top = f"<strong>{escape(heading)}</strong><br>" if heading else ""
    return f'<div style="line-height:1.8;max-width:60em">{top}{"".join(parts)}</div>'


def _span(word: str, effect: float, score: float, limit: float) -> str:
    red, green, blue = _VERMILLION if effect > 0 else _BLUE
    opacity = _STRONGEST * min(1.0, abs(effect) / limit)
    title, line = f"effect {effect:+.3f}", ""
    if not np.isnan(score):
        title += f", dictionary {score:+.3f}"
        line = ";text-decoration:underline"
    style = f"background:rgba({red},{green},{blue},{opacity:.2f}){line}"
    return f'<span style="{style}" title="{title}">{escape(word)}</span>'


def legend(words: Iterable[str] = ("lowers", "raises")) -> str:
    """Return a line of HTML that explains the colours of `highlighted`."""
    low, high = words
    marks = [(low, -1.0, np.nan), (high, 1.0, np.nan)]
    spans = [_span(f" {word} the prediction ", effect, score, 1.0) for word, effect, score in marks]
    return f"<div>{' '.join(spans)} <u>underlined</u>: word of the dictionary</div>"
