"""Settings of a vision-language model and its question, read from a short YAML file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bench.api import ImagePolicy, Settings, listed, load_settings_file, nearest

FOLDER = Path("vlm")
"""Folder of the user's own models, below the working folder."""
PRESETS = Path(__file__).resolve().parent / "presets"
SUFFIXES = (".yaml", ".yml")
KEY = "OPENAI_API_KEY"


def _words(values: dict[str, float]) -> dict[str, float]:
    if len(values) < 2 or len(set(values.values())) < 2:
        raise ValueError("at least two words with different values are needed")
    lowered = {word.strip().lower(): value for word, value in values.items()}
    if len(lowered) < len(values) or "" in lowered:
        raise ValueError("words must differ in more than case, and not be empty")
    return lowered


Words = Annotated[dict[str, float], AfterValidator(_words)]
LEVELS = {"excellent": 5.0, "good": 4.0, "fair": 3.0, "poor": 2.0, "bad": 1.0}


class Levels(Settings):
    """A score from the probabilities of words at the answer's first token (Q-Align's way)."""

    kind: Literal["levels"] = "levels"
    """How an answer becomes a score."""
    words: Words = Field(default_factory=lambda: dict(LEVELS))
    """Word -> its value. The score is the mean of the values under a softmax over the words'
    log-probabilities. An answer in which one of the words has none counts as unparsed."""


class NumberAnswer(Settings):
    """A number that stands in the answer's text."""

    kind: Literal["number"] = "number"
    """How an answer becomes a score."""
    find: Literal["answer", "json", "only", "last"] = "answer"
    """Its place: between <answer> tags (the last pair), under `key` in the last JSON object,
    as the only number of the text, or as its last number."""
    key: str = "rating"
    """The key of `find: json`."""
    range: tuple[float, float] = (1.0, 5.0)
    """Lowest and highest value. A number outside counts as unparsed."""

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.range[0] < self.range[1]:
            raise ValueError("range: the first number must be below the second")
        return self


class Compare(Settings):
    """Pairs with anchor images, brought to one scale (Compare2Score's way)."""

    kind: Literal["compare"] = "compare"
    """How an answer becomes a score."""
    anchors: Path = Field(exclude=True)
    """Folder of the anchor images, relative to the YAML file. Each image is compared with each
    anchor in both orders, and so are the anchors with each other."""
    words: Words = Field(
        default_factory=lambda: {
            "superior": 1.0,
            "better": 0.75,
            "similar": 0.5,
            "worse": 0.25,
            "inferior": 0.0,
        }
    )
    """Word at the answer's first token -> probability that the first image is the better one."""
    prior: float = Field(default=1.0, gt=0)
    """Standard deviation of the normal prior of scores, in logits; it keeps a scale finite if
    one image wins every comparison."""
    content: str = ""
    """Digest of the anchors; filled in."""

    @model_validator(mode="after")
    def _find_anchors(self) -> Self:
        if not (self.anchors.is_dir() and len(self.files()) > 1):
            raise ValueError(f"anchors: '{self.anchors}' is not a folder with two images or more")
        digest = hashlib.sha256()
        for file in self.files():
            digest.update(file.read_bytes())
        found = digest.hexdigest()[:16]
        if self.content not in ("", found):
            raise ValueError("anchors: the images changed since the run was planned")
        object.__setattr__(self, "content", found)
        return self

    def files(self) -> list[Path]:
        """The anchors' files, by name."""
        return [path for path in listed(self.anchors, "*") if path.is_file()]


class ImageEncoding(Settings):
    """How an image is sent."""

    resize: Literal["none", "squash", "short_side"] = "none"
    """Whether and how images are resized before."""
    size: int | None = Field(default=None, ge=16)
    """Pixels of the square or of the shorter side."""
    encoding: Literal["png", "jpeg"] = "png"
    """File format. PNG changes no pixel."""
    quality: int = Field(default=95, ge=1, le=100)
    """Of JPEG; without effect for PNG."""

    @model_validator(mode="after")
    def _sized(self) -> Self:
        self.policy()
        return self

    def policy(self) -> ImagePolicy:
        """How the harness decodes images."""
        return ImagePolicy(self.resize, self.size)


class Decoding(Settings):
    """How the model draws its answer. Values of None are not sent; the server decides."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    """0: the most probable token each time."""
    top_p: float | None = Field(default=None, gt=0, le=1)
    """Nucleus sampling."""
    top_k: int | None = Field(default=None, ge=1)
    """The k most probable tokens; not part of OpenAI's own protocol."""
    max_tokens: int = Field(default=1024, ge=1)
    """Longest answer."""


class Price(Settings):
    """The price of a million tokens, in any currency."""

    input: float = Field(default=0.0, ge=0)
    """Of prompts and images."""
    output: float = Field(default=0.0, ge=0)
    """Of answers."""


class Server(Settings):
    """The address of a model; not part of a run's identity."""

    url: str = "http://localhost:8000/v1"
    """Base address of an API that speaks OpenAI's protocol. Images go nowhere else."""
    key: str = KEY
    """Name of the environment variable that holds the key; servers without keys need none."""
    concurrency: int = Field(default=8, ge=1, le=256)
    """Requests at once."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    """No more than these."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds that one request may take."""
    retries: int = Field(default=6, ge=0)
    """How often a request is repeated that was refused for now, dropped or garbled; waits grow."""
    price: Price = Price()
    """For `--max-cost`."""

    @model_validator(mode="after")
    def _is_web(self) -> Self:
        if not self.url.startswith(("http://", "https://")):
            raise ValueError(f"url: '{self.url}' does not begin with http:// or https://")
        return self


class VlmSettings(Settings):
    """The model, its question, and the way from an answer to a score."""

    name: str
    """NAME of vlm/NAME.yaml, of a preset, or the path of a YAML file. Every other setting is read
    there; one that is given beside it wins."""
    model: str
    """The model's name at the server, or at the hub for `runtime: transformers`."""
    served_as: str = ""
    """The model that the server reports; by default `model`. Another name fails the run, so
    that answers of a new model behind an alias are not mixed with the old one's."""
    runtime: Literal["server", "transformers"] = "server"
    """The runtime: a server, or transformers in the method's own process (`levels` alone)."""
    revision: str | None = None
    """Revision of the model at the hub, for `runtime: transformers`."""
    system: str = ""
    """System prompt, if any."""
    prompt: str
    """The question."""
    prefix: str = ""
    """How the model's answer begins; it continues. vLLM and SGLang can do this, most hosted
    services cannot."""
    image_first: bool = True
    """Whether images stand before the question."""
    image: ImageEncoding = ImageEncoding()
    """How images are sent."""
    decoding: Decoding = Decoding()
    """How answers are drawn."""
    answer: Levels | NumberAnswer | Compare = Field(discriminator="kind")
    """How an answer becomes a score."""
    samples: int = Field(default=1, ge=1)
    """Answers an image; the score is their mean."""
    retest: int = Field(default=20, ge=0)
    """Number of images that are asked about twice, to measure the model's consistency."""
    max_unparsed: float = Field(default=0.0, ge=0, lt=1)
    """Share of answers that may be unparsed. Their images have no score, and tables say so."""
    trained_on: tuple[str, ...] = ()
    """Databases whose labels the model has seen; their cells get a dagger."""
    server: Server = Field(default=Server(), exclude=True)
    """The address of the model."""

    @model_validator(mode="before")
    @classmethod
    def _from_file(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("name"), str):
            return given
        path = find(given["name"])
        values = load_settings_file(path)
        answer = values.get("answer")
        if isinstance(answer, dict) and isinstance(answer.get("anchors"), str):
            values["answer"] = {**answer, "anchors": path.parent / answer["anchors"]}
        return {**values, **given}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.served_as:
            object.__setattr__(self, "served_as", self.model)
        if self.samples > 1 and self.decoding.temperature == 0:
            raise ValueError("samples above 1 need decoding.temperature above 0")
        if self.runtime == "transformers" and not isinstance(self.answer, Levels):
            raise ValueError("runtime: transformers scores by 'levels' alone")
        return self


def find(name: str) -> Path:
    """The YAML file of a model. ValueError names the existing ones."""
    if name.endswith(SUFFIXES):
        path = Path(name).expanduser()
        if path.is_file():
            return path
        raise ValueError(f"no file '{path}'")
    for folder in (FOLDER, PRESETS):
        for suffix in SUFFIXES:
            if (path := folder / f"{name}{suffix}").is_file():
                return path
    known = sorted({file.stem for folder in (FOLDER, PRESETS) for file in folder.glob("*.y*ml")})
    near = nearest(name, known)
    meant = f"did you mean '{near}'? " if near else ""
    raise ValueError(
        f"no model '{name}': {meant}Known: {', '.join(known)}; or describe it in "
        f"{FOLDER / name}.yaml"
    )
