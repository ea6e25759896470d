"""What the paper reports, and what becomes of it when it is recomputed (chapter 08)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from helpers.figures.claims import CLAIM_LOOKS, VALUE_LOOKS
from helpers.report.blocks import Block, Missing, Section, Sheet, Title, Words
from helpers.report.folder import RunFolder
from helpers.report.words import count, joined

CHAPTER = "08"
NOT_RUN = "not run: archive absent"
SIZES = {
    "accD": "Accuracy on dimensions",
    "ham": "Hamming loss",
    "jac2": "What the article draws as Jaccard",
    "accI": "Accuracy on intensity",
}
DRAWN = {
    "08_cap_topics": ("Dot plots: scores by topic, recomputed, beside the published ones.",
                      "Topic by topic, recomputed.", "corrected_cap_codes"),
    "08_dimensions": ("Dot plots: rates by dimension as printed and as named.",
                      "Each dimension, as printed and as named.", "corrected_per_dimension"),
    "08_ranks": ("Heat map: how often each model takes each rank over all specifications.",
                 "Would another choice have changed the ranking?", "specifications_ranks"),
    "08_coders": ("Dot plot: share of proposals that each coder accepts.",
                  "What coders accept.", "human_acceptance"),
    "08_ceiling": ("Dot plots: scores of the archived models beside the noise ceiling.",
                   "The ceiling that disagreeing coders set.", "human_ceiling"),
}  # fmt: skip


def published(folder: RunFolder) -> Section:
    """Certificate, claims, and the paper's figures beside the recomputed ones."""
    section = Section("published", "Published against recomputed", why=folder.why_missing(CHAPTER))
    section.blocks += _certificate(folder, section)
    section.blocks += _claims(folder, section)
    recomputed = len(folder.table("corrected_scores"))  # without it half of each figure is empty
    for name in folder.figures:
        statistic = SIZES.get(name.removeprefix("08_size_"), "")
        if name.startswith("08_size_") and statistic and recomputed:
            alt = (
                f"Line plots: {statistic} against the number of parameters; left as the article "
                "draws it, right recomputed on the same posts where the archive is there."
            )
            section.blocks.append(folder.picture(name, alt, f"{statistic}.", ["corrected_scores"]))
    for name, (alt, caption, table) in DRAWN.items():
        if name in folder.figures:
            section.blocks.append(folder.picture(name, alt, caption, [table]))
    section.blocks += _reported(folder)
    if section.blocks:
        lead = (
            "About the paper itself, and apart from this run's own models: values of Carammia, "
            "Iacus and Porro (2024), and what their archived files yield."
        )
        section.blocks.insert(0, Words(lead))
    return section


def _certificate(folder: RunFolder, section: Section) -> Iterator[Block]:
    counts = folder.table("certificate_counts", "exhibit", "values", *VALUE_LOOKS)
    if counts.empty:
        return
    kinds = list(VALUE_LOOKS)
    whole = counts[counts["exhibit"] == "all"]
    rows = counts[counts["exhibit"] != "all"]
    total = (whole if len(whole) else rows)[["values", *kinds]].sum()
    said = [f"{count(total[kind])} {kind}" for kind in kinds if total[kind]]
    reading = f"{count(total['values'], 'published value')}: {joined(said)}."
    section.highlights.append(reading)
    yield Words(f"{reading} Exact: equal to 1e-9. Within rounding: equal to the printed decimals.")
    if total[NOT_RUN]:
        yield Missing(
            f"Not run for {count(total[NOT_RUN], 'value')}: the authors' files are not on this "
            "machine. “make data” fetches and verifies them; “make published” then runs this part."
        )
    if "08_certificate" in folder.figures and total[NOT_RUN] < total["values"]:
        alt = f"Stacked bars: what became of the published values, by exhibit. {reading}"
        caption = (
            "Published values by exhibit: exact, within rounding, different, not recomputable."
        )
        yield folder.picture("08_certificate", alt, caption, ["certificate", "certificate_counts"])
    cells = [
        [r["exhibit"], count(r["values"]), *(count(r[kind]) for kind in kinds)]
        for _, r in rows.iterrows()
    ]
    yield folder.sheet(
        "certificate_counts",
        "Published values by exhibit",
        ["Exhibit", "Values", *(kind.capitalize() for kind in kinds)],
        cells,
        chapter=CHAPTER,
        folded=True,
    )


def _claims(folder: RunFolder, section: Section) -> Iterator[Block]:
    rows = folder.table("claims", "claim", "verdict", "figure", "needs")
    if rows.empty:
        return
    counted = rows["verdict"].value_counts()
    said = [f"“{v}”: {counted[v]}" for v in CLAIM_LOOKS if v in counted.index]
    reading = f"{count(len(rows), 'claim')} of the article. {'; '.join(said)}."
    section.highlights.append(reading)
    yield Title("The article's claims", "published-claims")
    yield Words(f"{reading} The verdicts are computed from the tables by stated rules.")
    yield _claims_sheet(folder, rows)


def _claims_sheet(folder: RunFolder, rows: pd.DataFrame) -> Sheet:
    cells = []
    for _, row in rows.iterrows():
        look = CLAIM_LOOKS.get(row["verdict"])
        figure, needs = (_text(row[name]) for name in ("figure", "needs"))
        decides = f"{figure} Needs: {needs}." if needs else figure
        verdict = f"{look.symbol} {row['verdict']}" if look else _text(row["verdict"])
        cells.append([_text(row["claim"]), verdict, decides.strip()])
    return folder.sheet(
        "claims",
        "Each claim, its verdict, and what decides it",
        ["Claim", "Verdict", "What decides it"],
        cells,
        chapter=CHAPTER,
        words=(0, 1, 2),
    )


def _text(cell: object) -> str:
    return "" if pd.isna(cell) else str(cell).strip()  # type: ignore[call-overload]


def _reported(folder: RunFolder) -> Iterator[Block]:
    drawn = {
        "05_published_headlines": "The paper's headline numbers: ChatGPT-4 and fine-tuned LLAMA.",
        "05_published_flourishing": "The paper's scores of its models, training and test posts.",
        "06_published_dataverse": "The paper's comparison of two training sizes, taken apart.",
    }
    found = [name for name in drawn if name in folder.figures]
    if found:
        yield Title("What the paper reports", "published-reported")
        yield Words("Drawn from published values; not computed by this run's models.")
    for name in found:
        yield folder.picture(name, f"Dot plots: {drawn[name]}", drawn[name])
