"""The recipes of docs/clients.md for an order whose answer is lost: each ends with the id of the one order that there is."""

import asyncio
import os
import pathlib
import sys

import steps
from steps import KEY, LOST, REST, SECRET, OneOrder, check, exchange


class Steps:
    async def place(self, recipe):
        """Runs a recipe under each fault, as docs/clients.md has it."""
        told = {"CRYPTO_PROXY_URL": REST.removesuffix("/exchange/v1")}
        told |= {"CRYPTO_PROXY_VIRTUAL_KEY": KEY, "CRYPTO_PROXY_VIRTUAL_SECRET": SECRET}
        exchange.takes_names_again()
        for fault in LOST:
            with OneOrder(fault):
                path = pathlib.Path(os.environ["CLIENTS_RECIPES"]) / f"recipe_{recipe}"
                program = await asyncio.create_subprocess_exec(
                    sys.executable, path, env={**os.environ, **told}, stdout=asyncio.subprocess.PIPE)
                said, _ = await program.communicate()
            check(said.decode().strip() == exchange.executed()[-1]["order_id"], said)

    async def again_ccxt(self):
        await self.place("again_ccxt.py")

    async def again_cryptocom(self):
        await self.place("again_cryptocom.py")


if __name__ == "__main__":
    steps.run(Steps(), "again_steps.txt")
