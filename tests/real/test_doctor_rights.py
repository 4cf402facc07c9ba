"""``scaup doctor`` with an account that a genuine API server lets see nothing."""

from __future__ import annotations

import pytest

from scaup.cli.access import ApiAccess, NatsAccess
from scaup.cli.doctor.story import Asked, diagnose
from tests.support.clusterkinds import install
from tests.support.natsserver import NatsServer
from tests.support.realkube import kube

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]


async def test_an_account_that_may_see_nothing_is_told_so_and_what_to_do(nats: NatsServer) -> None:
    with kube(tokens="nobodys,nobody,nobody\n") as cluster:
        install(cluster)
        access = ApiAccess(str(cluster.kubeconfig_of("nobodys")), None)
        found = await diagnose(access, NatsAccess(nats.url), Asked())
    (own,) = (one for one in found.findings if one.code == "rights.own")
    assert 'User "nobody" cannot list resource "brokers"' in own.says
    assert "ClusterRole `view`" in own.do
