"""A check as JSON, JUnit XML and Markdown; every name in them is escaped."""

from __future__ import annotations

import math
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.analysis.check.verdict import CellCheck, CheckReport
from bench.util.atomic import write_json, write_text
from bench.util.listing import visible

# XML 1.0 has no way to write these, escaped or not.
_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~])")


def write(report: CheckReport, folder: Path) -> list[Path]:
    """Write check.json, check.xml (JUnit) and check.md; returns their paths."""
    paths = [folder / f"check.{suffix}" for suffix in ("json", "xml", "md")]
    write_json(paths[0], as_json(report))
    write_text(paths[1], as_junit(report))
    write_text(paths[2], as_markdown(report))
    return paths


def as_json(report: CheckReport) -> dict[str, Any]:
    """Plain values; what is undefined is None."""
    value = asdict(report)
    value["cells"] = [
        {key: None if _undefined(item) else item for key, item in cell.items()}
        for cell in value["cells"]
    ]
    return {**value, "exit_code": report.exit_code, "summary": report.summary}


def as_junit(report: CheckReport) -> str:
    """A test case a cell: a regression is a failure; what was not compared is an error.

    >>> as_junit(CheckReport("a", "b", "srcc", 0.005, 0.95, None, ())).count("<error")
    1
    """
    cases = [_case(cell, report) for cell in report.cells] or [_empty_case(report)]
    failures = sum(case.find("failure") is not None for case in cases)
    errors = sum(case.find("error") is not None for case in cases)
    skipped = sum(case.find("skipped") is not None for case in cases)
    counts = {"tests": str(len(cases)), "failures": str(failures), "errors": str(errors)}
    counts["skipped"] = str(skipped)
    root = ElementTree.Element("testsuites", {"name": "bench check", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _xml(report.metric), **counts})
    suite.extend(cases)
    ElementTree.indent(root, " ")
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def as_markdown(report: CheckReport) -> str:
    """A table for a pull request."""
    head = f"**bench check**: {markdown(report.summary)}\n\n"
    about = (
        f"{markdown(report.new)} against {markdown(report.against)}, "
        f"{markdown(report.metric)}, tolerance {report.tolerance:g}, "
        f"{report.confidence:.0%} interval (Nadeau–Bengio)\n\n"
    )
    names = ("", "method", "task", "labels", "runs", "before", "now", "change", "interval", "")
    lines = [f"| {' | '.join(names)} |", "|" + " --- |" * len(names)]
    lines += [f"| {' | '.join(map(markdown, row(cell)))} |" for cell in report.cells]
    return head + about + "\n".join(lines) + "\n"


def row(cell: CellCheck) -> tuple[str, ...]:
    """The cells of a printed table: verdict, method, task, budget, n/N, values, reason."""
    method = cell.label if cell.label == cell.against else f"{cell.label} vs {cell.against}"
    marked = "" if cell.selection == "last" else f" ({cell.selection})"
    interval = "" if math.isnan(cell.low) else f"[{cell.low:+.4f}, {cell.high:+.4f}]"
    return (
        WORDS[cell.verdict],
        method + marked,
        cell.task,
        cell.budget,
        f"{cell.n}/{cell.expected}",
        _decimal(cell.old),
        _decimal(cell.new),
        _decimal(cell.change, "+"),
        interval,
        cell.reason,
    )


WORDS = {
    "ok": "ok",
    "improved": "better",
    "regression": "WORSE",
    "incomplete": "INCOMPLETE",
    "nothing": "NOT COMPARED",
    "skipped": "skipped",
}


def markdown(text: str) -> str:
    """Text that Markdown shows as it is, on one line.

    >>> markdown("a|b <i>")
    'a\\\\|b \\\\<i\\\\>'
    """
    plain = visible(text)
    # With a zero-width space inside, a label in a comment neither calls somebody nor is a link.
    for sign in ("@", "://", "www."):
        plain = plain.replace(sign, f"{sign[0]}\u200b{sign[1:]}")
    return _MARKDOWN.sub(r"\\\1", plain).replace("&", "&amp;")


def _case(cell: CellCheck, report: CheckReport) -> ElementTree.Element:
    name = f"{cell.label} [{cell.task}, {cell.budget}, {cell.selection}]"
    case = ElementTree.Element("testcase", name=_xml(name), classname=_xml(cell.protocol))
    text = _xml(" ".join(part for part in row(cell)[4:] if part))
    if cell.verdict == "regression":
        message = f"{report.metric} {_decimal(cell.change, '+')} (tolerance {report.tolerance:g})"
        ElementTree.SubElement(case, "failure", message=_xml(message)).text = text
    elif cell.verdict in ("incomplete", "nothing"):
        ElementTree.SubElement(case, "error", message=_xml(cell.reason)).text = text
    elif cell.verdict == "skipped":
        ElementTree.SubElement(case, "skipped", message=_xml(cell.reason))
    else:
        ElementTree.SubElement(case, "system-out").text = text
    return case


def _empty_case(report: CheckReport) -> ElementTree.Element:
    case = ElementTree.Element("testcase", name="comparison", classname="bench check")
    ElementTree.SubElement(case, "error", message=_xml(report.summary))
    return case


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def _decimal(value: float, sign: str = "") -> str:
    return "" if math.isnan(value) else format(value, f"{sign}.4f")


def _undefined(value: object) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
