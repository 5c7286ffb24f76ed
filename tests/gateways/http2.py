"""A client of HTTP/2 without TLS that writes its own frames: what a library would correct reaches the gateway as it
is.
"""

import socket
from types import ModuleType

from tests.gateways.driver import WAIT_S, Request, Sent, now_us

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_CANCEL = 8
_WINDOW = 1 << 24


class Http2:
    """A connection; its requests are streams 1, 3, 5, …, which may be open at the same time.

    Answers are counted with their frames' heads.
    """

    def __init__(self, port: int, hpack: ModuleType) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._file = self._socket.makefile("rb")
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self._next = 1
        self._open: dict[int, Sent] = {}
        self._socket.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"\0\4" + _WINDOW.to_bytes(4)))
        self._socket.sendall(_frame(_WINDOW_UPDATE, 0, 0, _WINDOW.to_bytes(4)))

    def close(self) -> None:
        self._file.close()
        self._socket.close()

    def send(self, request: Request) -> int:
        """Send a request; the number of its stream. Its size is that of its frames without their heads."""
        stream, self._next = self._next, self._next + 2
        fields = [
            (b":method", request.method),
            (b":scheme", b"http"),
            (b":path", request.target),
            *([] if request.host is None else [(b":authority", request.host)]),
            *((name.lower(), value) for name, value in request.headers),
            *([(b"content-length", b"%d" % len(request.body))] if request.body else []),
        ]
        began = now_us()
        block = self._encoder.encode(fields, huffman=False)
        flags = _END_HEADERS | (0 if request.body else _END_STREAM)
        frames = _frame(_HEADERS, flags, stream, block)
        parts = [request.body[i : i + 16384] for i in range(0, len(request.body), 16384)]
        for part in parts:
            frames += _frame(_DATA, _END_STREAM if part is parts[-1] else 0, stream, part)
        self._socket.sendall(frames)
        self._open[stream] = Sent(request, began, began, len(block) + len(request.body), is_http2=True)
        return stream

    def cancel(self, stream: int) -> Sent:
        """Give up a stream whose answer has begun."""
        while not self._open[stream].content:
            self._read()
        self._socket.sendall(_frame(_RST_STREAM, 0, stream, _CANCEL.to_bytes(4)))
        return self._open.pop(stream)._replace(ended_us=now_us())

    def answers(self, *streams: int) -> list[Sent]:
        """Read until all of these streams have ended."""
        ended: set[int] = set()
        while not ended >= set(streams):
            ended.add(self._read())
        return [self._open[stream]._replace(ended_us=now_us()) for stream in streams]

    def _read(self) -> int:
        """Read a frame; the number of the stream that it ends, or 0."""
        head = self._file.read(9)
        assert len(head) == 9, "the connection ended"
        payload = self._file.read(int.from_bytes(head[:3]))
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:]) & 0x7FFFFFFF
        assert kind != _GOAWAY or payload[4:8] == b"\0\0\0\0", payload
        if kind == _SETTINGS and not flags & _ACK:
            self._socket.sendall(_frame(_SETTINGS, _ACK, 0, b""))
        elif kind == _PING and not flags & _ACK:
            self._socket.sendall(_frame(_PING, _ACK, 0, payload))
        elif kind == _RST_STREAM:
            return stream
        elif kind in {_HEADERS, _DATA}:
            self._add(stream, kind, payload)
            return stream if flags & _END_STREAM else 0
        return 0

    def _add(self, stream: int, kind: int, payload: bytes) -> None:
        if kind == _HEADERS:
            fields = dict(self._decoder.decode(payload, raw=True))
            status = int(fields.get(b":status", b"0"))
        if stream not in self._open:
            return
        sent = self._open[stream]
        if kind == _HEADERS:
            sent = sent._replace(status=status or sent.status, received=sent.received + 9 + len(payload))
        else:
            size = len(payload)
            sent = sent._replace(
                received=sent.received + 9 + size,
                received_body=sent.received_body + 9 + size,
                content=sent.content + size,
            )
        self._open[stream] = sent


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
