"""Domain dictionaries: planted words are found, and nothing leaks from a text into its features."""

import numpy as np
import pytest

from helpers.encoders import dictionary as models
from helpers.encoders.dictionary import (
    Dictionary,
    DictionaryError,
    features,
    fit_predict_dictionary,
    fit_predict_dictionary_classes,
    fit_predict_length,
    learn_dictionary,
)
from helpers.encoders.dictionary_words import FEATURES

PLANTED = {"massacre": 2.0, "shelling": 1.5, "ambush": 1.0, "truce": -1.5, "harvest": -2.0}
FILLER = [f"word{letter}{other}" for letter in "abcdefgh" for other in "klmnop"]


def planted_texts(n, seed, noise=0.3):
    """Texts of 30 filler words, each planted word in a third of them, and their targets."""
    rng = np.random.default_rng(seed)
    texts, targets = [], []
    for _ in range(n):
        inside = [word for word in PLANTED if rng.random() < 1 / 3]
        words = [*inside, *rng.choice(FILLER, 30)]
        texts.append(" ".join(rng.permutation(words)))
        targets.append(sum(PLANTED[word] for word in inside) + noise * rng.normal())
    return texts, np.array(targets)


def r2(y, guess):
    return 1 - ((y - guess) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def column(dictionary, text, name):
    return features(dictionary, [text])[0, FEATURES.index(name)]


def test_planted_words_are_the_weightiest_with_their_sign_and_order():
    found = learn_dictionary(*planted_texts(300, 1), size=5)
    assert set(found.words) == set(PLANTED)
    score = dict(zip(found.words, found.scores, strict=True))
    assert all(np.sign(score[word]) == np.sign(PLANTED[word]) for word in PLANTED)
    assert score["massacre"] > score["shelling"] > score["ambush"]
    assert found.table()["word"].tolist()[0] == "massacre"
    assert found.table()["word"].tolist()[-1] == "harvest"


def test_smaller_dictionary_is_the_head_of_the_larger():
    texts, y = planted_texts(100, 2)
    whole, small = learn_dictionary(texts, y), learn_dictionary(texts, y, size=7)
    assert small.words == whole.words[:7] and len(whole.words) > 40
    np.testing.assert_array_equal(small.scores, whole.first(7).scores)


def test_words_of_a_single_text_get_no_score():
    texts, y = planted_texts(60, 3)
    texts[0] += " hapax"
    assert "hapax" not in learn_dictionary(texts, y).words


def test_words_of_most_texts_get_no_score():
    texts, y = planted_texts(60, 3)
    common = [f"the {text}" for text in texts]
    half = [*(f"half {text}" for text in common[:30]), *common[30:]]
    found = learn_dictionary(half, y).words
    assert "the" not in found and "half" in found


def test_pairs_of_words_are_a_choice():
    texts = ["not good", "good", "not good", "good", "not", "not", "other", "other", "other"] * 5
    y = [0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.5, 0.5, 0.5] * 5
    assert "not good" not in learn_dictionary(texts, y).words
    found = learn_dictionary(texts, y, ngrams=2)
    assert dict(zip(found.words, found.scores, strict=True))["not good"] < 0
    assert column(found, "not good", "negative_words") == 2  # "not" and "not good"


def test_features_by_hand():
    known = Dictionary(("bomb", "truce", "bridge"), np.array([2.0, -1.0, 0.5]))
    row = dict(
        zip(FEATURES, features(known, ["Bomb, bomb! The truce held today; so"])[0], strict=True)
    )
    assert row == pytest.approx(
        {
            "positive_sum": 4.0,
            "negative_sum": -1.0,
            "total": 3.0,
            "positive_mean": 2.0,
            "negative_mean": -1.0,
            "scaled_total": 3 / np.sqrt(7),
            "highest": 2.0,
            "lowest": -1.0,
            "positive_words": 2.0,
            "negative_words": 1.0,
            "share": 3 / 7,
            "words": 7.0,
        }
    )


def test_features_of_a_text_do_not_depend_on_the_others():
    texts, y = planted_texts(80, 4)
    known = learn_dictionary(texts, y)
    together = features(known, texts[:10])
    alone = np.vstack([features(known, [text]) for text in texts[:10]])
    np.testing.assert_array_equal(together, alone)


def test_unknown_words_change_nothing_but_the_length():
    known = learn_dictionary(*planted_texts(80, 5))
    before = features(known, ["massacre truce"])[0]
    after = features(known, ["massacre truce zzzz qqqq"])[0]
    lengths = [FEATURES.index(name) for name in ("share", "words", "scaled_total")]
    np.testing.assert_array_equal(np.delete(before, lengths), np.delete(after, lengths))
    assert after[FEATURES.index("share")] == 0.5


def test_empty_and_wordless_texts_work():
    texts, y = planted_texts(60, 6)
    assert not features(learn_dictionary(texts, y), [""]).any()
    for kind in ("forest", "boosting"):
        guess = fit_predict_dictionary([*texts, ""], [*y, 0.0], ["", "massacre"], kind, 0)
        assert np.isfinite(guess).all() and guess.shape == (2,)
    nothing = learn_dictionary(["", "?!", ""], [1.0, 2.0, 3.0])
    assert nothing.words == () and not features(nothing, ["", "?!"])[:, :-1].any()
    assert np.isfinite(fit_predict_dictionary(["", "?", ""], [1.0, 2.0, 3.0], ["x"], "forest", 0))


@pytest.mark.parametrize("kind", ["forest", "boosting"])
def test_signal_is_found_and_a_shuffled_target_is_not(kind):
    texts, y = planted_texts(240, 7)
    held, truth = planted_texts(120, 8)
    assert r2(truth, fit_predict_dictionary(texts, y, held, kind, 0)) > 0.6
    shuffled = np.random.default_rng(0).permutation(y)
    assert r2(truth, fit_predict_dictionary(texts, shuffled, held, kind, 0)) < 0.05


def test_training_features_are_cross_fitted():
    # With noise alone as target, scores that have seen a text's own target fit it; others do not.
    texts, _ = planted_texts(150, 9)
    y = np.random.default_rng(1).normal(size=150)
    known, _ = models._tables(texts, y[:, None], texts[:1], ("total",), 10, 0, 1)
    whole = max(known)
    seen = features(learn_dictionary(texts, y), texts)[:, FEATURES.index("total")]
    assert np.corrcoef(seen, y)[0, 1] > 0.4
    assert np.corrcoef(known[whole][:, 0], y)[0, 1] < 0.15


def test_own_target_of_a_text_does_not_enter_its_features():
    texts, y = planted_texts(60, 10)
    changed = y.copy()
    changed[17] += 50
    tables = [
        models._tables(texts, target[:, None], texts[:1], FEATURES, 10, 0, 1)[0]
        for target in (y, changed)
    ]
    for size, table in tables[0].items():
        np.testing.assert_array_equal(table[17], tables[1][size][17])
        assert not np.array_equal(table, tables[1][size])


def test_same_seed_same_predictions_whatever_else_is_asked():
    texts, y = planted_texts(80, 11)
    held, _ = planted_texts(10, 12)
    first = fit_predict_dictionary(texts, y, held, "forest", 3)
    again = fit_predict_dictionary(texts, y, [*held[5:], "truce"], "forest", 3)
    np.testing.assert_allclose(first[5:], again[:5], rtol=0, atol=1e-12)


def test_classes_are_found_and_shuffled_ones_are_not():
    rng = np.random.default_rng(13)
    topics = {"tax": ["budget", "levy"], "health": ["clinic", "vaccine"], "rare": ["comet", "star"]}
    labels = rng.choice(list(topics), 240, p=[0.5, 0.4, 0.1])
    texts = [" ".join([rng.choice(topics[k]), *rng.choice(FILLER, 12)]) for k in labels]
    for kind in ("forest", "boosting"):
        guess = fit_predict_dictionary_classes(texts[:180], labels[:180], texts[180:], kind, 0)
        assert np.mean(guess == labels[180:]) > 0.9
        assert all(type(label) is str for label in guess)
    mixed = rng.permutation(labels[:180])
    guess = fit_predict_dictionary_classes(texts[:180], mixed, texts[180:], "forest", 0)
    assert np.mean(guess == labels[180:]) < 0.65


def test_a_single_class_is_predicted_as_it_is():
    assert fit_predict_dictionary_classes(["a b", "b c"], ["7", "7"], ["c", ""], "forest", 0) == [
        "7",
        "7",
    ]


def test_penalty_is_chosen_on_a_sample_of_many_texts(monkeypatch):
    monkeypatch.setattr("helpers.encoders.dictionary_words.MOST_TUNED", 100)
    texts, y = planted_texts(300, 14)
    found = learn_dictionary(texts, y, size=5, seed=1)
    assert set(found.words) == set(PLANTED)
    np.testing.assert_array_equal(found.scores, learn_dictionary(texts, y, size=5, seed=1).scores)


def test_length_alone_predicts_what_depends_on_length():
    texts = [" ".join(["word"] * n) for n in range(1, 60)]
    y = np.log1p(np.arange(1, 60))
    np.testing.assert_allclose(
        fit_predict_length(texts, y, [texts[9], ""]), [np.log(11), 0], atol=0.01
    )


@pytest.mark.parametrize(
    ("texts", "y"), [(["one"], [1.0]), (["a", "b"], [1.0]), (["a", "b"], [1.0, np.nan])]
)
def test_target_that_does_not_fit_is_refused(texts, y):
    with pytest.raises(DictionaryError, match="one finite number for each"):
        fit_predict_dictionary(texts, y, ["c"], "forest", 0)


def test_unknown_kind_is_refused():
    with pytest.raises(DictionaryError, match="'forest' or 'boosting'"):
        fit_predict_dictionary(*planted_texts(20, 15), ["x"], "svm", 0)
