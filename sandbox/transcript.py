"""What the agent printed, cut in the middle when it is too much."""

from monastery.runtime.records import Transcript


class Recorder:
    """Keeps the beginning and the end of what it is fed, each up to half of the limit [bytes]."""

    def __init__(self, limit_bytes: int) -> None:
        self._tail_bytes = limit_bytes // 2
        self._head_bytes = limit_bytes - self._tail_bytes
        self._head = bytearray()
        self._tail = bytearray()
        self._seen_bytes = 0

    def add(self, data: bytes) -> None:
        """Record what was printed."""
        self._seen_bytes += len(data)
        room = self._head_bytes - len(self._head)
        self._head += data[:room]
        self._tail += data[room:] if room < len(data) else b""
        if len(self._tail) > 2 * self._tail_bytes + 65536:  # not at each byte: it moves memory
            del self._tail[: len(self._tail) - self._tail_bytes]

    def miss(self, size_bytes: int) -> None:
        """Count what was printed while nobody listened."""
        self._seen_bytes += size_bytes

    def take(self) -> Transcript:
        """Return what was kept, and begin anew."""
        tail = self._tail[max(0, len(self._tail) - self._tail_bytes) :]
        taken = Transcript(bytes(self._head + tail), self._seen_bytes)
        self._head.clear()
        self._tail.clear()
        self._seen_bytes = 0
        return taken
