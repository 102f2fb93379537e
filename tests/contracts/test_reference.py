"""The role reference in docs/ is what its generator writes today."""

import importlib.util

from tree import ROOT


def test_reference_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    assert generate.stale() == [], "run docs/generate.py"
