"""A resolver that asks unbound and does not always return what unbound returned.

slow:SECONDS        answers that much later
servfail:once       fails the first query for each name
servfail:PERCENT    fails by chance
wrong-id            sends a forged answer with another transaction id first
loop                answers with two aliases that lead to each other
many:PREFIX         answers with 900 addresses below PREFIX (two octets)
"""

import asyncio
import random
import socket
import struct
import sys

UPSTREAM = "127.0.0.53"
UPSTREAM_TIMEOUT = 5  # seconds
HEADER = struct.Struct("!6H")  # id, flags, questions, answers, authorities, additionals
RESPONSE, TRUNCATED, SERVER_FAILURE = 0x8180, 0x0200, 2
TYPE_A, TYPE_CNAME, CLASS_IN, TTL = 1, 5, 1, 60
POINTER_TO_QUESTION = b"\xc0\x0c"
MANY = 900  # addresses: 14 KB, far more than a datagram
MAX_DATAGRAM = 1232  # bytes; what resolvers send over UDP since 2020
FORGED_ADDRESS = "198.51.100.66"


def question_of(query):
    """Returns the question section, the name in lower case, and the type."""
    at = HEADER.size
    labels = []
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii", "replace").lower())
        at += 1 + query[at]
    end = at + 5
    return (
        query[HEADER.size : end],
        ".".join(labels),
        struct.unpack("!H", query[at + 1 : at + 3])[0],
    )


def record(kind, content, owner=POINTER_TO_QUESTION):
    return owner + struct.pack("!HHIH", kind, CLASS_IN, TTL, len(content)) + content


def encode(name):
    labels = (bytes([len(label)]) + label.encode() for label in name.split("."))
    return b"".join(labels) + b"\0"


def response(query, records, code=0, identity=None):
    """Returns a response to `query` that consists of these records."""
    number = struct.unpack("!H", query[:2])[0] if identity is None else identity
    header = HEADER.pack(number, RESPONSE | code, 1, len(records), 0, 0)
    return header + question_of(query)[0] + b"".join(records)


class LyingResolver:
    def __init__(self, lie, names):
        self.word, _, self.value = lie.partition(":")
        self.names = tuple(names)  # suffixes of the names that it lies about; () are all
        self.failed = set()

    async def answer(self, query, over_tcp):
        """Returns the messages that answer a query, in their order."""
        _, name, kind = question_of(query)
        if self.names and not name.endswith(self.names):
            return [await ask(query, over_tcp)]
        if self.word == "slow":
            await asyncio.sleep(float(self.value))
        if self.word == "servfail" and self._fails(name, kind):
            return [response(query, [], SERVER_FAILURE)]
        if self.word == "loop":
            other = encode(f"a.loop.{name}")
            return [
                response(
                    query,
                    [
                        record(TYPE_CNAME, other),
                        record(TYPE_CNAME, encode(name), owner=other),
                    ],
                )
            ]
        if self.word == "many" and kind == TYPE_A:
            return [fitting(query, self._many(query), over_tcp)]
        messages = [await ask(query, over_tcp)]
        if self.word == "wrong-id" and kind == TYPE_A:
            identity = struct.unpack("!H", query[:2])[0] ^ 0x5555
            forged = [record(TYPE_A, socket.inet_aton(FORGED_ADDRESS))]
            messages.insert(0, response(query, forged, identity=identity))
        return messages

    def _fails(self, name, kind):
        if self.value != "once":
            return random.random() * 100 < int(self.value)
        first = (name, kind) not in self.failed
        self.failed.add((name, kind))
        return first

    def _many(self, query):
        addresses = (f"{self.value}.{20 + n // 250}.{1 + n % 250}" for n in range(MANY))
        return response(query, [record(TYPE_A, socket.inet_aton(ip)) for ip in addresses])


def fitting(query, message, over_tcp):
    """Returns the message, or the header alone with the mark that it is truncated."""
    if over_tcp or len(message) <= MAX_DATAGRAM:
        return message
    header = HEADER.pack(*struct.unpack("!H", query[:2]), RESPONSE | TRUNCATED, 1, 0, 0, 0)
    return header + question_of(query)[0]


async def ask(query, over_tcp):
    """Returns unbound's answer; over TCP if the client asked over TCP."""
    async with asyncio.timeout(UPSTREAM_TIMEOUT):
        if over_tcp:
            reader, writer = await asyncio.open_connection(UPSTREAM, 53)
            writer.write(struct.pack("!H", len(query)) + query)
            length = struct.unpack("!H", await reader.readexactly(2))[0]
            message = await reader.readexactly(length)
            writer.close()
            return message
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as upstream:
            upstream.setblocking(False)
            upstream.connect((UPSTREAM, 53))
            await loop.sock_sendall(upstream, query)
            return await loop.sock_recv(upstream, 65535)


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver):
        self.resolver, self.tasks = resolver, set()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, query, client):
        task = asyncio.ensure_future(self._answer(query, client))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _answer(self, query, client):
        for message in await self.resolver.answer(query, over_tcp=False):
            self.transport.sendto(message, client)


async def main(lie, addresses, names):
    resolver = LyingResolver(lie, names)

    async def accept(reader, writer):
        try:
            while True:
                length = struct.unpack("!H", await reader.readexactly(2))[0]
                query = await reader.readexactly(length)
                for message in await resolver.answer(query, over_tcp=True):
                    writer.write(struct.pack("!H", len(message)) + message)
                    await writer.drain()
        except (asyncio.IncompleteReadError, OSError, TimeoutError):
            writer.close()

    loop = asyncio.get_running_loop()
    for address in addresses:
        await loop.create_datagram_endpoint(lambda: Datagrams(resolver), (address, 53))
    server = await asyncio.start_server(accept, addresses, 53)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2].split(","), sys.argv[3].split()))
