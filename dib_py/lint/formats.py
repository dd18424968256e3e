"""Findings as text for people and editors, as JSON, and as annotations for GitHub."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from dib_py.lint import Finding, Report


def to_text(report: Report) -> str:
    """A line for each: ``file:line: code: message``."""
    return "".join(f"{_shown(f.path)}:{f.line}: {f.code}: {f.message}\n" for f in report.findings)


def to_json(report: Report) -> str:
    """A list of objects with ``file``, ``line``, ``code`` and ``message``."""
    return json.dumps([_as_dict(finding) for finding in report.findings], indent=2) + "\n"


def to_github(report: Report) -> str:
    """Workflow commands, which GitHub shows beside the lines of a change."""
    return "".join(
        f"::error file={_property(_shown(f.path))},line={f.line},title={_property(f.code)}::{_data(f.message)}\n"
        for f in report.findings
    )


FORMATS: Mapping[str, Callable[[Report], str]] = {"text": to_text, "json": to_json, "github": to_github}


def _as_dict(finding: Finding) -> dict[str, str | int]:
    return {
        "file": _shown(finding.path),
        "line": finding.line,
        "code": finding.code,
        "message": finding.message,
    }


def _shown(path: Path) -> str:
    """Relative to where the user is, if it is below."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
