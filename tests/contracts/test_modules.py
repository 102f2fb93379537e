"""What ansible-doc says of a module is what the module takes."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))


class GivenError(Exception):
    """Ends a module once it has said what it takes."""


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    """Module → its options, fragments included, as ansible-doc reads them."""
    done = subprocess.run(
        [Path(sys.executable).with_name("ansible-doc"), "--type=module", "--json", *MODULES],
        cwd=ROOT, env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: found[name]["doc"]["options"] for name in MODULES}


def facts(options: dict[str, Any] | None) -> dict[str, Any]:
    """Of each option what documentation and argument spec both say."""
    return {
        name: {
            "type": option.get("type", "str"),
            "required": option.get("required", False),
            "default": option.get("default"),
            "elements": option.get("elements"),
            "choices": option.get("choices"),
            "options": facts(option.get("options", option.get("suboptions"))),
        }
        for name, option in (options or {}).items()
    }


@pytest.mark.parametrize("name", MODULES)
def test_options_are_documented_as_they_are(
    name: str, documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}

    def module(**arguments: Any) -> None:
        given.update(arguments["argument_spec"])
        raise GivenError

    loaded = importlib.import_module(name)
    monkeypatch.setattr(loaded, "AnsibleModule", module)
    with pytest.raises(GivenError):
        loaded.main()
    assert facts(documented[name]) == facts(given)
