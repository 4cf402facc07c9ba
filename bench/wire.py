"""Just enough HTTP/1.1 framing for the load tool: where a message ends, and what one of its fields says.

Responsible for: measuring one message (Content-Length or chunked) in a buffer, cheaply.
Must not: judge a message, keep state, or become a general HTTP parser. Heads are made lower-case once, so
everything compared with them (paths, ids, run names) must be lower-case too.
"""

HEAD_END = b"\r\n\r\n"
HEAD_LIMIT = 64 * 1024
"""Bytes; a longer head is not HTTP from anyone we measure."""


class NotHttpError(Exception):
    """The bytes cannot be framed; the connection is of no further use."""


def measure(data: bytes) -> tuple[bytes, int]:
    """The lower-case head and the length of the whole first message in `data`.

    A length of 0: the head is not all here. A length over `len(data)`: at least so many bytes are needed.
    """
    end = data.find(HEAD_END)
    if end < 0:
        if len(data) > HEAD_LIMIT:
            raise NotHttpError("the head has no end")
        return b"", 0
    head = data[:end].lower()
    start = end + 4
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        stop = head.find(b"\r\n", at + 17)
        value = head[at + 17 :] if stop < 0 else head[at + 17 : stop]
        try:
            return head, start + int(value)
        except ValueError:
            raise NotHttpError(f"Content-Length is {value!r}") from None
    if b"\r\ntransfer-encoding:" in head and field(head, b"transfer-encoding").endswith(b"chunked"):
        return head, _chunked_end(data, start)
    return head, start


def _chunked_end(data: bytes, at: int) -> int:
    """Where the chunked body that starts at `at` ends; over `len(data)` when it is not all here."""
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return len(data) + 1
        try:
            size = int(data[at:line_end].split(b";", 1)[0], 16)
        except ValueError:
            raise NotHttpError("a chunk without a size") from None
        if size == 0:
            return _trailer_end(data, line_end + 2)
        at = line_end + 2 + size + 2
        if at > len(data):
            return at


def _trailer_end(data: bytes, at: int) -> int:
    """Where the trailer fields (usually none) after the last chunk end."""
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return len(data) + 1
        if line_end == at:
            return at + 2
        at = line_end + 2


def field(head: bytes, name: bytes) -> bytes:
    """The value of the field `name` in a lower-case head; empty when it is not there."""
    at = head.find(b"\r\n" + name + b":")
    if at < 0:
        return b""
    start = at + len(name) + 3
    stop = head.find(b"\r\n", start)
    return (head[start:] if stop < 0 else head[start:stop]).strip()


def closes(head: bytes) -> bool:
    """True when the peer says that this connection ends after this message."""
    return b"\r\nconnection:" in head and field(head, b"connection") == b"close"
