"""Writes deploy/base/crds/: the kinds Broker and Trigger, and the admission policies beside them, made from the code.

The local API has the same kinds built in, as JSON in its ``definitions/``. ``--check`` only says what is stale (exit
1).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from pages import settle

from scaup.controller.crds import broker_crd, trigger_crd
from scaup.controller.policies import broker_policy, trigger_policy

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy" / "base" / "crds"
BUILT_IN = ROOT / "apiserver" / "scaup" / "apiserver" / "definitions"
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
    built_in = {crd["spec"]["names"]["plural"]: json.dumps(crd, indent=1) for crd in (broker_crd(), trigger_crd())}
    policies = [*broker_policy()[:1], *trigger_policy()[:1]]
    return settle(
        {FOLDER / name: text for name, text in files().items()}
        | {BUILT_IN / f"{plural}.json": f"{text}\n" for plural, text in built_in.items()}
        | {BUILT_IN / "policies.json": f"{json.dumps(policies, indent=1)}\n"}
    )


if __name__ == "__main__":
    sys.exit(main())
