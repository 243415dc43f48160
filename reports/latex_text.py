"""Any text as LaTeX that pdflatex sets as it reads."""

from __future__ import annotations

import unicodedata

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
