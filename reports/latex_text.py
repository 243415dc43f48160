"""The text of LaTeX tables: escaping, titles as papers write them, captions and notes."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from bench.analysis.grid import Grid, metric_title, table_notes
from bench.analysis.published import BETWEEN, Printed, PublishedSource
from bench.data import datasets
from bench.stats.median import LEAST_SPLITS
from bench.util.errors import BenchError

if TYPE_CHECKING:
    import pandas as pd

    from bench.reports.latex import Style

ARROW = " → "
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "§": r"$^\S$",
    "→": r"$\rightarrow$",
    "←": r"$\leftarrow$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "−": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
}
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi",
    "omega",
}  # fmt: skip
GREEK_CAPITALS = {
    "gamma", "delta", "theta", "lambda", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega",
}  # fmt: skip


def escape(text: str) -> str:
    r"""`text` as LaTeX; what pdflatex has no glyph for appears as its code point.

    >>> escape("R_{50} & 20%"), escape("λ = 5"), escape("é 像")
    ('R\\_\\{50\\} \\& 20\\%', '$\\lambda$ = 5', 'é [U+50CF]')
    """
    return "".join(map(_character, unicodedata.normalize("NFC", text)))


def label(text: str) -> str:
    """A name that is safe in `\\label` and `\\ref`.

    >>> label("few_shot & more")
    'few-shot-more'
    """
    kept = "".join(char if char.isascii() and char.isalnum() else " " for char in text)
    return "-".join(kept.split()) or "table"


def _character(char: str) -> str:
    if char in SPECIAL:
        return SPECIAL[char]
    if char.isspace():
        return " "
    # Latin letters with the accents that inputenc's utf8 knows without further packages.
    if (char.isascii() and char.isprintable()) or (char.isalpha() and "À" <= char <= "ž"):
        return char
    return _greek(char) or f"[U+{ord(char):04X}]"


def _greek(char: str) -> str:
    words = unicodedata.name(char, "").split()
    if len(words) != 4 or words[0] != "GREEK" or words[2] != "LETTER":
        return ""
    name = {"LAMDA": "lambda"}.get(words[3], words[3].lower())
    if words[1] == "SMALL" and name in GREEK:
        return rf"$\{name}$"
    if words[1] == "CAPITAL" and name in GREEK_CAPITALS:
        return rf"$\{name.capitalize()}$"
    return ""


def dataset_title(text: str) -> str:
    """A dataset, or a pair of them, under the names that papers use.

    >>> dataset_title("livec"), dataset_title("live → tid2013@ssim"), dataset_title("of my own")
    ('LIVEC', 'LIVE → TID2013@ssim', 'of my own')
    >>> dataset_title("spaq (test side)")
    'SPAQ (test side)'
    """
    return ARROW.join(map(_title, text.split(ARROW)))


def titled(key: str, value: str) -> str:
    """A value of a key as headers and captions say it."""
    if key == "metric":
        return metric_title(value)
    if key in ("dataset", "train", "test"):
        return dataset_title(value)
    return f"{value} labels" if key == "labels" and value.isdigit() else value


def levels(arranged: Grid) -> list[int]:
    """Header levels: the dataset always, others where they tell columns apart."""
    varying = arranged.varying()
    always = ("dataset", "train", "test")
    keys = arranged.column_keys
    return [level for level, key in enumerate(keys) if key in always or level in varying] or [0]


@cache
def _title(spec: str) -> str:
    plain, bracket, side = spec.partition(" (")  # a suite says which side of a set is tested
    name, at, version = plain.partition("@")
    try:
        info = datasets.info(name)
    except BenchError:  # a database of another machine, or a mean
        return spec
    return spec if info.demo else f"{info.title}{at}{version}{bracket}{side}"


def caption(
    summary: pd.DataFrame, title: str, arranged: Grid, style: Style, printed: Printed
) -> str:
    """Title, what is constant over the table, and what every mark in it means."""
    constant = _constant(arranged, style)
    parts = [escape(title.rstrip(".")) + (f" ({escape(constant)})" if constant else "") + "."]
    splits = sorted(set(summary["expected"]))
    runs = "--".join(str(count) for count in (splits[0], splits[-1])[: len(splits)])
    measured = "Median" + _bounds(summary, style)
    parts.append(f"{measured} over {runs} {'split' if runs == '1' else 'splits'}.")
    if any(cell.rank for cell in arranged.cells.values()):
        parts.append(r"Best in bold, second \underline{underlined}.")
    parts += _remarks(summary, style)
    return " ".join([*parts, *_published(summary, arranged, printed)])


def _bounds(summary: pd.DataFrame, style: Style) -> str:
    """What stands beside the medians, in words."""
    if style.interval == "none":
        return ""
    if style.interval == "images":
        return " with its 95\\% bootstrap interval over images"
    kinds = {"interval": " with its order-statistic interval", "range": " with its range"}
    found = [text for kind, text in kinds.items() if (summary["bounds"] == kind).any()]
    if len(found) == 2:
        return f"{found[0]} (of fewer than {LEAST_SPLITS} splits, the range)"
    return found[0] if found else ""


def notes(arranged: Grid, protocols: Sequence[str], printed: Printed) -> list[str]:
    """What the papers say of their numbers and what is odd about them, one text a table."""
    found = (source for name in protocols for source in sources(arranged, name, printed))
    texts = [" ".join([f"{item.title}: {item.statistic}.", *item.notes]) for item in found]
    return [" ".join(text.split()) for text in dict.fromkeys(texts)]


def sources(arranged: Grid, protocol: str, printed: Printed) -> list[PublishedSource]:
    """The tables that numbers of this table come from."""
    there = {
        title for cell in arranged.cells.values() for title in cell.published_in.split(BETWEEN)
    }
    return [source for source in printed.sources(protocol) if source.title in there]


def _constant(arranged: Grid, style: Style) -> str:
    if not arranged.columns:
        return ""
    there = levels(arranged)
    first = arranged.columns[0]
    return ", ".join(
        titled(key, first[level])
        for level, key in enumerate(arranged.column_keys)
        if level not in there and key != style.blocks
    )


def _remarks(summary: pd.DataFrame, style: Style) -> list[str]:
    demo = escape(", ".join(map(dataset_title, sorted(set(summary[summary["demo"]]["dataset"])))))
    remarks = [
        (not summary["complete"].all(), "Grey with n/N: only n of N runs count, not ranked."),
        (
            summary["contaminated"].any(),
            r"$^\dagger$The method's weights had seen labels of the test set.",
        ),
        (
            style.without_contaminated,
            "Cells whose test set the method's weights had seen labels of are left out.",
        ),
        (
            (summary["selection"] == "best_test").any(),
            r"$^\ddagger$Epoch chosen on the test set: an upper bound.",
        ),
        (
            bool(demo),
            f"Rendered demo data ({demo}): for trying the harness, no reproduction.",
        ),
        (
            (summary["backbone"] == "tiny").any(),
            r"Backbone \emph{tiny}: results of a small demonstration network.",
        ),
    ]
    texts = [text for there, text in remarks if there]
    return [*texts, *(rf"$^\S${escape(note.rstrip('.'))}." for note in table_notes(summary))]


def _published(summary: pd.DataFrame, arranged: Grid, printed: Printed) -> list[str]:
    protocols = list(dict.fromkeys(summary["protocol"]))
    named = []
    for name in protocols:
        letters = printed.letters(name)
        for source in sources(arranged, name, printed):
            letter = letters.get(source.title, "")
            named.append((f"$^{{{letter}}}$" if letter else "") + escape(source.title))
    if not named:
        return []
    text = f"Grey rows: as published ({'; '.join(named)}), on the authors' splits, not ranked."
    if any(math.isfinite(cell.difference) for cell in arranged.cells.values()):
        text += " Difference: ours minus published."
    caveats = dict.fromkeys(printed.caveat(name) for name in protocols)
    return [text, *(escape(caveat) for caveat in caveats if caveat)]
