"""A model behind an API that speaks OpenAI's protocol (vLLM, SGLang, llama.cpp, hosted ones)."""

from __future__ import annotations

import base64
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from bench.api import BenchError, UsageError
from bench.methods.vlm.replies import Reply
from bench.methods.vlm.settings import Compare, Levels, Server, VlmSettings

TOP = 20
"""Requested log-probabilities: as many as OpenAI's protocol allows."""
FIRST_WAIT = 0.5
LONGEST_WAIT = 60.0
FOR_NOW = (408, 409, 425, 429)
"""Statuses that are retried, beside all from 500."""
HIDDEN = "[key]"


class Asker:
    """Sends requests; several threads may."""

    def __init__(self, settings: VlmSettings, wait: Callable[[float], None] = time.sleep) -> None:
        self.settings = settings
        self.server: Server = settings.server
        self._key = os.environ.get(self.server.key, "")
        self._client = self._connected()
        self._pace = RateLimit(self.server.requests_per_minute, wait)
        self._wait = wait

    def _connected(self) -> Any:
        try:
            import openai
        except ImportError as error:
            raise UsageError(
                f"vlm:{self.settings.name} needs the extra 'vlm': pip install 'iqa-bench[vlm]' "
                f"({error})"
            ) from None
        return openai.OpenAI(
            base_url=self.server.url,
            api_key=self._key or "none",
            max_retries=0,  # `ask` repeats, so that garbled answers are repeated too
            timeout=self.server.timeout,
            # An image must not follow a redirect to some other host.
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        )

    def ask(self, title: str, pictures: Sequence[bytes]) -> Reply:
        """The reply to the question about encoded pictures.

        Refusals for now, dropped connections and garbled replies are repeated, with growing waits.
        Raises `BenchError` that names `title` (an image) if that does not help.
        """
        import openai

        for attempt in range(self.server.retries + 1):
            self._pace.take()
            after = None
            try:
                return self._parsed(self._client.chat.completions.create(**self._body(pictures)))
            except openai.APIStatusError as error:
                reason = f"status {error.status_code}: {error.message}"
                if error.status_code not in FOR_NOW and error.status_code < 500:
                    raise self._failed(title, reason) from None
                after = error.response.headers.get("retry-after")
            except openai.APIConnectionError as error:
                reason = f"no answer ({error.__cause__ or error})"
            except (openai.APIError, AttributeError, LookupError, TypeError, ValueError) as error:
                reason = f"a reply that is not of the protocol ({error})"
            if attempt < self.server.retries:
                self._wait(_seconds(after, attempt))
        raise self._failed(title, f"{reason}, {self.server.retries + 1} times")

    def _failed(self, title: str, reason: str) -> BenchError:
        text = f"{self.server.url} did not score {title}: {reason}"
        # Servers echo what they were sent; a key must not reach a log or a record.
        return BenchError(text.replace(self._key, HIDDEN) if self._key else text)

    def _body(self, pictures: Sequence[bytes]) -> dict[str, Any]:
        settings, decoding = self.settings, self.settings.decoding
        extra: dict[str, Any] = {}
        if decoding.top_k is not None:
            extra["top_k"] = decoding.top_k
        messages = messages_of(settings, [_link(item, settings) for item in pictures])
        if settings.prefix:
            extra |= {"continue_final_message": True, "add_generation_prompt": False}
        body: dict[str, Any] = {
            "model": settings.model,
            "messages": messages,
            "temperature": decoding.temperature,
            "max_tokens": decoding.max_tokens,
        }
        if decoding.top_p is not None:
            body["top_p"] = decoding.top_p
        if isinstance(settings.answer, Levels | Compare):
            body |= {"logprobs": True, "top_logprobs": TOP}
        return {**body, "extra_body": extra} if extra else body

    def _parsed(self, found: Any) -> Reply:
        choice = found.choices[0]
        tokens: dict[str, float] = {}
        if choice.logprobs is not None and choice.logprobs.content:
            tokens = {
                item.token: float(item.logprob) for item in choice.logprobs.content[0].top_logprobs
            }
        text = choice.message.content
        if not isinstance(text, str):
            raise ValueError("the answer has no text")
        usage = found.usage
        return Reply(
            model=str(found.model),
            text=text.replace(self._key, HIDDEN) if self._key else text,
            tokens=tokens,
            finish=str(choice.finish_reason),
            input_tokens=int(usage.prompt_tokens) if usage else 0,
            output_tokens=int(usage.completion_tokens) if usage else 0,
        )


def messages_of(settings: VlmSettings, pictures: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation: system prompt, pictures and question, beginning of the answer."""
    question = {"type": "text", "text": settings.prompt}
    content = [*pictures, question] if settings.image_first else [question, *pictures]
    messages: list[dict[str, Any]] = []
    if settings.system:
        messages.append({"role": "system", "content": settings.system})
    messages.append({"role": "user", "content": content})
    if settings.prefix:
        messages.append({"role": "assistant", "content": settings.prefix})
    return messages


def _link(picture: bytes, settings: VlmSettings) -> dict[str, Any]:
    text = base64.b64encode(picture).decode()
    return {
        "type": "image_url",
        "image_url": {"url": f"data:image/{settings.image.encoding};base64,{text}"},
    }


def _seconds(after: str | None, attempt: int) -> float:
    """The time to wait: the server's, else twice as long each time, with a small random part."""
    try:
        return min(max(float(after or ""), 0.0), LONGEST_WAIT)
    except ValueError:
        return float(min(FIRST_WAIT * 2**attempt, LONGEST_WAIT) * random.uniform(0.75, 1.25))


class RateLimit:
    """Lets threads pass at a rate."""

    def __init__(self, per_minute: float | None, wait: Callable[[float], None]) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._wait = wait
        self._lock = threading.Lock()
        self._next = 0.0

    def take(self) -> None:
        """Wait until the next request may go."""
        if not self._gap:
            return
        with self._lock:
            now = time.monotonic()
            start = max(self._next, now)
            self._next = start + self._gap
        self._wait(start - now)
