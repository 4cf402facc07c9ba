"""A request's body: read under a limit and a deadline, parsed as JSON, YAML or protobuf. Must not
know what it means.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import orjson
import yaml
from starlette.requests import Request

from scaup.apiserver import answers, duplicates, fieldvalidation, protobufs
from scaup.apiserver.guard import APPLY_PATCH, PROTOBUF, YAML, content_type

LIMIT: Final = 3 << 20
"""Kubernetes' own limit for a request, in bytes."""
_LARGEST: Final = 1 << 63
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
        is_yaml = given in {YAML, APPLY_PATCH}
        value = await asyncio.to_thread(_from_yaml, data) if is_yaml else orjson.loads(data)
        twice = fieldvalidation.present()
        if twice is not None and twice.is_of_objects and not is_yaml:
            twice.twice += duplicates.in_json(data)
        value = _with_whole_numbers(value)
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


def _with_whole_numbers(value: Any) -> Any:
    """The value with 1 for 1.0: it is the same number, and stored as that it is the same text."""
    if isinstance(value, dict):
        return {name: _with_whole_numbers(below) for name, below in value.items()}
    if isinstance(value, list):
        return [_with_whole_numbers(below) for below in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST else value


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

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                self.twice.append(f'  line {key.start_mark.line + 1}: key "{key.value}" already set in map')
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    twice: list[str]


def _from_yaml(data: bytes) -> Any:
    loader = _Loader(data)
    loader.twice = []
    try:
        value = orjson.loads(orjson.dumps(loader.get_single_data(), option=orjson.OPT_NON_STR_KEYS))
    except (ValueError, UnicodeDecodeError) as error:  # such as an impossible number
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()
    asked = fieldvalidation.present()
    if loader.twice and asked is not None:
        asked.twice.append("yaml: unmarshal errors:\n" + "\n".join(dict.fromkeys(loader.twice)))
    return value
