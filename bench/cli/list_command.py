"""`bench list` and `bench describe`. Nothing here imports torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bench.util.errors import BenchError, unknown

if TYPE_CHECKING:
    from bench.api import Method
    from bench.backbones import BackboneInfo, ClipInfo

Rows = list[tuple[str, str]]


def rows(what: str) -> Rows:
    """Names and one-line summaries of all methods, datasets, protocols or backbones."""
    if what not in _LISTS:
        raise unknown("list", what, _LISTS)
    return _LISTS[what]()


def stored(results: Path) -> Rows:
    """Stored runs by method and code, and whether that code passed an audit."""
    from bench import source
    from bench.model import audits
    from bench.store import Store

    counts: Counter[tuple[str, str]] = Counter()
    for record in Store(results).records(curve=False):
        counts[record.spec.method, record.spec.fit.code] += 1
    found = audits.read_all(results).values()
    passed = {(audit.method, audit.code): audit.created[:10] for audit in found if audit.passed}
    lines = []
    for (method, code), count in sorted(counts.items()):
        current = _current(source.digest, method) == code
        day = passed.get((method, code))
        words = [f"{count} runs", f"code {code}" + (" (current)" if current else "")]
        lines.append((method, ", ".join([*words, *([f"audited {day}"] if day else [])])))
    return lines


def _current(digest: Callable[[str], str], method: str) -> str:
    """Digest of a method's present code, '' for a method that no longer exists."""
    try:
        return digest(method)
    except (BenchError, KeyError):
        return ""


def describe(name: str) -> str:
    """The description of anything by its name. Raises `UsageError` with the nearest name."""
    from bench import backbones, registry
    from bench import protocol as protocols
    from bench.data import datasets

    if name == "protocol":
        return _schema("protocol file", protocols.Protocol.model_json_schema())
    if registry.split_name(name)[0] in registry.entries():
        return _describe_method(name)
    if name.partition("@")[0] in datasets.names():
        return _describe_dataset(name)
    if name in protocols.available():
        return protocols.available()[name].read_text(encoding="utf-8")
    if backbones.names_one(name):
        return _describe_backbone(name)
    known = [entry for what in _LISTS for entry, _ in rows(what)]
    raise unknown("name", name, known)


def _methods() -> Rows:
    from bench import registry

    return [
        (f"{entry.name}:NAME" if entry.argument else entry.name, entry.summary)
        for entry in registry.entries().values()
    ]


def _datasets() -> Rows:
    from bench.data import datasets

    return [(name, datasets.info(name).title) for name in datasets.names()]


def _protocols() -> Rows:
    from bench import protocol as protocols

    return [(name, protocols.load(name).title) for name in protocols.available()]


def _backbones() -> Rows:
    from bench.backbones import families, list_backbones

    return [*((info.name, info.description) for info in list_backbones()), *families()]


_LISTS: dict[str, Callable[[], Rows]] = {
    "methods": _methods,
    "datasets": _datasets,
    "protocols": _protocols,
    "backbones": _backbones,
}


def _describe_method(text: str) -> str:
    import inspect
    import textwrap

    from bench import registry

    cls = registry.load(registry.split_name(text)[0])
    lines = [f"{registry.full_name(text)} (version {cls.version})", ""]
    entry = registry.entries().get(text)
    if entry and entry.stands_for:
        lines += [f"{text}: {entry.summary}", ""]
    lines += [inspect.cleandoc(cls.__doc__ or ""), *_seen(text, cls), ""]
    if cls.short_names:
        lines += [textwrap.fill(f"short names: {', '.join(cls.short_names)}", 100), ""]
    return "\n".join([*lines, _schema("settings", cls.Settings.model_json_schema())])


def _seen(text: str, cls: type[Method]) -> list[str]:
    """What the weights were trained on, if the method's name determines them."""
    from bench import registry
    from bench.api import Context
    from bench.model.contamination import entry_title

    given = registry.split_name(registry.full_name(text))[1] is not None
    needed = {name for name, value in cls.Settings.model_fields.items() if value.is_required()}
    if needed - ({cls.argument} if given else set()):
        return []
    cls, settings = registry.settings_for(text, {})
    seen = [entry_title(entry) for entry in cls(settings, Context()).all_trained_on()]
    return ["", f"its weights have seen the labels of {', '.join(seen)}"] if seen else []


def _describe_backbone(name: str) -> str:
    from bench.backbones import ClipInfo, TimmInfo, resolve

    info = resolve(name)
    lines = [f"{info.name}: {info.description}"]
    if isinstance(info, TimmInfo):
        size = "squares only" if info.fixed_size else "or other sizes"
        lines += [
            f"  model     {info.model} of timm",
            f"  sees      {info.image_size} x {info.image_size} pixels, {size}",
            *_normalisation(info),
            "  features  means and deviations of its inner levels and of its last features",
            "  not for   texts: regression on features alone (ridge, svr, linear_probe, ...)",
        ]
    if isinstance(info, ClipInfo):
        lines += [
            f"  model     {info.model} of open_clip",
            f"  sees      {info.image_size} x {info.image_size} pixels",
            *_normalisation(info),
            f"  features  {info.embed_dim}",
            *_patches(info),
            *_lacks(info),
        ]
    return "\n".join(lines)


def _normalisation(info: BackboneInfo) -> list[str]:
    rows = (("mean", info.mean), ("std", info.std))
    texts = [(name, " ".join(f"{value:.4g}" for value in values)) for name, values in rows]
    return [f"  {name:9s} {text} (red, green and blue in 0-1)" for name, text in texts]


def _patches(info: ClipInfo) -> list[str]:
    """The sizes that visual prompts need; nothing of a tower that takes none."""
    from bench.backbones import architectures, resolve_vit

    if architectures.why_no_plain_vit(info.config):
        return []
    vit = resolve_vit(info.name)
    side = f"{vit.patch_size} x {vit.patch_size}"
    return [f"  patches   {side}, in {vit.layers} layers of width {vit.width}"]


def _lacks(info: ClipInfo) -> list[str]:
    from bench.backbones import architectures

    problems = (
        ("visual prompts", architectures.why_no_plain_vit(info.config)),
        ("learned text contexts", architectures.why_no_plain_text(info.config)),
    )
    return [f"  not for   {what}: {problem}" for what, problem in problems if problem]


def _describe_dataset(spec: str) -> str:
    from bench.data import datasets
    from bench.data.datasets._requirements import REQUIREMENTS

    info = datasets.info(spec)
    lines = [
        f"{info.spec}: {info.title}",
        f"  {info.kind}, {info.size:,} images, {info.label.upper()} {info.low:g} to {info.high:g}",
        f"  home      {info.homepage}",
        f"  licence   {info.licence}",
        f"  cite      {info.citation}",
        f"  folders   {', '.join(info.folders)}",
    ]
    if not info.demo and info.kind != "user":
        from bench.data.fetch import sources

        lines.append(f"  get       {sources.in_a_line(info.name)}")
    if info.demo:
        from bench.data.demo.observer import CEILING_SRCC

        lines.append(f"  ceiling   SRCC {CEILING_SRCC[info.name]}, latent quality against its MOS")
    versions = {**(REQUIREMENTS if info.references else {}), **info.versions}
    lines += [f"  @{name:8} {version.description}" for name, version in versions.items()]
    return "\n".join(lines)


def _schema(title: str, schema: dict[str, object]) -> str:
    import textwrap

    lines = [f"{title}:"]
    properties = schema.get("properties", {})
    assert isinstance(properties, dict)
    for key, value in properties.items():
        default = f" (default {value['default']!r})" if "default" in value else ""
        lines.append(f"  {key}{default}")
        if value.get("description"):
            lines.append(textwrap.indent(textwrap.fill(value["description"], 94), " " * 6))
    return "\n".join(lines)
