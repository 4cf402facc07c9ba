"""The scenario of a cluster without one: an unmodified kubectl, the kubeconfig that ``scaup up`` writes, nothing else.

Every definition goes through ``kubectl --kubeconfig .scaup/kubeconfig``; events are posted where its status says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.rawhttp import post
from tests.support.realkube import run_kubectl
from tests.support.scaupup import Up, free_offset, scaup_up
from tests.support.sinks import sink
from tests.support.waiting import eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

APPLY = ("apply", "-f", "-")
POND = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: ponds.story.test
spec:
  group: story.test
  scope: Namespaced
  names: {kind: Pond, plural: ponds, singular: pond}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
DEFINITIONS = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
---
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: t}
spec:
  broker: default
  filter: {attributes: {type: a}}
  subscriber:
    ref: {apiVersion: story.test/v1, kind: Pond, name: quiet}
    uri: /in
"""


@dataclass
class Here:
    """A running ``scaup up`` and a kubectl for it."""

    up: Up
    home: Path

    def kubectl(self, *args: str, stdin: str | None = None, check: bool = True) -> str:
        """What ``kubectl --kubeconfig .scaup/kubeconfig ARGS`` prints; errors where ``check`` is off."""
        done = run_kubectl(self.home / ".scaup/kubeconfig", self.home, *args, stdin=stdin)
        assert not check or done.returncode == 0, f"kubectl {' '.join(args)}: {done.stderr}"
        return done.stdout if check else done.stderr

    def pond(self, url: str) -> None:
        """One apply says where the Pond is: its kind has no status subresource."""
        whole = {
            "apiVersion": "story.test/v1",
            "kind": "Pond",
            "metadata": {"name": "quiet"},
            "status": {"address": {"url": url}},
        }
        self.kubectl(*APPLY, stdin=json.dumps(whole))

    def get(self, *what: str) -> Any:
        """An object as JSON."""
        return json.loads(self.kubectl("get", *what, "-o", "json"))

    async def post(self, event_id: str, kind: str) -> int:
        """One event for the Broker; the status of the answer."""
        return (await post(8080 + self.up.offset, "/default/default", b"{}", ce_id=event_id, ce_type=kind)).status


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    """Nothing in it yet."""
    with scaup_up(tmp_path / ".scaup", free_offset()) as up:
        up.wait_until_up()
        yield Here(up, tmp_path)


async def test_an_event_goes_where_kubectl_says_until_kubectl_takes_it_all_away(here: Here) -> None:
    """control-plane.md CP-1, CP-2, CP-3, CP-11, CP-18, CP-30, MUST."""
    assert "kubeconfig for kubectl" in here.up.text
    async with sink() as first, sink() as second:
        here.kubectl(*APPLY, stdin=POND)
        here.kubectl("wait", "--for=condition=Established", "crd/ponds.story.test")
        here.pond(first.url)
        here.kubectl(*APPLY, stdin=DEFINITIONS)
        here.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "broker/default", "trigger/t")
        url = here.get("broker", "default")["status"]["address"]["url"]
        assert urlsplit(url).port == 8080 + here.up.offset
        assert urlsplit(url).path == "/default/default"
        assert here.get("trigger", "t")["status"]["subscriberUri"] == f"{first.url}in"
        assert (await here.post("one", "a"), await here.post("other", "b")) == (202, 202)
        await eventually(lambda: first.ids == ["one"], "it is delivered")
        assert first.requests[0].path == "/in"

        here.pond(second.url)
        moved = "--for=jsonpath={.status.subscriberUri}=" + f"{second.url}in"
        here.kubectl("wait", moved, "--timeout=30s", "trigger/t")
        assert await here.post("two", "a") == 202
        await eventually(lambda: second.ids == ["two"], "it is delivered at the new one")

        generation = here.get("trigger", "t")["metadata"]["generation"]
        change = '{"spec":{"filter":{"attributes":{"type":"b"}}}}'
        here.kubectl("patch", "trigger", "t", "--type=merge", "-p", change)
        seen = "--for=jsonpath={.status.observedGeneration}=" + str(generation + 1)
        here.kubectl("wait", seen, "--timeout=30s", "trigger/t")
        here.kubectl("wait", "--for=condition=Ready", "--timeout=30s", "trigger/t")
        assert (await here.post("three", "a"), await here.post("four", "b")) == (202, 202)
        await eventually(lambda: second.ids == ["two", "four"], "the filter is the new one")

        here.kubectl("delete", "trigger", "t", "--timeout=30s")
        assert "NotFound" in here.kubectl("get", "trigger", "t", check=False)
        assert await here.post("five", "b") == 202
        here.kubectl("delete", "broker", "default", "--timeout=30s")

        async def is_gone() -> bool:
            return await here.post("six", "b") == 404

        _: bool = await eventually(is_gone, "the Broker is gone for producers")
        assert (first.ids, second.ids) == (["one"], ["two", "four"])
