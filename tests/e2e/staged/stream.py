"""A program on a stream: subscribes to one channel, and prints the answer to that. Then prints the other ends of all
connections to port 443 that are open meanwhile, one a line.

    stream.py user|market CHANNEL <FILE-WITH-THE-TOKEN'S-HEADER
"""

import json
import socket
import struct
import subprocess
import sys

SIDE, CHANNEL = sys.argv[1:]
SECONDS = 10
OPENING = f"""GET /exchange/v1/{SIDE} HTTP/1.1
Host: 127.0.0.1:9000
{sys.stdin.readline().strip()}
Connection: Upgrade
Upgrade: websocket
Sec-WebSocket-Version: 13
Sec-WebSocket-Key: aW52ZW50ZWQtMTYtYnl0ZQ==

"""


def send(stream, message):
    text = json.dumps(message).encode()
    assert len(text) < 126
    # Masked, as a client must, by a mask that changes nothing.
    stream.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
    stream.flush()


def receive(stream):
    _, length = stream.read(2)
    if length == 126:
        length = struct.unpack(">H", stream.read(2))[0]
    return json.loads(stream.read(length))


with socket.create_connection(("127.0.0.1", 9000), SECONDS) as connection:
    stream = connection.makefile("rwb")
    stream.write(OPENING.replace("\n", "\r\n").encode())
    stream.flush()
    while stream.readline().strip():
        pass
    send(stream, {"id": 1, "method": "subscribe", "params": {"channels": [CHANNEL]}})
    while (answer := receive(stream)).get("id") != 1:
        if answer.get("method") == "public/heartbeat":
            send(stream, {"id": answer["id"], "method": "public/respond-heartbeat"})
    print(json.dumps(answer), flush=True)
    subprocess.run("ss -Htn state established '( dport = :443 )' | awk '{print $4}'", shell=True, check=True)
