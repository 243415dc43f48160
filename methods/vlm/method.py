"""Any vision-language model, asked for the quality of each image."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

from bench.api import BenchError, Context, ImagePolicy, Images, Method, Pixels, Scores
from bench.methods.vlm import answers, scale
from bench.methods.vlm.budget import Budget
from bench.methods.vlm.replies import Reply, ReplyStore, key_of
from bench.methods.vlm.settings import Compare, ImageEncoding, Levels, NumberAnswer, VlmSettings

EVERY = 5.0
"""Seconds between lines of progress."""
RETEST = "retest"
PHOTO = (1024, 768)
"""Pixels that an estimate assumes for an unknown image."""
TOKEN = 28
"""Side in pixels of one token in estimates, as in Qwen2-VL."""
UNPARSED = "{count} of {total} answers could not be parsed{rest}"


class Asks(Protocol):
    """The source of answers: a server, or a model in this process."""

    def ask(self, title: str, pictures: Sequence[bytes]) -> Reply:
        """The reply about pictures; `title` names them in errors."""
        ...


class VisionLanguageModel(Method):
    """A vision-language model behind an OpenAI-compatible API or in transformers (`vlm:NAME`).

    NAME is a YAML file with the model, the question, and the way from an answer to a score
    (docs/vlm.md). Answers are stored one by one under their request, and never requested again.
    An answer that cannot be parsed is counted, never replaced.
    """

    name = "vlm"
    argument = "name"
    Settings: ClassVar[type[VlmSettings]] = VlmSettings
    settings: VlmSettings

    def __init__(self, settings: VlmSettings, context: Context) -> None:
        super().__init__(settings, context)
        self._store = ReplyStore(context.replies)
        self._budget = Budget.of(os.environ, settings.server.price)
        self._asker: Asks | None = None
        self._anchors: tuple[list[bytes], npt.NDArray[np.float64]] | None = None
        self._images = self._all_tokens = 0
        self._tokens = 0  # of new answers, for the progress display

    @property
    def policy(self) -> ImagePolicy:
        """From the YAML file."""
        return self.settings.image.policy()

    def downloads(self) -> tuple[str, ...]:
        """The hub's model, if transformers runs it here."""
        own = self.settings
        if own.runtime != "transformers" or Path(own.model).is_dir():
            return ()
        return (f"hub:{own.model}@{own.revision or 'main'}",)

    def trained_on(self) -> tuple[str, ...]:
        """From the YAML file."""
        return self.settings.trained_on

    @property
    def may_miss(self) -> float:
        """Images whose answers may all be unparsed."""
        return self.settings.max_unparsed

    def tokens_per_image(self) -> float | None:
        """Tokens of all answers about the images predicted so far, by image; None for a model on
        this machine, whose cost is time."""
        if self.settings.runtime == "transformers":
            return None
        return self._all_tokens / max(1, self._images)

    def forecast(self, images: int) -> str:
        """Requests, and an estimate of their tokens."""
        requests = images * self.settings.samples + self._again(images)
        if isinstance(self.settings.answer, Compare):
            anchors = len(self.settings.answer.files())
            requests = images * 2 * anchors * self.settings.samples + anchors * (anchors - 1)
        own = self.settings
        question = round(len(f"{own.system} {own.prompt}".split()) * 4 / 3)
        size = own.image.size or PHOTO[1]
        width = size if own.image.resize == "squash" else round(size * PHOTO[0] / PHOTO[1])
        shown = (1 + isinstance(own.answer, Compare)) * width * size // TOKEN**2
        answer = own.decoding.max_tokens
        total = requests * (question + shown + answer)
        return (
            f"at most {requests:,} requests to {own.server.url}, about {total:,} tokens: "
            f"{question} of the question, {shown} of images ({width} x {size} pixels, a "
            f"token for {TOKEN} x {TOKEN}; models differ), and an answer of at most {answer}"
        )

    def predict(self, images: Images) -> Scores:
        """Mean score of each image's parsed answers, (n,); NaN if none was parsed."""
        if isinstance(self.settings.answer, Compare):
            values = self._compared(images)
        else:
            values = self._sampled(images, range(len(images)), range(self.settings.samples))
        self._images += len(images)
        self._judge_parsing(values)
        self._note_spread(values)
        if not isinstance(self.settings.answer, Compare):
            self._note_retest(images, values)
        return _mean(values)

    def per_image(self, images: Images) -> dict[str, npt.NDArray[np.floating[Any]]]:
        """Spread between an image's answers, and how many were unparsed."""
        if isinstance(self.settings.answer, Compare):
            return {}
        values = self._sampled(images, range(len(images)), range(self.settings.samples))
        unparsed = np.isnan(values).sum(axis=1).astype(float)
        return {"answer_spread": _spread(values), "unparsed": unparsed}

    # -- asking --------------------------------------------------------------------------------

    def _sampled(
        self, images: Images, places: Sequence[int], samples: Sequence[int | str]
    ) -> npt.NDArray[np.float64]:
        """Scores of images (rows) by sample (columns), NaN if unparsed."""
        wanted = [(place, sample) for place in places for sample in samples]

        def one(at: tuple[int, int | str]) -> float:
            place, sample = at
            key = {"image": images.digest(place), "sample": sample}
            pictures = lambda: [self._encoded(images[place])]  # noqa: E731  # decoded if asked for
            return self._score(self._reply(f"'{images.names[place]}'", key, pictures))

        found = self._all(one, wanted)
        return np.array(found, dtype=np.float64).reshape(len(places), len(samples))

    def _all(self, work: Callable[[Any], float], items: Sequence[Any]) -> list[float]:
        """`work` on each item, several at once; the first error ends it."""
        progress = Progress(len(items), self.context.say)

        def counted(item: Any) -> float:
            value = work(item)
            progress.step(self._tokens)
            return value

        # The first one alone: what is wrong with all of them is then said once.
        first = [counted(item) for item in items[:1]]
        with ThreadPoolExecutor(self.settings.server.concurrency) as pool:
            futures = [pool.submit(counted, item) for item in items[1:]]
            try:
                return first + [future.result() for future in futures]
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _reply(
        self, title: str, asked: dict[str, Any], pictures: Callable[[], list[bytes]]
    ) -> Reply:
        """A stored reply, or a new one, which is then stored."""
        key = key_of({**self._question(), **asked})
        reply = self._store.get(key)
        if reply is None:
            self._budget.check()
            reply = self._ready().ask(title, pictures())
            self._budget.note(reply)  # paid for, whatever it says
            self._confirm(reply)
            self._store.put(key, reply)
            self._tokens += reply.input_tokens + reply.output_tokens
        self._all_tokens += reply.input_tokens + reply.output_tokens
        return reply

    def _question(self) -> dict[str, Any]:
        """Everything that determines an answer, apart from the pictures; not how it is parsed."""
        settings = self.settings
        logprobs = not isinstance(settings.answer, NumberAnswer)
        return {
            "model": settings.model,
            "served_as": settings.served_as,
            "runtime": [settings.runtime, settings.revision],
            "messages": [settings.system, settings.prompt, settings.prefix, settings.image_first],
            "image": settings.image.model_dump(mode="json"),
            "decoding": settings.decoding.model_dump(mode="json"),
            "logprobs": logprobs,
        }

    def _ready(self) -> Asks:
        with _LOADING:
            if self._asker is None:
                if self.settings.runtime == "transformers":
                    from bench.methods.vlm.transformers_model import LocalModel

                    self._asker = LocalModel(self.settings, self.context.device)
                else:
                    from bench.methods.vlm.server import Asker

                    self._asker = Asker(self.settings)
            return self._asker

    def _confirm(self, reply: Reply) -> None:
        if reply.model != self.settings.served_as:
            raise BenchError(
                f"vlm:{self.settings.name}: the server reports the model '{reply.model}', not "
                f"'{self.settings.served_as}'; if that is the one you mean, set served_as: "
                f"{reply.model} (it is part of the run's name)"
            )

    def _encoded(self, pixels: Pixels) -> bytes:
        from PIL import Image

        stream = io.BytesIO()
        image, how = Image.fromarray(np.asarray(pixels)), self.settings.image
        if how.encoding == "jpeg":
            image.save(stream, "JPEG", quality=how.quality)
        else:
            image.save(stream, "PNG", compress_level=1)
        return stream.getvalue()

    # -- reading answers -----------------------------------------------------------------------

    def _score(self, reply: Reply) -> float:
        """The score of one answer, NaN if it has none."""
        rule = self.settings.answer
        if isinstance(rule, NumberAnswer):
            found = answers.number(reply, rule)
        else:
            assert isinstance(rule, Levels | Compare)
            found = answers.expectation(answers.first_token(reply.tokens), rule.words)
        return float("nan") if found is None else found

    def _compared(self, images: Images) -> npt.NDArray[np.float64]:
        """Scores of images by comparison with the anchors, (n, 1), NaN if any is unparsed."""
        rule = self.settings.answer
        assert isinstance(rule, Compare)
        pictures, scores = self._anchored(rule)
        count = len(pictures)
        pairs = [
            (place, anchor, turned)
            for place in range(len(images))
            for anchor in range(count)
            for turned in (False, True)
        ]

        def one(at: tuple[int, int, bool]) -> float:
            place, anchor, turned = at
            both = [images.digest(place), f"anchor {_digest(pictures[anchor])}"]
            key = {"images": both[::-1] if turned else both}

            def shown() -> list[bytes]:
                pair = [self._encoded(images[place]), pictures[anchor]]
                return pair[::-1] if turned else pair

            chance = self._score(self._reply(f"'{images.names[place]}'", key, shown))
            return 1 - chance if turned else chance

        wins = np.array(self._all(one, pairs)).reshape(len(images), count, 2).mean(axis=2)
        return np.array([[scale.place(row, scores, rule.prior)] for row in wins])

    def _anchored(self, rule: Compare) -> tuple[list[bytes], npt.NDArray[np.float64]]:
        """The anchors as they are sent, and their scores from pairs among themselves."""
        if self._anchors is None:
            pictures = [self._encoded(_opened(file, self.settings.image)) for file in rule.files()]
            count = len(pictures)
            pairs = [(i, j) for i in range(count) for j in range(count) if i != j]

            def one(at: tuple[int, int]) -> float:
                shown = [pictures[index] for index in at]
                key = {"images": [f"anchor {_digest(item)}" for item in shown]}
                chance = self._score(self._reply("a pair of anchors", key, lambda: shown))
                if np.isnan(chance):
                    raise BenchError(
                        f"vlm:{self.settings.name}: no answer about the anchors "
                        f"'{rule.files()[at[0]].name}' and '{rule.files()[at[1]].name}' that can "
                        "be parsed; without a scale of anchors there are no scores"
                    )
                return chance

            wins = np.full((count, count), np.nan)
            for (i, j), value in zip(pairs, self._all(one, pairs), strict=True):
                wins[i, j] = value
            self._anchors = pictures, scale.scale(wins, rule.prior)
        return self._anchors

    # -- what a reader must know ---------------------------------------------------------------

    def _judge_parsing(self, values: npt.NDArray[np.float64]) -> None:
        """Raise `BenchError` if more answers than allowed are unparsed; note the others."""
        count = int(np.isnan(values).sum())
        if count > self.settings.max_unparsed * values.size:
            raise BenchError(
                f"vlm:{self.settings.name}: "
                + UNPARSED.format(count=count, total=values.size, rest="")
                + f", more than max_unparsed ({self.settings.max_unparsed:g}) allows; the answers "
                f"are in '{self._store.folder or 'memory'}': correct `answer`, or set max_unparsed"
            )
        if count:
            missed = int(np.isnan(values).all(axis=1).sum())
            rest = f"; {missed} images have no score" if missed else ""
            self.note_at_table(UNPARSED.format(count=count, total=values.size, rest=rest))

    def _note_spread(self, values: npt.NDArray[np.float64]) -> None:
        if values.shape[1] > 1:
            spread = float(np.nanmedian(_spread(values)))
            self.notes.append(
                f"{values.shape[1]} answers an image; their standard deviation is {spread:.4g} "
                "(median over images)"
            )

    def _note_retest(self, images: Images, values: npt.NDArray[np.float64]) -> None:
        """Ask some images once more, and note how far the answers differ."""
        count = self._again(len(images))
        if not count:
            return
        # Chosen by content, so that neither order nor names matter.
        order = sorted(range(len(images)), key=images.digest)[:count]
        again = self._sampled(images, order, [RETEST])[:, 0]
        first = values[order, 0]
        known = ~(np.isnan(first) | np.isnan(again))
        equal = int((first[known] == again[known]).sum())
        gap = float(np.abs(first[known] - again[known]).mean()) if known.any() else float("nan")
        self.notes.append(
            f"asked again about {count} images: {equal} of {int(known.sum())} scores equal, mean "
            f"difference {gap:.4g}"
        )

    def _again(self, images: int) -> int:
        return min(self.settings.retest, images)


_LOADING = threading.Lock()


class Progress:
    """A line of progress every few seconds."""

    def __init__(self, total: int, say: Callable[[str], None]) -> None:
        self._total, self._say = total, say
        self._done = 0
        self._lock = threading.Lock()
        self._start = self._told = time.monotonic()

    def step(self, tokens: int) -> None:
        """One more is done; `tokens` were spent so far."""
        with self._lock:
            self._done += 1
            now = time.monotonic()
            if now - self._told < EVERY:
                return
            self._told = now
            rate = self._done / (now - self._start)
            self._say(f"{self._done} of {self._total} answers, {rate:.1f}/s, {tokens:,} tokens")


def _mean(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _spread(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard deviation of each row's parsed answers, 0 for fewer than two."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    squares = np.where(known, (values - _mean(values)[:, None]) ** 2, 0.0).sum(axis=1)
    return np.where(counts > 1, np.sqrt(squares / np.maximum(counts - 1, 1)), 0.0)


def _digest(picture: bytes) -> str:
    return key_of({"picture": picture.hex()})


def _opened(file: Path, how: ImageEncoding) -> Pixels:
    """An anchor, resized as the harness resizes images for this method."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file) as stored:
            image = ImageOps.exif_transpose(stored).convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise BenchError(f"anchor '{file}' cannot be read: {error}") from None
    size = how.size or 0
    if how.resize == "squash":
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    elif how.resize == "short_side":
        share = size / min(image.size)
        width, height = (max(1, round(side * share)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)
