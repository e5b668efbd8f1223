"""ccxt, synchronous, unmodified."""

import ccxt

import ccxt_steps
import steps

if __name__ == "__main__":
    steps.run(ccxt_steps.Steps(ccxt), "steps.txt", "names_steps.txt")
