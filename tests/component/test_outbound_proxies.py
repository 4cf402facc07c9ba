"""HTTP out: a proxy is never used, whatever the environment says."""

from __future__ import annotations

import pytest

from scaup.core.http.outbound import NoAnswerError
from tests.component.test_outbound_pool import outbound, post
from tests.support.sinks import sink

VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


@pytest.mark.parametrize("no_proxy", ["", "localhost"])
async def test_proxies_of_the_environment_see_nothing(monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    async with sink() as proxy, sink() as there, outbound() as client:
        for variable in VARIABLES:
            monkeypatch.setenv(variable, proxy.url)
        for variable in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(variable, no_proxy)
        for url in (there.url, f"http://localhost:{there.port}/"):
            assert (await post(client, url)).status == 202
        for url in (there.url, "http://no-such-host.invalid/"):
            with pytest.raises((NoAnswerError, TimeoutError)):  # it speaks no TLS
                await post(client, url.replace("http:", "https:"), timeout_s=2.0)
        assert (len(there.requests), there.connections, proxy.connections) == (2, 3, 0)
        assert there.requests[0].line == "POST / HTTP/1.1"
