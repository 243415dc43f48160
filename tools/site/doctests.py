"""An extension of griffe: doctests in docstrings are shown as code (Markdown quotes `>>>`)."""

from __future__ import annotations

from typing import Any

import griffe


def fenced(text: str) -> str:
    """A docstring whose doctests stand in fences.

    >>> print(fenced("Adds.\\n\\n>>> 1 + 1\\n2"))
    Adds.
    <BLANKLINE>
    ```pycon
    >>> 1 + 1
    2
    ```
    """
    parts = text.split("\n\n")
    return "\n\n".join(
        f"```pycon\n{part.strip()}\n```" if part.lstrip().startswith(">>>") else part
        for part in parts
    )


class Doctests(griffe.Extension):
    """Puts every doctest of what it sees into a fence."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change an object's docstring once it is read."""
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)
