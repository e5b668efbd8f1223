#!/usr/bin/env python3
"""Whether a call is refused whose nonce is more than 60 s old: what makes an attempt that got stuck dead.

Run it through a proxy whose clock is 70 s slow: `faketime -f -70s crypto-proxy serve …` (README.md).
"""

import re
import sys

from exchange import Exchange, a_name, arguments

if __name__ == "__main__":
    with Exchange(arguments(__doc__).parse_args(), is_refused=True) as exchange:
        clock = [one["says"] for one in exchange.diagnosis(exchange.options.url)["findings"] if one["probe"] == "clock"]
        slow = re.search(r"(\d+) ms behind", " ".join(clock))
        if not slow or int(slow[1]) < 61_000:
            sys.exit(f"the clock of the proxy's host is not 61 s slow: {clock}")
        placed = exchange.place(a_name())
        exchange.shows("Is an order refused whose nonce is 70 s old?", f"{placed}",
                       "yes, with 40102: nothing of an attempt arrives later than 60 s after its nonce",
                       placed.code in (40102, 10007))
