"""A resolution drawn: dot, mermaid, and svg through graphviz.

What was asked for stands out; an edge to something that is only provided is dashed and bears the virtual name.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from dib_py import process
from dib_py.errors import HostError
from dib_py.resolve import Resolution


def to_dot(resolution: Resolution) -> str:
    """The graph in graphviz's language."""
    lines = [
        "digraph elements {",
        "    rankdir=LR;",
        '    node [shape=box, style=rounded, fontname="sans-serif"];',
        '    edge [fontname="sans-serif", fontsize=10];',
    ]
    for element in resolution.elements:
        asked_for = ' [style="rounded,filled", fillcolor="#dce9f7", penwidth=2]'
        lines.append(f"    {_quoted(element.name)}{asked_for if element.name in resolution.requested else ''};")
    for source, target, virtual in _edges(resolution):
        dashed = f" [style=dashed, label={_quoted(virtual)}]" if virtual else ""
        lines.append(f"    {_quoted(source)} -> {_quoted(target)}{dashed};")
    return "\n".join([*lines, "}", ""])


def to_mermaid(resolution: Resolution) -> str:
    """The graph in mermaid's language, which code forges draw in their pages."""
    ids = {element.name: f"e{index}" for index, element in enumerate(resolution.elements)}
    lines = ["graph LR"]
    lines += [f'    {ids[name]}["{_escaped(name)}"]' for name in ids]
    for source, target, virtual in _edges(resolution):
        arrow = f'-. "{_escaped(virtual)}" .->' if virtual else "-->"
        lines.append(f"    {ids[source]} {arrow} {ids[target]}")
    asked_for = [ids[name] for name in resolution.requested if name in ids]
    if asked_for:
        lines.append("    classDef asked fill:#dce9f7,stroke-width:3px")
        lines.append(f"    class {','.join(asked_for)} asked")
    return "\n".join([*lines, ""])


def to_svg(resolution: Resolution) -> str:
    """The graph as a picture; HostError where graphviz is missing."""
    if shutil.which("dot") is None:
        raise HostError(
            "svg is drawn by graphviz, whose program dot is not installed",
            hint="install the package graphviz, or take another --format: dot or mermaid",
        )
    return process.run(["dot", "-Tsvg"], input=to_dot(resolution))


FORMATS: Mapping[str, Callable[[Resolution], str]] = {"dot": to_dot, "mermaid": to_mermaid, "svg": to_svg}


def _edges(resolution: Resolution) -> list[tuple[str, str, str]]:
    """Who needs whom, and by which virtual name if by one, sorted."""
    return sorted(resolution.graph.edges(data="virtual"))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
