#!/usr/bin/env python3
"""Write docs/reference/<role>.md for every role, from its argument specification and defaults.

`--check` writes nothing and fails where a page is stale.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference"

Plain = dict[str, Any]


def pages(root: Path = ROOT) -> dict[str, str]:
    """File name → text of every page there should be."""
    specs = sorted(root.glob("roles/*/meta/argument_specs.yml"))
    return {f"{path.parts[-3]}.md": page(path.parent.parent) for path in specs}


def page(role: Path) -> str:
    """The reference of one role."""
    specs = read(role / "meta" / "argument_specs.yml")["argument_specs"]
    defaults_file = role / "defaults" / "main.yml"
    defaults = read(defaults_file) if defaults_file.exists() else {}
    lines = [
        f"# Role {role.name}",
        "",
        "Made by docs/generate.py from the role's meta/argument_specs.yml and defaults/main.yml.",
    ]
    shared: Plain | None = None
    for name, spec in specs.items():
        lines += ["", f"## {name}", "", sentence(spec["short_description"])]
        if "description" in spec:
            lines += ["", prose(spec["description"])]
        options = spec.get("options", {})
        if options and options == shared:
            lines += ["", "It takes the same variables."]
        elif options:
            shared = options
            lines += ["", *table(options, defaults)]
    lines += servers(role)
    return "\n".join(lines) + "\n"


def table(options: Plain, defaults: Plain) -> list[str]:
    """The rows of a table of options, those inside an option below it."""
    rows = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, option in walk(options):
        default = defaults.get(name, option.get("default"))
        shown = "required" if option.get("required") else code(default)
        meaning = prose(option.get("description", []))
        if "choices" in option:
            meaning += f" One of {', '.join(code(choice) for choice in option['choices'])}."
        kind = option.get("type", "str")
        if "elements" in option:
            kind += f" of {option['elements']}"
        rows.append(f"| `{name}` | {kind} | {shown} | {meaning} |")
    return rows


def walk(options: Plain, above: str = "") -> Iterator[tuple[str, Plain]]:
    """Every option with its dotted name, outer ones first."""
    for name, option in options.items():
        yield above + name, option
        yield from walk(option.get("options", {}), f"{above}{name}.")


def servers(role: Path) -> list[str]:
    """The settings of every server, where the role has some."""
    files = sorted(role.glob("servers/*.yml"), key=lambda path: path.stem)
    if not files:
        return []
    lines = ["", "## Servers", "", "| server | speaks | key | environment | default | least |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for path in files:
        server = read(path)
        speaks = ", ".join(server["protocols"])
        for key, setting in server["settings"].items():
            lines.append(
                f"| {path.stem} | {speaks} | `{key}` | `{setting['env']}` | "
                f"{code(setting['default'])} | {code(setting['minimum'])} |"
            )
        for key, name in server["bind"].items():
            lines.append(f"| {path.stem} | {speaks} | `{key}` | `{name}` (inventory only) | | |")
    return lines


def prose(description: str | list[str]) -> str:
    """The sentences of a description on one line, with Ansible's C(...) as Markdown."""
    text = description if isinstance(description, str) else " ".join(description)
    return re.sub(r"[A-Z]\((.*?)\)", r"`\1`", " ".join(text.split())).replace("|", r"\|")


def sentence(text: str) -> str:
    return prose(text).rstrip(".") + "."


def code(value: Any) -> str:
    """A value as it would stand in the inventory."""
    if value is None:
        return ""
    dumped = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return f"`{dumped.removesuffix('...' + chr(10)).strip()}`".replace("|", r"\|")


def read(path: Path) -> Plain:
    content: Plain = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return content


def stale(root: Path = ROOT) -> list[str]:
    """The pages of docs/reference that are not what this tool would write."""
    wanted = pages(root)
    found = {path.name: path.read_text("utf-8") for path in REFERENCE.glob("*.md")}
    return sorted(n for n in wanted.keys() | found if wanted.get(n) != found.get(n))


def main(arguments: list[str]) -> int:
    if "--check" in arguments:
        for name in stale():
            print(f"docs/reference/{name} is stale; run docs/generate.py", file=sys.stderr)
        return 1 if stale() else 0
    REFERENCE.mkdir(exist_ok=True)
    wanted = pages()
    for path in REFERENCE.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
