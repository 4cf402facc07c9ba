"""In which form an answer is wanted: JSON or YAML, whole objects, their metadata only, or a table. Pure.

Follows Kubernetes' content negotiation (API concepts, "Receiving resources as Tables", "Metadata only").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from scaup.apiserver.answers import ApiError
from scaup.apiserver.guard import JSON, YAML

TABLE: Final = "Table"
PARTIAL: Final = "PartialObjectMetadata"
PARTIAL_LIST: Final = "PartialObjectMetadataList"
DISCOVERY: Final = "APIGroupDiscoveryList"
_MEDIA: Final = (JSON, YAML)
_MATCHES: Final = {"*/*": JSON, "application/*": JSON, JSON: JSON, YAML: YAML}
_META: Final = ("v1", "meta.k8s.io")
_KNOWN: Final = {
    (TABLE, *_META),
    (PARTIAL, *_META),
    (PARTIAL_LIST, *_META),
    (DISCOVERY, "v2", "apidiscovery.k8s.io"),
}


@dataclass(frozen=True, slots=True)
class Form:
    """``media`` is the type of the body, ``shape`` what stands in it: "" for the objects themselves."""

    media: str = JSON
    shape: str = ""


def form(accept: str | None, shapes: tuple[str, ...]) -> Form:
    """The first form that an Accept header names and that can be given here; ``shapes`` are those besides "".

    Raises ApiError 406 where there is none.
    """
    if not accept or not accept.strip():
        return Form()
    for media, parameters in _by_quality(accept):
        if media not in _MATCHES:
            continue
        shape = parameters.get("as", "")
        if not shape:
            return Form(_MATCHES[media])
        if shape in shapes and (shape, parameters.get("v"), parameters.get("g")) in _KNOWN:
            return Form(_MATCHES[media], shape)
    taken = ", ".join(_MEDIA)
    raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {taken}")


def require_fit(wanted: Form, *, is_list: bool, is_watch: bool = False) -> None:
    """Raise ApiError 406 where one object cannot be shown as many, or many as one, or not as a stream of lines."""
    if is_watch and wanted.media != JSON:
        raise ApiError(406, "NotAcceptable", f"only the following media types are accepted: {JSON}")
    if wanted.shape == PARTIAL and is_list:
        raise ApiError(406, "NotAcceptable", f"you requested {PARTIAL}, but the requested object is a list")
    if wanted.shape == PARTIAL_LIST and not is_list:
        raise ApiError(406, "NotAcceptable", f"you requested {PARTIAL_LIST}, but the requested object is not a list")


def _by_quality(accept: str) -> list[tuple[str, dict[str, str]]]:
    """Media types with their parameters, the wanted most first (RFC 9110, 12.5.1); those of q=0 are left out."""
    found = []
    for part in accept.split(","):
        media, *listed = (text.strip() for text in part.split(";"))
        parameters = {name.strip().lower(): value.strip() for name, _, value in (one.partition("=") for one in listed)}
        try:
            quality = float(parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        if media and quality > 0:
            found.append((quality, media.lower(), parameters))
    found.sort(key=lambda one: -one[0])  # stable: of the same quality the first
    return [(media, parameters) for _, media, parameters in found]
