"""HTTP out: one pooled aiohttp session. Redirects are never followed, proxies and cookies never used."""

from __future__ import annotations

import aiohttp


def outbound_session() -> aiohttp.ClientSession:
    """A session for deliveries; close it in the end. Who uses it bounds the requests under way and their time."""
    connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=10, keepalive_timeout=20)
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        read_bufsize=64 << 10,
        max_line_size=64 << 10,
        max_field_size=64 << 10,
    )
