"""A request's body: read under a limit and a deadline, parsed as JSON, YAML or protobuf. Must not
know what it means.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import yaml
from starlette.requests import Request

from scaup.apiserver import answers, protobufs
from scaup.apiserver.guard import PROTOBUF, YAML, content_type

LIMIT: Final = 3 << 20
"""Kubernetes' own limit for a request, in bytes."""
_TIMEOUT_S: Final = 30.0
_DROP_S: Final = 2.0


async def read(request: Request, taken: tuple[str, ...]) -> tuple[str, Any]:
    """The content type and the value of a body.

    Raises ApiError: 415 for a type not in ``taken``, 413 over ``LIMIT``, 408 after 30 s, 400 where it does not parse.
    """
    given = content_type(request.headers, taken)
    return given, await parse(given, await read_bytes(request))


async def read_bytes(request: Request) -> bytes:
    """The body as it came.

    What is over the limit is read and dropped for a moment: a client that is cut off while it sends never sees why.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_TIMEOUT_S) as deadline:
            async for part in request.stream():
                if size <= LIMIT < size + len(part):
                    deadline.reschedule(asyncio.get_running_loop().time() + _DROP_S)
                size += len(part)
                if size <= LIMIT:
                    parts.append(part)
    except TimeoutError:
        if size <= LIMIT:
            raise answers.ApiError(408, "Timeout", f"the body did not come within {_TIMEOUT_S:g} s") from None
    if size > LIMIT:
        raise answers.too_large(LIMIT)
    return b"".join(parts)


async def parse(given: str, data: bytes) -> Any:
    """The value of a body of this type. YAML is parsed in a thread, for it is slow."""
    try:
        if given == PROTOBUF:
            return protobufs.decoded(data)
        value = await asyncio.to_thread(_from_yaml, data) if given == YAML else orjson.loads(data)
        orjson.dumps(value)  # refuses what is nested deeper than can be stored
    except protobufs.ProtobufError as error:
        raise answers.bad_request(f"the body of the request is not an object in protobuf: {error}") from error
    except orjson.JSONDecodeError as error:
        raise answers.bad_request(f"the body of the request is not JSON: {error}") from error
    except yaml.YAMLError as error:
        raise answers.bad_request(f"the body of the request is not YAML: {' '.join(str(error).split())}") from error
    except (TypeError, RecursionError) as error:
        raise answers.bad_request(f"the body of the request cannot be an object of the API: {error}") from error
    return value


class _Loader(yaml.SafeLoader):
    """YAML as Kubernetes' clients mean it: times stay text, and aliases, of which bombs are made, are refused."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own form
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not taken")
        return super().compose_node(parent, index)


def _from_yaml(data: bytes) -> Any:
    try:
        return orjson.loads(orjson.dumps(yaml.load(data, Loader=_Loader), option=orjson.OPT_NON_STR_KEYS))  # noqa: S506
    except (ValueError, UnicodeDecodeError) as error:  # such as an impossible number
        raise yaml.YAMLError(str(error)) from error
