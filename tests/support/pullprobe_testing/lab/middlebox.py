"""A middlebox on the path to chosen services: it forwards connections, except those that it breaks.

The router's nft rules redirect connections here, as a transparent proxy gets them. What is passed
on is passed on byte by byte, so TLS stays between the task and the service. What happens to a
connection, and to which ones, are the two words of a `Box`:

hang           says nothing after the TCP handshake
hang-answer    lets the TLS handshake pass and then says nothing
reset, close   ends the connection at the first bytes of the client
cut            ends the connection in the middle of the first answer
delay:SECONDS  holds the first answer back
delay-hello:SECONDS  holds the client's first bytes back
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
PATIENCE = 2  # seconds; a client that leaves earlier did not want the connection
MET = "a client met the fault"
# Bytes with which a client ends its TLS 1.3 handshake, at most; a request has more.
MAX_FINISHED = 100
CUT_AFTER = 100  # bytes; in the middle of a TLS record


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

        def chosen():
            number = self.counts.get(dependency, 0)
            self.counts[dependency] = number + 1
            return chooses(when, number)

        # A connection counts when the fault can act on it: those that only connect do not.
        first = await reader.read(65536)
        if not first:
            return
        of_answer = action.partition(":")[0] in ("hang-answer", "cut", "delay")
        if of_answer or not chosen():
            action = action if of_answer else "pass"
            await relay(reader, writer, first, (address, 443), action, chosen)
        elif action == "answer":
            note()
            await relay(reader, writer, first, ("127.0.0.1", ANSWERING_PORT), "pass", chosen)
        elif action.startswith("delay-hello:"):
            await asyncio.sleep(float(action.partition(":")[2]))
            await relay(reader, writer, first, (address, 443), "pass", chosen)
        elif action == "hang":
            began = asyncio.get_running_loop().time()
            while await reader.read(65536):  # until the client gives up
                pass
            if asyncio.get_running_loop().time() - began > PATIENCE:
                note()
        else:
            note()
            if action == "reset":
                reset(writer)


async def relay(reader, writer, first, target, action, chosen):
    """Passes bytes on in both directions; `action` happens to the first answer if it is chosen."""
    server_reader, server_writer = await asyncio.open_connection(*target)
    server_spoke, from_client = False, 0  # bytes of the client since the server spoke

    async def upwards():
        nonlocal from_client
        data = first
        while data:
            from_client += len(data) if server_spoke else 0
            server_writer.write(data)
            await server_writer.drain()
            data = await reader.read(65536)
        server_writer.write_eof()

    async def downwards():
        nonlocal server_spoke
        word, _, seconds = action.partition(":")
        undecided = word != "pass"
        while data := await server_reader.read(65536):
            server_spoke = True
            if undecided and from_client > MAX_FINISHED:
                undecided = False
                if not chosen():
                    word = "pass"
                if word == "hang-answer":
                    await asyncio.sleep(PATIENCE)
                    note()
                    await asyncio.sleep(HANG)
                if word == "delay":
                    await asyncio.sleep(float(seconds))
                if word == "cut":
                    note()
                    writer.write(data[:CUT_AFTER])
                    await writer.drain()
                    return
            writer.write(data)
            await writer.drain()

    both = [asyncio.create_task(upwards()), asyncio.create_task(downwards())]
    try:
        # A client that leaves is not waited for; a server that has ended its answer is enough.
        waiting = both if action == "hang-answer" else both[1:]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in both:
            task.cancel()
        server_writer.close()


def original_destination(connection):
    """Returns the address that the client connected to before nft redirected the connection."""
    raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return socket.inet_ntoa(struct.unpack("!2xH4s8x", raw)[1])


def note():
    """Notes in the log that a client met the fault."""
    print(MET, flush=True)


def reset(writer):
    """Ends a connection with RST instead of FIN."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def main(boxes):
    server = await asyncio.start_server(Middlebox(boxes).accept, "0.0.0.0", PORT, backlog=128)
    await server.serve_forever()


HTML = "<html><head><title>Access denied</title></head><body>Blocked by policy 17.</body></html>"
# What a middlebox answers: status, content type, body, and one more header.
GATEWAY = "x-amzn-RequestId 8f1a-2b always; add_header x-amzn-ErrorType ForbiddenException"
ANSWERS = {
    "403-html": (403, "text/html", HTML, ""),
    "403-json": (403, "application/json", '{"message":"Forbidden"}', ""),
    "403-text": (403, "text/plain", "Blocked by firewall policy", ""),
    "401": (401, "text/html", HTML, "WWW-Authenticate 'Basic realm=\"Corporate proxy\"'"),
    "404": (404, "text/html", "<html><title>404 Not Found</title></html>", ""),
    "511": (511, "text/html", HTML, ""),
    # Amazon API Gateway, with a proxy behind it
    "403-gateway": (403, "application/json", '{"message":"Forbidden"}', GATEWAY),
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
