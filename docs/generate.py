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
sys.path.insert(0, str(ROOT / "plugins"))

from fleet.catalogue import read_server  # noqa: E402

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
    data = {path.stem: read_server(path) for path in files}
    lines = ["", "## Servers", "", "| server | speaks | listens on | restarted |"]
    lines.append("| --- | --- | --- | --- |")
    for name, server in data.items():
        inherits = server["socket"]["inherit"]
        socket = "a socket of systemd's" if inherits else "its own socket"
        restarted = "drained, or on its socket where it is the last" if inherits else "drained"
        over = f" (over {server['upstream_protocol']})" if "upstream_protocol" in server else ""
        speaks = ", ".join(server["protocols"])
        lines.append(f"| {name} | {speaks}{over} | {socket} | {restarted} |")
    lines += ["", "| server | key | environment | default | least |"]
    lines.append("| --- | --- | --- | --- | --- |")
    for name, server in data.items():
        for key, setting in server["settings"].items():
            also = f", `{setting['also']}` (inventory only)" if "also" in setting else ""
            default = setting.get("default")
            told = (
                "one for each processor, at least 2" if default == "processors" else code(default)
            )
            lines.append(
                f"| {name} | `{key}` | `{setting['env']}`{also} | {told} | "
                f"{code(setting['minimum'])} |"
            )
        for key, variable in server["bind"].items():
            lines.append(f"| {name} | `{key}` | `{variable}` (inventory only) | | |")
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
