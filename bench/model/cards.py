"""The card of a submission to a leaderboard: a YAML file beside its records."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from bench.util.errors import BenchError
from bench.util.listing import listed
from bench.util.strict import StrictModel
from bench.util.yaml_files import load_yaml

FILE = "card.yaml"
SHOWN = "\n\t\u200c\u200d"
"""Invisible characters that are allowed: Persian and Hindi need the joiners."""
FOLDER = "cards"
"""Folder of a results folder that holds the cards of a leaderboard's submissions."""


def _readable(text: str) -> str:
    """Refuse control characters, surrogates, and marks that change the direction of writing.

    >>> _readable("Schön, 实验 ½")
    'Schön, 实验 ½'
    >>> _readable("a\\u202eb")
    Traceback (most recent call last):
    ValueError: holds the character U+202E, which readers would not see
    """
    for sign in text:
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign not in SHOWN:
            raise ValueError(f"holds the character U+{ord(sign):04X}, which readers would not see")
    return text


def _on_one_line(text: str) -> str:
    if set(text) & set("\n\t"):
        raise ValueError("expected a text on one line")
    return text


Text = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_readable)]
"""A text without invisible characters."""
Line = Annotated[Text, StringConstraints(max_length=500), AfterValidator(_on_one_line)]
"""A text on one line."""
Said = Annotated[Line, StringConstraints(min_length=1)]
"""A text that must not be empty."""
SeenLabels = Annotated[
    Text, StringConstraints(pattern=r"^[^\s,:+#/\\]+(@[^\s,:+#/\\]+)?(#[^\s#/]+(/\d+)?)?$")
]
"""A database, or the training side of a published split of it (`bench.model.contamination`)."""


class SubmissionCard(StrictModel):
    """Facts on a method that readers of a leaderboard need and its records do not hold."""

    method: Annotated[Said, StringConstraints(max_length=80)]
    """Its name on the leaderboard; no other submission has it."""
    authors: list[Said] = Field(min_length=1)
    """Who made the method."""
    submitter: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}$")]
    """The account that may change this submission."""
    paper: Line = ""
    """Address or citation; empty for none."""
    code: Line = ""
    """Address of the code that computed the results."""
    weights: Line = ""
    """Address of the weights, or why they have none."""
    training_data: list[SeenLabels]
    """Databases whose labels the weights had seen before any fit here, by iqa-bench's names
    (`koniq10k`, or `koniq10k#official` for the training side of a published split); [] for none."""
    other_training_data: Line = ""
    """Other data that the weights were trained on."""
    hardware: Said
    """The hardware that computed it."""
    description: Annotated[Text, StringConstraints(max_length=3000)] = ""
    """What is new about it, in a few sentences."""

    def calls(self, label: str) -> bool:
        """Whether a row with this label belongs to the submission: the method's name, with a
        variant in brackets if there are several rows.

        >>> card = SubmissionCard.model_construct(method="Mine")
        >>> card.calls("Mine"), card.calls("Mine (large)"), card.calls("Minerva")
        (True, True, False)
        """
        return label == self.method or bool(
            re.fullmatch(re.escape(self.method) + r" \([^()].*\)", label)
        )


def looks_like(name: str, other: str) -> bool:
    """Whether two names only differ in case, width of letters and spaces.

    >>> looks_like("Mine", "ＭＩＮＥ "), looks_like("Mine 2", "Mine  2"), looks_like("Mine", "Mime")
    (True, True, False)
    """
    first, second = (" ".join(unicodedata.normalize("NFKC", one).split()) for one in (name, other))
    return first.casefold() == second.casefold()


def read(path: Path) -> SubmissionCard:
    """A card. Raises `UsageError` that names file, line, key and reason."""
    return load_yaml(path, SubmissionCard)


def read_all(results: Path) -> dict[str, SubmissionCard]:
    """The readable cards that a leaderboard put into a results folder, by submission."""
    found = {}
    for path in listed(results / FOLDER, "*.yaml"):
        try:
            found[path.stem] = read(path)
        except BenchError:
            continue
    return found
