"""A middlebox on the way to chosen services: it passes connections on, except those that it spoils.

The router's nft rules redirect connections here, as a transparent proxy gets them. What is passed
on is passed on byte by byte, so TLS stays between the task and the service. What happens to a
connection, and to which ones, are the two words of a `Box`:

hang           says nothing after the TCP handshake
hang-answer    lets the TLS handshake pass and then says nothing
reset, close   ends the connection at the first bytes of the client
cut            ends the connection in the middle of the first answer
delay:SECONDS  holds the first answer back
answer         connects to a server of its own, which answers in the service's place

always, once (the first connection), turn:N (every Nth, from the first), chance:PERCENT
"""

import asyncio
import contextlib
import dataclasses
import json
import random
import socket
import struct
import sys

PORT = 8445
ANSWERING_PORT = 8444  # of the servers that answer in a service's place
SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
HANG = 90  # seconds: longer than any run of the probe
# Bytes of the server after the TLS handshake that a cut answer has: more than the two session
# tickets, and less than any answer.
CUT_AFTER = 700
CHANGE_CIPHER_SPEC_LENGTH = 6  # bytes, with the record's header


@dataclasses.dataclass(frozen=True)
class Box:
    """What a middlebox does to the connections of one dependency."""

    action: str
    when: str = "always"
    answer: str = ""  # what `answer` says; see ANSWERS


def chooses(when, number):
    """Whether the connection with this number, counted from 0, is one of those to spoil."""
    word, _, value = when.partition(":")
    if word == "once":
        return number == 0
    if word == "turn":
        return number % int(value) == 0
    if word == "chance":
        return random.random() * 100 < int(value)
    return True


class Middlebox:
    """The server: address -> (dependency, action, when). Connections count for each dependency."""

    def __init__(self, boxes):
        self.boxes, self.counts = boxes, {}

    async def accept(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await self._handle(reader, writer)
        writer.close()

    async def _handle(self, reader, writer):
        address = original_destination(writer.get_extra_info("socket"))
        dependency, action, when = self.boxes[address]
        number = self.counts.get(dependency, 0)
        self.counts[dependency] = number + 1
        if not chooses(when, number):
            action = "pass"
        if action == "hang":
            await asyncio.sleep(HANG)
        elif action in ("reset", "close"):
            await reader.read(1)
            if action == "reset":
                reset(writer)
        else:
            own = action == "answer"
            target = ("127.0.0.1", ANSWERING_PORT) if own else (address, 443)
            await relay(reader, writer, target, action)


async def relay(reader, writer, target, action):
    """Passes bytes on in both directions; `action` happens to the first answer."""
    server_reader, server_writer = await asyncio.open_connection(*target)
    handshake_over = asyncio.Event()
    server_spoke = False

    async def upwards():
        while data := await reader.read(65536):
            if server_spoke and says_finished(data):
                handshake_over.set()
            server_writer.write(data)
            await server_writer.drain()
        server_writer.write_eof()

    async def downwards():
        nonlocal server_spoke
        word, _, seconds = action.partition(":")
        left = CUT_AFTER if word == "cut" else None
        while data := await server_reader.read(65536):
            server_spoke = True
            if handshake_over.is_set():
                if word == "hang-answer":
                    await asyncio.sleep(HANG)
                if word == "delay":
                    await asyncio.sleep(float(seconds))
                    word = "pass"
                if left is not None:
                    data = data[:left]
                    left -= len(data)
            writer.write(data)
            await writer.drain()
            if left == 0:
                return

    both = [asyncio.create_task(upwards()), asyncio.create_task(downwards())]
    try:
        # The connection is over when the server, or the middlebox in its place, has ended it.
        await both[1]
    finally:
        for task in both:
            task.cancel()
        server_writer.close()


def says_finished(data):
    """Whether these bytes of the client end its TLS 1.3 handshake.

    They are encrypted; a change_cipher_spec before them is sent at the ServerHello already.
    """
    return data[:1] == b"\x17" or data[:1] == b"\x14" and len(data) > CHANGE_CIPHER_SPEC_LENGTH


def original_destination(connection):
    """Returns the address that the client connected to before nft redirected the connection."""
    raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(struct.unpack("!2xH4s8x", raw)[1])


def reset(writer):
    """Ends a connection with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def main(boxes):
    server = await asyncio.start_server(Middlebox(boxes).accept, "0.0.0.0", PORT, backlog=128)
    await server.serve_forever()


HTML = "<html><head><title>Access denied</title></head><body>Blocked by policy 17.</body></html>"
# What a middlebox answers: status, content type, body, and one more header.
ANSWERS = {
    "403-html": (403, "text/html", HTML, ""),
    "403-json": (403, "application/json", '{"message":"Forbidden"}', ""),
    "403-text": (403, "text/plain", "Blocked by firewall policy", ""),
    "401": (401, "text/html", HTML, "WWW-Authenticate 'Basic realm=\"Corporate proxy\"'"),
    "404": (404, "text/html", "<html><title>404 Not Found</title></html>", ""),
    "429": (429, "text/plain", "Too many requests", "Retry-After 30"),
    "200-object": (200, "application/json", "{}", ""),
    "200-empty": (200, "application/json", "", ""),
}


def answer_location(answer):
    """Returns nginx's clause that gives one of `ANSWERS`."""
    status, content_type, body, header = ANSWERS[answer]
    lines = [f"default_type {content_type};"]
    lines += [f"add_header {header} always;"] if header else []
    return f"location / {{ {' '.join(lines)} return {status} '{body}'; }}"


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
