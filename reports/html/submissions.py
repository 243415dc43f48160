"""The page of a leaderboard's submissions: whose they are, and what their cards say."""

from __future__ import annotations

from typing import Any

from bench.model.cards import SubmissionCard
from bench.model.contamination import entry_title
from bench.reports.html.site import Site, banner_of


def context(site: Site) -> dict[str, Any]:
    """Values of `submissions.html.j2`."""
    return {
        "title": "Submissions",
        "banner": banner_of(site.results.cells),
        "submissions": [_submission(site, name, card) for name, card in site.cards.items()],
    }


def _submission(site: Site, name: str, card: SubmissionCard) -> dict[str, Any]:
    labels = [label for label in site.methods if card.calls(label)]
    runs = [run for cell in site.results.cells if cell.entry.label in labels for run in cell.done]
    again = [site.results.store.path(run.spec).with_suffix(".parquet").exists() for run in runs]
    seen = ", ".join(map(entry_title, card.training_data)) or "none"
    facts = [
        ("Authors", ", ".join(card.authors)),
        ("Submitted by", card.submitter),
        ("Paper", card.paper),
        ("Code", card.code),
        ("Weights", card.weights),
        ("Labels seen before", seen),
        ("Other training data", card.other_training_data),
        ("Hardware", card.hardware),
        ("Metrics", "computed again from predictions" if all(again) else "as submitted"),
    ]
    return {
        "id": name,
        "method": card.method,
        "description": card.description,
        "rows": [(label, site.methods[label]) for label in labels],
        "facts": [(key, text, _address(text)) for key, text in facts if text],
    }


def _address(text: str) -> str:
    """The text as a link's target where it is the address of a page; '' for any other text.

    >>> _address("https://a.example/b"), _address("javascript:alert(1)"), _address("A. B., 2025")
    ('https://a.example/b', '', '')
    """
    return text if text.startswith(("https://", "http://")) and " " not in text else ""
