"""Searches recorded connections for secrets, in every spelling that a program might give them.

    search.py DIRECTORY... < secrets

Standard input: one `name=value` a line. Prints the names that were found, sorted, in one line. Spellings: raw, hex,
base64 in its three alignments and both alphabets, reversed; each without regard to case, and every eight characters of
it in a row. Frames of a WebSocket are read without their mask; a compressed one cannot be searched and is an error.
"""

import base64
import pathlib
import sys

PIECE = 8


def spellings(secret):
    raw = secret.encode()
    yield raw
    yield raw[::-1]
    yield raw.hex().encode()
    for before in range(3):
        text = base64.b64encode(b"x" * before + raw)
        # The edges depend on what stands beside the secret.
        inner = text[4 if before else 0 : (len(raw) + before) // 3 * 4]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def pieces(secret):
    for text in spellings(secret):
        text = text.lower()
        yield from (text[at : at + PIECE] for at in range(len(text) - PIECE + 1))


def frames(data):
    """The payloads of WebSocket frames, one after the other."""
    out, at = bytearray(), 0
    while at + 2 <= len(data):
        first, length, masked, at = data[at], data[at + 1] & 127, data[at + 1] & 128, at + 2
        if first & 0x70:
            sys.exit("a frame with extension bits: what it carries cannot be searched")
        wide = {126: 2, 127: 8}.get(length, 0)
        if wide:
            length, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        mask, at = (data[at : at + 4], at + 4) if masked else (b"\0" * 4, at)
        out += bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[at : at + length]))
        at += length
    return bytes(out)


def readable(path):
    data = path.read_bytes()
    head, _, rest = data.partition(b"\r\n\r\n")
    is_stream = b"upgrade: websocket" in head.lower()
    return head + (frames(rest) if is_stream else b"\r\n\r\n" + rest)


def main(directories):
    secrets = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if not secrets or any(len(value) < PIECE for value in secrets.values()):
        sys.exit("nothing to search for, or too short")
    recorded = [path for directory in directories for path in pathlib.Path(directory).iterdir()]
    if not recorded:
        sys.exit("nothing was recorded")
    text = b"\n".join(readable(path) for path in recorded).lower()
    windows = {text[at : at + PIECE] for at in range(len(text) - PIECE + 1)}
    print(" ".join(sorted(name for name, value in secrets.items() if any(piece in windows for piece in pieces(value)))))


main(sys.argv[1:])
