"""From an answer to a score; None if the answer has none."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from bench.methods.vlm.replies import Reply
from bench.methods.vlm.settings import NumberAnswer

NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?![\w]|\.\d)")
"""A number that is not part of a word or of another number, and has no exponent."""
ANSWER = re.compile(r"<answer>(.*?)</answer>", re.IGNORECASE | re.DOTALL)
OBJECT = re.compile(r"\{[^{}]*\}", re.DOTALL)


def expectation(logprobs: Mapping[str, float], words: Mapping[str, float]) -> float | None:
    """Mean of the words' values under a softmax over their log-probabilities.

    Q-Align (arXiv 2312.17090), Eq. 3. None if a word has no log-probability.

    >>> round(expectation({"good": math.log(.6), "bad": math.log(.2)}, {"good": 4, "bad": 1}), 4)
    3.25
    """
    found = {word: logprobs[word] for word in words if word in logprobs}
    if len(found) < len(words):
        return None
    top = max(found.values())
    if not math.isfinite(top):
        return None
    weights = {word: math.exp(value - top) for word, value in found.items()}
    mean = sum(weights[word] * words[word] for word in words)
    return mean / sum(weights.values())


def first_token(tokens: Mapping[str, float]) -> dict[str, float]:
    """Log-probabilities by word: tokens without blanks and case, their probabilities added up.

    >>> sorted(first_token({" good": -1.0, "Good": -1.0, "bad": -3.0}))
    ['bad', 'good']
    """
    found: dict[str, float] = {}
    for token, value in tokens.items():
        word = token.strip(" \n\t\u2581\u0120").lower()
        found[word] = math.log(math.exp(found.get(word, -math.inf)) + math.exp(value) or 5e-324)
    return found


def number(reply: Reply, rule: NumberAnswer) -> float | None:
    """The number that an answer's text gives by a rule; None without one, or outside its range."""
    found = _FINDERS[rule.find](reply.text, rule.key)
    if found is None or not rule.range[0] <= found <= rule.range[1]:
        return None
    return found


def _within_tags(text: str, key: str) -> float | None:
    tagged = ANSWER.findall(text)
    return _only(tagged[-1], key) if tagged else None


def _in_json(text: str, key: str) -> float | None:
    for candidate in reversed(OBJECT.findall(text)):
        try:
            value = json.loads(candidate).get(key)
            return None if isinstance(value, bool) else float(value)
        except (ValueError, TypeError):
            continue
    return None


def _only(text: str, key: str) -> float | None:
    numbers = NUMBER.findall(text)
    return float(numbers[0]) if len(numbers) == 1 else None


def _last(text: str, key: str) -> float | None:
    numbers = NUMBER.findall(text)
    return float(numbers[-1]) if numbers else None


_FINDERS = {"answer": _within_tags, "json": _in_json, "only": _only, "last": _last}
