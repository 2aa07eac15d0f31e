"""A network in memory: bytes take time, arrive in any pieces, and lines break; all as the loop's seed decides.

Between two machines bytes keep their order, as in TCP. A line that breaks loses what is under way, and both ends hear
of it, each at its own moment; a line that is cut (`partition`) delivers nothing until it is healed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from mq.tests.simulation.loop import Machine, SimulatedLoop, machine

Factory = Callable[[], Any]


class Network:
    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self._listeners: dict[int, tuple[Machine, Factory]] = {}
        self.lines: list[Line] = []
        self._next_port = 40_000
        self.mean_delay_s = 0.001
        #: Names of machines that nothing reaches at present.
        self.cut_off: set[str] = set()

    def listen(self, host: str, port: int, factory: Factory) -> Listener:
        taken = self._listeners.get(port)
        if taken is not None and taken[0].is_alive:
            raise OSError(98, f"{host}:{port} is taken")
        self._listeners[port] = machine.get(), factory
        return Listener(self, host, port)

    def stop_listening(self, port: int) -> None:
        self._listeners.pop(port, None)

    async def connect(self, host: str, port: int, factory: Factory) -> tuple[End, Any]:
        await asyncio.sleep(self.delay_s())
        client = machine.get()
        server, server_factory = self._listeners.get(port, (None, None))
        if server is None or server_factory is None or not server.is_alive:
            raise ConnectionRefusedError(111, f"nobody listens on {host}:{port}")
        if self.is_cut(client, server):
            await asyncio.sleep(60)
            raise TimeoutError(f"no answer from {host}:{port}")
        self._next_port += 1
        line = Line(self, (client, (host, self._next_port)), (server, (host, port)))
        self.lines.append(line)
        line.ends[1].open(server_factory)
        line.ends[0].open(factory)
        return line.ends[0], line.ends[0].protocol

    def delay_s(self) -> float:
        return self._loop.chance.expovariate(1 / self.mean_delay_s)

    def is_cut(self, one: Machine, other: Machine) -> bool:
        return one is not other and bool({one.name, other.name} & self.cut_off)

    def heal(self) -> None:
        self.cut_off.clear()
        for line in self.lines:
            for end in line.ends:
                end.deliver_soon()

    def kill(self, victim: Machine) -> None:
        """Nothing of it runs on; its peers' lines break."""
        victim.is_alive = False
        for line in [line for line in self.lines if victim in (line.ends[0].owner, line.ends[1].owner)]:
            line.break_()


class Listener:
    """As much of `asyncio.Server` as a remoting server uses."""

    def __init__(self, network: Network, host: str, port: int) -> None:
        self._network, self._address = network, (host, port)
        self.sockets = [self]

    def getsockname(self) -> tuple[str, int]:
        return self._address

    def close(self) -> None:
        self._network.stop_listening(self._address[1])

    async def wait_closed(self) -> None:
        return


class Line:
    def __init__(self, network: Network, client: tuple[Machine, Any], server: tuple[Machine, Any]) -> None:
        self.network = network
        self.is_broken = False
        self.ends = End(self, 0, *client), End(self, 1, *server)

    def break_(self) -> None:
        if not self.is_broken:
            self.is_broken = True
            self.network.lines.remove(self)
            for end in self.ends:
                end.lose(ConnectionResetError("the line broke"))


class End(asyncio.Transport):
    """One end of a line, and what is on its way to it."""

    def __init__(self, line: Line, side: int, owner: Machine, address: tuple[str, int]) -> None:
        super().__init__()
        self._line, self._side = line, side
        self._loop: SimulatedLoop = line.network._loop
        self.owner, self.address = owner, address
        self.protocol: Any = None
        self._incoming: deque[bytes] = deque()
        self._is_paused = self._is_closing = self._is_scheduled = False

    @property
    def _peer(self) -> End:
        return self._line.ends[1 - self._side]

    def open(self, factory: Factory) -> None:
        token = machine.set(self.owner)  # Whatever the protocol starts, it starts on its own machine.
        try:
            self.protocol = factory()
            self.protocol.connection_made(self)
        finally:
            machine.reset(token)

    def write(self, data: Any) -> None:
        if not self._is_closing and not self._line.is_broken:
            self._peer._incoming.append(bytes(data))
            self._peer.deliver_soon()

    def deliver_soon(self) -> None:
        if not self._is_scheduled and self._incoming:
            self._is_scheduled = True
            self._on_its_machine(self._loop.call_later, self._line.network.delay_s(), self._deliver)

    def _deliver(self) -> None:
        self._is_scheduled = False
        network = self._line.network
        if (
            self._line.is_broken
            or self._is_paused
            or not self._incoming
            or network.is_cut(self.owner, self._peer.owner)
        ):
            return
        data = b"".join(self._incoming)
        self._incoming.clear()
        if self._loop.chance.random() < 0.3:
            cut = self._loop.chance.randrange(1, len(data) + 1)
            data, rest = data[:cut], data[cut:]
            if rest:
                self._incoming.append(rest)
        self.protocol.data_received(data)
        if self._peer._is_closing and not self._incoming:
            self._line.break_()
        self.deliver_soon()

    def lose(self, error: Exception | None) -> None:
        self._on_its_machine(self._loop.call_later, self._line.network.delay_s(), self.protocol.connection_lost, error)

    def _on_its_machine(self, schedule: Callable[..., Any], *args: Any) -> None:
        token = machine.set(self.owner)
        try:
            schedule(*args)
        finally:
            machine.reset(token)

    # What asyncio's protocols ask of a transport

    def close(self) -> None:
        self._is_closing = True
        if not self._peer._incoming:
            self._line.break_()

    def abort(self) -> None:
        self._line.break_()

    def is_closing(self) -> bool:
        return self._is_closing or self._line.is_broken

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": self._peer.address, "sockname": self.address}.get(name, default)

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever too much: how a slow reader is treated has tests of its own, on real sockets."""

    def pause_reading(self) -> None:
        self._is_paused = True

    def resume_reading(self) -> None:
        self._is_paused = False
        self.deliver_soon()
