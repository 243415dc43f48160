"""A limit on tokens and cost that all processes of one command share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.api import BUDGET_VARIABLES, OutOfBudgetError
from bench.methods.vlm.replies import Reply
from bench.methods.vlm.settings import Price

MILLION = 1e6


@dataclass
class Budget:
    """The limits, and the ledger of spending: a line for each reply, appended by every process."""

    max_tokens: float | None
    """Tokens of requests and answers together."""
    max_cost: float | None
    """In the currency of the price table."""
    ledger: Path | None
    """A file; None without limits."""
    price: Price

    @classmethod
    def of(cls, environment: Mapping[str, str], price: Price) -> Budget:
        """The budget that the command line put into the environment."""
        tokens, cost, ledger = (environment.get(name) for name in BUDGET_VARIABLES)
        return cls(
            float(tokens) if tokens else None,
            float(cost) if cost else None,
            Path(ledger) if ledger else None,
            price,
        )

    def cost(self, reply: Reply) -> float:
        """The cost of one reply."""
        return (
            reply.input_tokens * self.price.input + reply.output_tokens * self.price.output
        ) / MILLION

    def check(self) -> None:
        """Raise `OutOfBudgetError` if all is spent. Requests under way may exceed the limit."""
        if self.ledger is None:
            return
        tokens, cost = self.spent()
        if self.max_tokens is not None and tokens >= self.max_tokens:
            raise OutOfBudgetError(
                f"stopped at --max-tokens {self.max_tokens:,.0f} ({tokens:,.0f} spent); every "
                "answer is stored: the same command with a new limit goes on"
            )
        if self.max_cost is not None and cost >= self.max_cost:
            raise OutOfBudgetError(
                f"stopped at --max-cost {self.max_cost:g} ({cost:.4g} spent); every answer is "
                "stored: the same command with a new limit goes on"
            )

    def note(self, reply: Reply) -> None:
        """Write down what a reply cost."""
        if self.ledger is None:
            return
        line = f"{reply.input_tokens + reply.output_tokens} {self.cost(reply)!r}\n"
        # One short write in append mode: lines of several processes do not mix.
        handle = os.open(self.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def spent(self) -> tuple[float, float]:
        """Tokens and cost so far."""
        if self.ledger is None or not self.ledger.exists():
            return 0.0, 0.0
        lines = self.ledger.read_text(encoding="utf-8").split("\n")
        pairs = [line.split() for line in lines if line]
        return sum(float(pair[0]) for pair in pairs), sum(float(pair[1]) for pair in pairs)
