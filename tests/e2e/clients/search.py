"""Searches recorded bytes for secrets, in every spelling that a program might give them.

    search.py DIRECTORY... < secrets

Standard input: `name=value` lines. Prints the names of those that were found, in one line. Any twelve bytes of a secret
in a row count, raw, reversed, in hex, or in base64 (three alignments, both alphabets), in capitals or not. The frames of
a WebSocket are read without their mask; compressed ones cannot be searched, and are an error.
"""

import base64
import pathlib
import sys

PIECE = 12


def spellings(piece):
    yield piece
    yield piece[::-1]
    yield piece.hex().encode()
    for before in range(3):
        text = base64.b64encode(b"\0" * before + piece)
        # Without the edges, which depend on what stands beside it.
        inner = text[-(-before * 8 // 6) : (before + len(piece)) * 8 // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def is_in(text, secret):
    raw = secret.encode()
    pieces = (raw[at : at + PIECE] for at in range(len(raw) - PIECE + 1))
    return any(spelling.lower() in text for piece in pieces for spelling in spellings(piece))


def payloads(data):
    """What the frames of a WebSocket carry."""
    carried, at = [], 0
    while at + 2 <= len(data):
        first, second, at = data[at], data[at + 1], at + 2
        if first & 0x70:
            sys.exit("a frame with extension bits: what it carries cannot be searched")
        length, wide = second & 127, {126: 2, 127: 8}.get(second & 127, 0)
        if wide:
            length, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        mask = b"\0\0\0\0"
        if second & 128:
            mask, at = data[at : at + 4], at + 4
        carried.append(bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[at : at + length])))
        at += length
    return b"\n".join(carried)


def readable(path):
    data = path.read_bytes()
    head, _, rest = data.partition(b"\r\n\r\n")
    is_stream = b"upgrade: websocket" in head.lower()
    return head + b"\n" + payloads(rest) if is_stream else data


def main(directories):
    secrets = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if not secrets or any(len(value) < PIECE for value in secrets.values()):
        sys.exit("nothing to search for, or too short")
    files = [path for directory in directories for path in pathlib.Path(directory).iterdir()]
    if not files:
        sys.exit("nothing was recorded")
    text = b"\n".join(map(readable, files)).lower()
    print(*sorted(name for name, value in secrets.items() if is_in(text, value)))


main(sys.argv[1:])
