"""The annotation ``scaup.dev/cel`` from the local API to the sink: given, mistaken, mistyped, taken away."""

from __future__ import annotations

from pathlib import Path

from tests.support.controlplane import condition_of
from tests.support.natsserver import NatsServer
from tests.support.sinks import sink
from tests.support.spec import cluster, until_quiet
from tests.support.waiting import eventually

CEL = "scaup.dev/cel"
JSON = "application/json"


async def test_an_expression_in_the_annotation_decides_beside_the_filters_and_a_mistake_matches_nothing(
    nats: NatsServer, tmp_path: Path
) -> None:
    async with cluster(tmp_path, nats.url) as here, sink() as big:
        producer = await here.producer(await here.api.broker())
        subscriber, filters = {"uri": big.url}, [{"prefix": {"source": "/"}}]
        made = await here.api.trigger("big", subscriber, filters=filters, annotations={CEL: "data.amount > 100"})
        await here.ready(made)

        async def posted(name: str) -> None:
            for kind, amount in (("small", 1), ("large", 1_000)):
                got = await producer.post(f"{name}-{kind}", b'{"amount": %d}' % amount, JSON)
                assert got.status == 202
            await until_quiet(here.plane)

        await posted("right")
        await eventually(lambda: big.ids == ["right-large"], "only the large one came")
        for annotations, said in (
            ({CEL: "data.amount >"}, f"metadata.annotations[{CEL}]: data.amount >: "),
            (
                {CEL: None, "scaup.dev/cell": "true"},
                f"metadata.annotations[scaup.dev/cell]: not known; did you mean {CEL}?",
            ),
        ):
            await here.api.patch(made, {"metadata": {"annotations": annotations}})
            value = await here.api.until(made, "Ready", "False", "FilterInvalid")

            async def is_said(said: str = said) -> bool:
                found = condition_of(await here.api.get(made), "Ready")
                return str(found["message"]).startswith(said)

            _: bool = await eventually(is_said, f"{said} (was {condition_of(value, 'Ready')})")
            await posted("wrong")
            assert big.ids == ["right-large"]
        await here.api.patch(made, {"metadata": {"annotations": {"scaup.dev/cell": None}}})
        await here.ready(made)
        await posted("none")
        await eventually(lambda: sorted(big.ids) == ["none-large", "none-small", "right-large"], "both came")
