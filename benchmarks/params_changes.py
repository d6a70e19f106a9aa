"""Changes to params.yaml, for cases of benchmarks and projects of tests."""

from typing import Any

Changes = dict[str, dict[str, Any]]


def merged(*parts: dict[str, Any]) -> dict[str, Any]:
    """Settings merged key by key, sections within sections too; the last part wins."""
    whole: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            whole[key] = merged(whole.get(key, {}), value) if isinstance(value, dict) else value
    return whole
