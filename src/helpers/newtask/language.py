"""A hint at the language of texts, from the commonest words and the script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

WORDS = {
    "English": "the of and to in is that it for was on are with as this be not have from they",
    "German": "der die das und ist nicht ein eine zu den mit von auf für dem wird sich auch es im",
    "French": "le la les et des est une un dans que pour pas qui sur au avec du nous plus ce sont",
    "Spanish": "el la los las y es que en un una por con para no se del al más como lo su",
    "Italian": "il la di che è e un una per non con sono del della gli le si nel più come anche",
    "Portuguese": "o a os as e é que em um uma não para com do da dos na no se mais por",
    "Dutch": "de het een en van is dat niet op te in voor met zijn aan er maar ook om bij",
    "Swedish": "och att det som en är på för av med inte den till har ett jag om vi så",
    "Danish": "og at det er en på som for af med ikke den til har et jeg der vi så de",
    "Polish": "i w na nie że się do jest z to jak o dla po ale przez od tym są był",
    "Czech": "a se na je že to v do s pro ale si jako by jsem tak jsou z ve za",
    "Turkish": "ve bir bu için ile da de çok olarak daha ne gibi var olan ama en kadar değil mi",
}
SCRIPTS = {
    "CYRILLIC": "a language in Cyrillic script",
    "GREEK": "Greek",
    "ARABIC": "a language in Arabic script",
    "HEBREW": "Hebrew",
    "CJK": "Chinese or Japanese",
    "HIRAGANA": "Japanese",
    "HANGUL": "Korean",
    "DEVANAGARI": "a language in Devanagari script",
    "THAI": "Thai",
}
SAMPLE = 2000


def language_of(texts: Sequence[str]) -> tuple[str | None, float]:
    """Guess the language that most texts are in.

    Returns
    -------
    language (None: no guess), and the share of the texts that look like it.
    """
    step = max(1, len(texts) // SAMPLE)
    found = Counter(_one(text) for text in texts[::step])
    total = sum(found.values())
    found.pop(None, None)
    if not found:
        return None, 0.0
    name, n = found.most_common(1)[0]
    return name, n / total


def _one(text: str) -> str | None:
    letters = [sign for sign in text[:400] if sign.isalpha()]
    if not letters:
        return None
    scripts = Counter(unicodedata.name(sign, "").split(" ")[0] for sign in letters)
    script = scripts.most_common(1)[0][0]
    if script in SCRIPTS:
        return SCRIPTS[script]
    words = Counter(re.findall(r"\w+", text.casefold()))
    hits = {name: sum(words[word] for word in _SETS[name]) for name in WORDS}
    best = max(hits, key=lambda name: hits[name])
    return best if hits[best] else None


_SETS = {name: frozenset(words.split()) for name, words in WORDS.items()}


def advice(language: str | None, share: float) -> list[str]:
    """Say what the language means for the offline model."""
    if language is None or share < 0.3:
        return ["language: no guess (short texts?)"]
    if language == "English":
        return [f"language: English ({share:.0%} of the texts look like it)"]
    return [
        f"language: {language} ({share:.0%} of the texts look like it). The offline model's "
        "sentence encoder was trained on ENGLISH: zero-shot labelling will be poor, and "
        "fine-tuning and embeddings start from weights that know few of these words. Read TF-IDF + "
        "logistic regression as the line to beat. With a network, a multilingual model is the "
        "better choice: set finetuning.tasks.<name>.models: [qwen2.5-0.5b-instruct] and "
        "offline: false in the profile, and a multilingual model of your own as labeller "
        "(Ollama, vLLM or an API; config/labellers.yaml)"
    ]
