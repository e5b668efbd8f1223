"""A TCP recorder between two programs: passes bytes on and keeps them, one file for each direction of each connection.

    recorder.py HOST:PORT DIRECTORY

Prints the port that it listens on. `DIRECTORY/<n>.sent` is what the connecting side said, `DIRECTORY/<n>.got` what it
got. Nothing is interpreted, and an end of one side is passed on as such.
"""

import asyncio
import itertools
import pathlib
import sys


async def pass_on(reader, writer, path):
    with path.open("wb", buffering=0) as file:
        try:
            while data := await reader.read(1 << 16):
                file.write(data)
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
        except OSError:
            writer.transport.abort()


async def main(address, directory):
    host, port = address.rsplit(":", 1)
    numbers = itertools.count()

    async def connected(reader, writer):
        number = next(numbers)
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.transport.abort()
            return
        sent = pass_on(reader, far_writer, directory / f"{number}.sent")
        got = pass_on(far_reader, writer, directory / f"{number}.got")
        await asyncio.gather(sent, got)
        far_writer.close()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main(sys.argv[1], pathlib.Path(sys.argv[2])))
