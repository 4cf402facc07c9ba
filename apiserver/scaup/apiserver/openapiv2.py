"""The OpenAPI v2 document, as little of it as kubectl needs: to apply a ``List`` it asks there, not in v3. Pure.

kubectl looks whether Namespaces can be patched with ``fieldValidation``, takes that for the whole server, and lets the
server check the fields. The document is protobuf (``gnostic.openapi.v2.Document``), the one form that kubectl reads.
"""

from __future__ import annotations

from typing import Final

MEDIA: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"


def document() -> bytes:
    """Swagger 2.0, with the one operation that is looked for."""
    parameters = b"".join(_parameter(name) for name in ("dryRun", "fieldManager", "fieldValidation", "force"))
    kind = _field(1, "x-kubernetes-group-version-kind") + _field(
        2, _field(2, 'group: ""\nkind: Namespace\nversion: v1\n')
    )
    patch = parameters + _field(13, kind)
    path = _field(1, "/api/v1/namespaces/{name}") + _field(2, _field(8, patch))
    about = _field(1, "Kubernetes") + _field(2, "unversioned")
    return _field(1, "2.0") + _field(2, about) + _field(8, _field(2, path))


def _parameter(name: str) -> bytes:
    query = _field(2, "query") + _field(4, name)
    return _field(8, _field(1, _field(2, _field(3, query))))


def _field(number: int, value: bytes | str) -> bytes:
    """A field that has a length (protobuf encoding, wire type 2)."""
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])
