"""Lists: which objects, in which state, how many at a time. Must not write, nor know HTTP."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaup.apiserver import answers
from scaup.apiserver.kinds import Kind
from scaup.apiserver.objects import Object, in_version
from scaup.apiserver.query import Continuation, ListOptions
from scaup.apiserver.store import Store
from scaup.apiserver.watch import Shaped, Wish
from scaup.apiserver.window import name_of


class Part(NamedTuple):
    """A list, or a part of one: the objects and the list's own metadata."""

    objects: list[Object]
    metadata: dict[str, Any]


def listed(store: Store, kind: Kind, options: ListOptions) -> Part:
    """The list that was asked for, or its next part.

    All parts of a list show one state, that of the first. Raises ApiError 410 where it is not known any more, and 504
    for a resourceVersion that there has not been yet.
    """
    shelf = store.shelf(kind.resource)
    revision = store.revision
    if options.after is not None:
        revision = options.after.revision
    elif options.revision is not None and options.match == "Exact":
        revision = options.revision
    if max(revision, options.revision or 0) > store.revision:
        raise answers.too_new(max(revision, options.revision or 0), store.revision)
    then = shelf.objects if revision == store.revision else shelf.window.as_of(shelf.objects, revision)
    found = [one for one in then.values() if options.is_wanted(one)]
    found.sort(key=name_of)
    if options.after is not None:
        found = [one for one in found if name_of(one) > options.after.name]
    metadata: dict[str, Any] = {"resourceVersion": str(revision)}
    if 0 < options.limit < len(found):
        metadata["continue"] = str(Continuation(revision, name_of(found[options.limit - 1])))
        if not options.is_selective:
            metadata["remainingItemCount"] = len(found) - options.limit
        found = found[: options.limit]
    return Part([in_version(one, kind) for one in found], metadata)


def wish(kind: Kind, options: ListOptions, shaped: Shaped, now: int) -> Wish:
    """The watch that was asked for: the present state first, or what comes after a revision, or after ``now``."""
    revision = options.revision or (0 if options.initial_events else now)
    return Wish(kind, shaped, options.is_wanted, revision, options.initial_events, options.bookmarks, options.timeout_s)
