"""Occlusion: for a model that sums word weights the effects are those weights."""

import re

import numpy as np
import pytest

from helpers.encoders.dictionary import Dictionary
from helpers.encoders.occlusion import (
    COLUMNS,
    OcclusionError,
    compare_words,
    highlighted,
    legend,
    occlude,
    top_words,
    words_of,
)

WEIGHTS = {"killed": 2.0, "army": 0.5, "truce": -1.0, "army's": 0.7, "2,400": 3.0, "é": 0.1}


def additive(texts):
    """Sum of the weights of a text's words, cut at spaces."""
    pieces = [[word.strip(".,;").lower() for word in text.split()] for text in texts]
    return np.array([1 + sum(WEIGHTS.get(word, 0.0) for word in words) for words in pieces])


def test_effects_of_an_additive_model_are_its_weights():
    text = "The army's guns killed 2,400; a truce, é."
    found = occlude(additive, [text], ["a"])
    assert found.columns.tolist() == list(COLUMNS)
    effects = dict(zip(found["word"], found["effect"], strict=True))
    expected = {"army's": 0.7, "killed": 2.0, "2,400": 3.0, "truce": -1.0, "é": 0.1}
    assert effects == pytest.approx({"The": 0, "guns": 0, "a": 0} | expected)
    assert found["prediction"].unique() == pytest.approx([1 + 4.8])
    assert found["position"].tolist() == [*range(8)]


def test_offsets_point_at_the_words():
    text = "Ünrest — in  anti-clan\nsuburbs: 3.5 (don’t)_x"
    found = occlude(additive, [text], ["a"])
    assert [text[s:e] for s, e in zip(found["start"], found["end"], strict=True)] == found[
        "word"
    ].tolist()
    assert found["word"].tolist() == [
        "Ünrest",
        "in",
        "anti",
        "clan",
        "suburbs",
        "3.5",
        "don’t",
        "x",
    ]


def test_repeated_words_are_left_out_one_at_a_time():
    found = occlude(additive, ["killed and killed"], ["a"])
    killed = found[found["word"] == "killed"]
    assert killed["effect"].tolist() == pytest.approx([2.0, 2.0])
    top = top_words(found, 1).iloc[0]
    assert (top["word"], top["occurrences"]) == ("killed", 2) and top["effect"] == pytest.approx(
        4.0
    )


def test_one_call_a_text_with_all_variants():
    calls = []

    def predict(texts):
        calls.append(texts)
        return np.zeros(len(texts))

    occlude(predict, ["one two", "", "three"], ["a", "b", "c"])
    assert calls == [["one two", "two", "one "], ["three", ""]]


def test_replacement_takes_the_place_of_the_word():
    seen = []
    occlude(lambda t: seen.extend(t) or np.zeros(len(t)), ["a b"], ["x"], replacement="[MASK]")
    assert seen == ["a b", "[MASK] b", "a [MASK]"]


def test_text_without_words_has_no_rows():
    found = occlude(additive, ["", " … !"], ["a", "b"])
    assert found.empty and found.columns.tolist() == list(COLUMNS)
    assert highlighted(found, " <…> !").count("&lt;…&gt; !") == 1


def test_classes_are_followed_by_the_class_of_the_whole_text():
    def predict(texts):
        war = np.array([0.9 if "bomb" in text else 0.2 for text in texts])
        return np.column_stack([1 - war, war])

    found = occlude(predict, ["a bomb fell", "rain fell"], ["w", "p"])
    war = found[found["id"] == "w"].set_index("word")["effect"]
    assert war["bomb"] == pytest.approx(0.7) and war["fell"] == pytest.approx(0.0)
    assert found[found["id"] == "p"]["prediction"].unique() == pytest.approx([0.8])


@pytest.mark.parametrize(
    "predict",
    [
        lambda texts: np.zeros(len(texts) - 1),
        lambda texts: np.full(len(texts), np.nan),
        lambda texts: np.zeros((len(texts), 1, 1)),
    ],
)
def test_predictions_that_do_not_fit_are_refused(predict):
    with pytest.raises(OcclusionError, match="text a"):
        occlude(predict, ["one two"], ["a"])


def test_ids_that_do_not_fit_are_refused():
    with pytest.raises(OcclusionError, match="1 texts, but 2 ids"):
        occlude(additive, ["one"], ["a", "b"])


def test_words_beside_the_dictionary():
    known = Dictionary(("army", "killed", "truce", "drought"), np.array([4.0, 1.0, -3.0, 9.0]))
    found = occlude(additive, ["killed the army's men, killed", "rain"], ["b", "a"])
    table = compare_words(found, known, 2)
    first = table[table["id"] == "b"]
    assert table["id"].tolist() == ["b", "b", "a"]
    assert first["encoder_word"].tolist() == ["killed", "army's"]
    # "army's" holds the dictionary's "army"; two times "killed" count twice.
    assert first["dictionary_word"].tolist() == ["army's", "killed"]
    assert first["score"].tolist() == pytest.approx([4.0, 2.0])
    assert table.iloc[2]["encoder_word"] == "rain" and table.iloc[2]["dictionary_word"] == ""


def test_html_is_escaped_and_says_the_numbers():
    text = 'killed <&"truce"> rain'
    found = occlude(lambda t: additive([re.sub(r"\W", " ", x) for x in t]), [text], ["a"])
    known = Dictionary(("killed",), np.array([1.5]))
    html = highlighted(found, text, heading="<a>", dictionary=known)
    assert '<&"' not in html and "&lt;&amp;&quot;" in html and "<strong>&lt;a&gt;</strong>" in html
    spans = {m[2]: m[1] for m in re.finditer(r"<span ([^>]*)>([^<]*)</span>", html)}
    assert "rgba(213,94,0,0.65)" in spans["killed"] and "rgba(0,114,178,0.33)" in spans["truce"]
    assert "effect +2.000, dictionary +1.500" in spans["killed"]
    assert "underline" in spans["killed"] and "underline" not in spans["truce"]
    assert ",0.00)" in spans["rain"]
    plain = re.sub(r"<[^>]*>", "", html.split("<br>")[1])
    assert plain == "killed &lt;&amp;&quot;truce&quot;&gt; rain"
    assert "lowers" in legend() and "raises" in legend()


def test_common_scale_makes_texts_comparable():
    found = occlude(additive, ["army"], ["a"])
    assert "0.65)" in highlighted(found, "army")
    assert "0.16)" in highlighted(found, "army", strongest=2.0)


def test_colours_of_another_text_are_refused():
    with pytest.raises(OcclusionError, match="does not stand at"):
        highlighted(occlude(additive, ["killed men"], ["a"]), "men killed")


def test_words_know_their_places():
    assert [word.text for word in words_of("a b-c")] == ["a", "b", "c"]
