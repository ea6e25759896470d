"""Messy files, as people have them: made by templates, for the tests and by hand.

    python tests/messy.py FOLDER

writes three: German statements (cp1252, semicolons), requests with several labels (xlsx below a
title), and 3,000 complaints with 50 labels, spelt in many ways. All texts are made up.
"""

from __future__ import annotations

import csv
import random
import sys
from pathlib import Path

import numpy as np
import pandas as pd

# --- German statements on two topics

WHO = [
    "Die Stadt", "Der Landkreis", "Die Verwaltung", "Unser Ortsteil", "Die Fraktion",
    "Der Bürgermeister", "Der Elternbeirat", "Die Gemeinde", "Eine Anwohnerin", "Der Ausschuss",
]  # fmt: skip
VERB = [
    "fordert", "verspricht", "plant", "verschiebt", "prüft", "kritisiert", "unterstützt",
    "beschließt", "vermisst", "bezweifelt",
]  # fmt: skip
TRAFFIC = [
    "neue Radwege entlang der Hauptstraße", "eine kürzere Taktung der Straßenbahn",
    "Tempo dreißig vor dem Bahnhof", "Parkplätze für Pendler", "den Ausbau der Umgehungsstraße",
    "einen Nachtbus in die Außenbezirke", "die Sperrung der alten Brücke für Lastwagen",
    "günstigere Fahrkarten für Schüler und Rentner", "eine Ampel an der gefährlichen Kreuzung",
    "Ladesäulen für elektrische Autos",
]  # fmt: skip
SCHOOL = [
    "größere Klassenzimmer in der Grundschule", "mehr Lehrkräfte für Mathematik",
    "ein warmes Mittagessen für alle Kinder", "die Sanierung der undichten Turnhalle",
    "kleinere Klassen am Gymnasium", "Tablets im Unterricht", "eine Betreuung bis siebzehn Uhr",
    "Förderstunden für Kinder mit wenig Deutsch", "einen späteren Beginn des Unterrichts",
    "eine Bibliothek mit neuen Büchern",
]  # fmt: skip
REASON = [
    "weil die Beschwerden zunehmen", "obwohl das Geld knapp ist", "damit Familien bleiben",
    "noch vor dem nächsten Sommer", "trotz der Bedenken im Rat", "wie schon im vorigen Jahr",
    "und legt dafür einen Zeitplan vor", "nach langer Diskussion", "ohne die Kosten zu nennen",
    "auf Wunsch vieler Einwohner",
]  # fmt: skip


def german(n: int = 400, seed: int = 1) -> pd.DataFrame:
    """Statements on traffic and schools; one in ten mentions the other topic in passing."""
    rng, rows = random.Random(seed), {}
    while len(rows) < n:
        label = rng.choice(["Verkehr", "Schule"])
        own, other = (TRAFFIC, SCHOOL) if label == "Verkehr" else (SCHOOL, TRAFFIC)
        text = f"{rng.choice(WHO)} {rng.choice(VERB)} {rng.choice(own)}, {rng.choice(REASON)}."
        if rng.random() < 0.1:
            text += f" Über {rng.choice(other)} wurde nur am Rande gesprochen."
        rows[text] = label
    return pd.DataFrame({"Aussage": list(rows), "Thema": list(rows.values())})


def write_german(path: Path, seed: int = 1) -> Path:
    """Semicolons, cp1252, labels in several spellings, empty cells, duplicates."""
    frame = german(seed=seed)
    frame.insert(0, "Nr", [f"{i}.0" for i in range(1, len(frame) + 1)])
    labels = frame["Thema"].tolist()
    for i in range(0, 60, 3):
        labels[i] = labels[i].lower() if i % 2 else f" {labels[i]} "
    frame["Thema"] = labels
    frame.loc[7, "Aussage"] = ""
    frame.loc[11, "Thema"] = "n/a"
    again = frame.iloc[[20, 21]].copy()
    other = frame.iloc[[30]].assign(
        Thema="Schule" if "erk" in frame.loc[30, "Thema"] else "Verkehr"
    )
    frame = pd.concat([frame, again, other], ignore_index=True)
    text = frame.to_csv(index=False, sep=";", quoting=csv.QUOTE_MINIMAL, lineterminator="\r\n")
    path.write_bytes(text.encode("cp1252"))
    return path


# --- requests with several labels

NEEDS = {
    "Housing": ["my landlord wants us out by June", "mould in the bedroom", "a flat we can afford"],
    "Health": ["waiting for the surgery since autumn", "pills that cost too much", "back pain"],
    "Work": ["my contract was not renewed", "shifts change every week", "unpaid overtime"],
    "Children": ["no place at the nursery", "my daughter stays away from school", "school meals"],
    "Debt": [
        "letters from a collector",
        "I cannot pay the loan",
        "the electricity bill is too high",
    ],
}
OPENING = [
    "Please advise:",
    "I am writing about",
    "Since the move there is",
    "For months now",
    "Again",
]


def requests(n: int = 200, seed: int = 2) -> pd.DataFrame:
    """Short requests for advice, each on one to three needs."""
    rng, rows, known = random.Random(seed), [], set()
    while len(rows) < n:
        labels = sorted(rng.sample(list(NEEDS), rng.choice([1, 1, 1, 2, 2, 3])))
        parts = [rng.choice(NEEDS[label]) for label in labels]
        rng.shuffle(parts)
        text = f"{rng.choice(OPENING)} {'; also '.join(parts)}. Household of {rng.randint(1, 9)}."
        text += f" Ward {rng.randint(1, 40)}."
        if text not in known:
            known.add(text)
            rows.append((text, ", ".join(labels)))
    return pd.DataFrame(rows, columns=["request", "needs"])


def write_requests(path: Path, seed: int = 2) -> Path:
    """A workbook: a title above the header, an empty column, a second sheet, merged cells."""
    import openpyxl

    book = openpyxl.Workbook()
    notes = book.active
    notes.title = "read me"
    notes["A1"] = "coded by two students"
    sheet = book.create_sheet("coding")
    sheet["A1"] = "Requests to the advice centre"
    sheet.merge_cells("A1:D1")
    sheet.append([])
    sheet.append(["id", "request", None, "needs"])
    for i, row in enumerate(requests(seed=seed).itertuples(), start=1):
        sheet.append([float(i), row.request, None, row.needs if i % 20 else row.needs.upper()])
    sheet.append([201.0, "", None, "Work"])
    book.save(path)
    return path


# --- complaints with 50 labels

THINGS = [
    "bridge", "tram", "library", "swimming pool", "playground", "street light", "recycling bin",
    "bus shelter", "cycle path", "town hall", "market square", "fountain", "cemetery", "museum",
    "school roof", "fire station", "car park", "river bank", "allotment", "sports hall", "theatre",
    "kindergarten", "hospital entrance", "post office", "railway station", "sewer", "water pipe",
    "power line", "street sign", "zebra crossing", "pavement", "hedge", "dog park", "skate park",
    "public toilet", "bench", "tree", "flower bed", "snow plough", "taxi rank", "ferry", "harbour",
    "lift", "escalator", "ticket machine", "noise barrier", "tunnel", "roundabout", "footbridge",
    "drinking fountain",
]  # fmt: skip
FAULT = [
    "has been broken since {when}", "was closed without notice {when}", "is dirty again {when}",
    "makes noise all night, {when} even louder", "needs repair before {when}",
    "was promised {when} and nothing happened", "is too small; people complained {when}",
    "costs more since {when}",
]  # fmt: skip
WHEN = ["Monday", "last winter", "the storm", "Easter", "the election", "two weeks ago", "May"]
BEFORE = [
    "To whom it may concern: the",
    "Neighbours say that the",
    "The",
    "I report that our",
    "Once more: the",
]
AFTER = [
    "Who is in charge?", "Please send somebody.", "Children pass there every day.",
    "I have written three times.", "Photographs are attached.", "The form on the website fails.",
    "My neighbour fell.", "We pay taxes, too.",
]  # fmt: skip


def complaints(n: int = 3000, seed: int = 3, classes: int = 50) -> pd.DataFrame:
    """Complaints to a town; the label is the thing, which one text in five does not name."""
    rng, rows, known = random.Random(seed), [], set()
    weight = 1 / np.arange(1, classes + 1) ** 0.6
    while len(rows) < n:
        thing = rng.choices(THINGS[:classes], weight[:classes].tolist())[0]
        shown = thing if rng.random() < 0.8 else rng.choice(["thing", "place", "facility"])
        text = f"{rng.choice(BEFORE)} {shown} {rng.choice(FAULT).format(when=rng.choice(WHEN))}. "
        text += f"{rng.choice(AFTER)} District {rng.randint(1, 60)}, {rng.choice(WHEN)}."
        if text not in known:
            known.add(text)
            rows.append((text, thing))
    return pd.DataFrame(rows, columns=["text", "about"])


def write_complaints(path: Path, seed: int = 3, n: int = 3000) -> Path:
    """Commas; ids as floats, some missing or used twice; labels with spaces and odd case."""
    rng, frame = random.Random(seed), complaints(n, seed)
    frame.insert(0, "id", [f"{i}.0" for i in range(1, n + 1)])
    frame.loc[5, "id"] = ""
    frame.loc[9, "id"] = "4.0"
    spelt = [lambda s: s, lambda s: s, lambda s: f"{s} ", str.upper, str.title]
    frame["about"] = [rng.choice(spelt)(label) for label in frame["about"]]
    lonely = pd.DataFrame(
        {"id": ["9001"], "text": ["A statue fell over."], "about": ["statue of the founder"]}
    )
    again = frame.iloc[[50, 51, 52]].assign(id=["9002.0", "9003.0", "9004.0"])
    other = frame.iloc[[60]].assign(id="9005", about="harbour master's office")
    frame = pd.concat([frame, lonely, again, other], ignore_index=True)
    frame.to_csv(path, index=False)
    return path


def main(folder: Path) -> None:
    """Write the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    write_german(folder / "aussagen.csv")
    write_requests(folder / "requests.xlsx")
    write_complaints(folder / "complaints.csv")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
