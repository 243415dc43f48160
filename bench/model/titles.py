"""Tasks and budgets in words, as tables and messages write them."""

from __future__ import annotations


def task_title(train: str, test: str) -> str:
    """Training and test databases in words.

    >>> task_title("livec", "livec"), task_title("livec", "koniq10k"), task_title("", "livec")
    ('livec', 'livec → koniq10k', 'livec')
    """
    return test if train in ("", test) else f"{train} → {test}"


def budget_title(budget: str) -> str:
    """A budget (`Task.budget`) in words.

    >>> budget_title("50"), budget_title("20%"), budget_title("all"), budget_title("zero-shot")
    ('50 labels', '20% for training', 'all labels', 'zero-shot')
    """
    if budget.isdigit():
        return f"{budget} labels"
    return {"all": "all labels", "zero-shot": "zero-shot"}.get(budget, f"{budget} for training")
