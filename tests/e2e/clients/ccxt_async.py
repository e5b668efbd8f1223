"""ccxt with asyncio, unmodified."""

import ccxt.async_support

import ccxt_steps
import steps

if __name__ == "__main__":
    steps.run(ccxt_steps.Steps(ccxt.async_support), "steps.txt", "names_steps.txt")
