"""The items of both checklists, in words of our own, and what to think about where a person writes.

REFORMS: Kapoor, Cantrell, Peng, Pham, Bail, Gundersen, Hofman, Hullman, Lones, Malik, Nanayakkara,
Poldrack, Raji, Roberts, Salganik, Serra-Garcia, Stewart, Vandewiele and Narayanan (2024), "REFORMS:
Consensus-based Recommendations for Machine-learning-based Science", Science Advances 10(18),
eadk3452, doi:10.1126/sciadv.adk3452. Numbers and order are the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """One item: its number, what it asks, and what an author should think about (may be empty)."""

    number: str
    asks: str
    think: str = ""


REFORMS: dict[str, list[Item]] = {
    "1. Study goals": [
        Item(
            "1a",
            "About which population or distribution does the study claim something?",
            "Name units, places and period. The texts of this run are a sample; of what?",
        ),
        Item(
            "1b",
            "Why this population?",
            "A question that needs it, or only that the texts were at hand? Both are answers.",
        ),
        Item(
            "1c",
            "Why machine learning?",
            "What would coding a sample by hand give, at what cost? Compare with the simple "
            "methods under 5f.",
        ),
    ],
    "2. Computational reproducibility": [
        Item(
            "2a",
            "Which data, exactly, and where can they be had (link or DOI)?",
            "Deposit the texts, or say who can get them and how; give the DOI of the version.",
        ),
        Item(
            "2b",
            "Which code, exactly, and where (version, link or DOI)?",
            "Deposit the code that made the results, and give its DOI or commit.",
        ),
        Item(
            "2c",
            "On what machine and with what software?",
            "Drivers, and the software of a cluster, if you used one: a run does not record them.",
        ),
        Item("2d", "Is there a README that leads from data and code to the results?"),
        Item("2e", "Is there one script that produces all results?"),
    ],
    "3. Data quality": [
        Item(
            "3a",
            "Where do the data come from, when were they collected, and who labelled them how?",
            "Time and place of collection; who the coders were, their training and instructions.",
        ),
        Item(
            "3b",
            "From what set were the texts sampled, and how?",
            "List or archive that was sampled from; random, all, or what was at hand?",
        ),
        Item(
            "3c",
            "Why are these data fit for the task?",
            "Do texts hold what the label is about? Are labels what the theory means by them?",
        ),
        Item("3d", "What is the outcome variable, and how is it distributed?"),
        Item("3e", "How many texts are there, in all and by class?"),
        Item(
            "3f",
            "How much is missing, by class?",
            "Whether texts without a label differ from the others.",
        ),
        Item(
            "3g",
            "Why is what was sampled from representative of the population of 1a?",
            "Who or what is missing from the archive? If it is not representative, say so in 8a.",
        ),
    ],
    "4. Data preprocessing": [
        Item(
            "4a",
            "Which texts were left out, and why?",
            "What was left out before the texts came here.",
        ),
        Item("4b", "What was done with impossible or broken rows?"),
        Item("4c", "What was done to the texts between their raw form and the model?"),
    ],
    "5. Modelling": [
        Item("5a", "Which models were trained: inputs, type, loss?"),
        Item(
            "5b",
            "Why models of this type?",
            "Open weights that can be archived, cost, privacy, what the field uses.",
        ),
        Item("5c", "How were the models evaluated: which split, how many texts?"),
        Item(
            "5d",
            "How was the reported model chosen?",
            "If you chose among models after looking at test scores, say so.",
        ),
        Item(
            "5e",
            "How were hyperparameters chosen?",
            "What you changed in the profile, on which texts you looked, how often.",
        ),
        Item("5f", "Are the baselines the right ones, and were they given a fair chance?"),
    ],
    "6. Data leakage": [
        Item("6a", "Do all steps before the test use training data alone?"),
        Item(
            "6b",
            "What was done about duplicates and dependent texts across splits?",
            "Texts by the same author, about the same event, or from the same document: if there "
            "are such, put them into the same split.",
        ),
        Item(
            "6c",
            "Is every input legitimate, none a stand-in for the label?",
            "Does a heading, a code or a name of a body in the text give the label away?",
        ),
    ],
    "7. Metrics and uncertainty": [
        Item(
            "7a",
            "Which metrics, and why do they suit the task?",
            "Which error costs more in your study? Accuracy hides rare classes.",
        ),
        Item("7b", "How uncertain are the scores, and how was that computed?"),
        Item("7c", "Which tests compare models, and do their assumptions hold?"),
    ],
    "8. Generalisability and limitations": [
        Item(
            "8a",
            "What speaks for validity beyond these data?",
            "Test on texts of another source, period or language; or argue from theory.",
        ),
        Item(
            "8b",
            "Where do the authors not expect the findings to hold?",
            "Other languages, periods, kinds of text, codebooks.",
        ),
    ],
}

LABELS: dict[str, list[Item]] = {
    "A. What was asked": [
        Item("A1", "Are codebook and prompts given word for word?"),
        Item(
            "A2",
            "Which models answered, in which version, when?",
            "Closed models change and disappear: give the dated name and the days of the requests.",
        ),
        Item("A3", "With what settings (temperature, seed, longest answer)?"),
        Item("A4", "How were answers read, and how many were no labels?"),
        Item("A5", "Are the raw answers archived, so that results can be repeated without asking?"),
        Item(
            "A6",
            "On which texts were prompts and models chosen?",
            "Texts on which a prompt was improved cannot measure how good it is.",
        ),
    ],
    "B. Held against people": [
        Item(
            "B1",
            "Is there a random sample that people coded without seeing proposals?",
            "How many people, how trained, paid how, blind to what?",
        ),
        Item("B2", "How good is each labeller against it, with an interval, before it is used?"),
        Item("B3", "Do coders agree with each other?"),
        Item("B4", "Did the proposals influence the people who reviewed them?"),
        Item("B5", "What did all models miss that no review could find?"),
    ],
    "C. Robustness": [
        Item("C1", "Do the labellers agree with each other?"),
        Item("C2", "How many labels change with the prompt?"),
        Item(
            "C3",
            "Do conclusions change with model, size or seed?",
            "Repeat the analysis of the article with each; report all, not the best.",
        ),
        Item(
            "C4",
            "Could the models have seen the texts or their labels before?",
            "Public texts with public labels may be in a model's training data.",
        ),
    ],
    "D. From labels to conclusions": [
        Item("D1", "Are shares and coefficients corrected for wrong labels, with intervals?"),
        Item("D2", "What would uncorrected estimates have said?"),
    ],
    "E. Costs, privacy, access": [
        Item("E1", "What did it cost: requests, tokens, money, time?"),
        Item(
            "E2",
            "Did texts leave the machine, and may they?",
            "Consent, data protection, terms of the platform; the provider's use of requests.",
        ),
        Item(
            "E3",
            "Can others use the same model?",
            "Where the weights are, under which licence; docs/sharing.md.",
        ),
    ],
}
ITEMS = {"REFORMS": REFORMS, "Labels made by language models": LABELS}
