"""A production of the test's own, at the exchange's own names: TLS in front of the stand-in, and the services that tell
callers their address. It believes every connection to come from the address that stands in the file of its family.

    production.py CHAIN KEY STAND-IN-PORT FOLDER-WITH-THE-FILES-4-AND-6
"""

import asyncio
import pathlib
import ssl
import sys

CHAIN, KEY, PORT, FOLDER = sys.argv[1:]
EXCHANGE = {"104.18.0.7", "2606:4700::7"}
PIECE = 1 << 16


async def carry(reader, writer):
    try:
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def exchange(reader, writer):
    there = await asyncio.open_connection("127.0.0.1", int(PORT))
    await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))


async def tell_the_address(reader, writer, family):
    while (line := await reader.readline()).strip():
        pass
    if not line:
        return
    text = pathlib.Path(FOLDER, family).read_text()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\nConnection: close\r\n\r\n"
    writer.write((head + text).encode())
    await writer.drain()


async def serve(reader, writer):
    here = writer.get_extra_info("sockname")[0].removeprefix("::ffff:")
    try:
        if here in EXCHANGE:
            await exchange(reader, writer)
        else:
            await tell_the_address(reader, writer, "6" if ":" in here else "4")
    except OSError:
        pass
    finally:
        writer.close()


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CHAIN, KEY)
    server = await asyncio.start_server(serve, ["0.0.0.0", "::"], 443, ssl=context)
    await server.serve_forever()


asyncio.run(main())
