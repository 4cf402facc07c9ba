"""Writes deploy/base/crds/: the kinds Broker and Trigger, and the admission policies beside them, made from the code.

``--check`` only says what is stale (exit 1).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from scaup.controller.crds import broker_crd, trigger_crd
from scaup.controller.policies import broker_policy, trigger_policy

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "base" / "crds"
MADE = "# Made by tools/crds.py from the shapes that the controller reads. Do not edit.\n"


class _Plain(yaml.SafeDumper):
    """Every part written out: an alias would have to be looked up by whoever reads."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the name and the parameters are the library's
        return True


def files() -> dict[str, str]:
    """The text of every file."""
    objects = {
        "brokers.yaml": [broker_crd()],
        "triggers.yaml": [trigger_crd()],
        "policies.yaml": [*broker_policy(), *trigger_policy()],
    }
    return {name: MADE + _yaml(listed) for name, listed in objects.items()}


def _yaml(objects: list[dict[str, Any]]) -> str:
    return "---\n".join(
        yaml.dump(one, Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True) for one in objects
    )


def main() -> int:
    """Write the files, or with ``--check`` compare them."""
    stale = []
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in files().items():
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv:
            path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv and stale:
        print(f"stale: {', '.join(stale)}; run: python tools/crds.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
