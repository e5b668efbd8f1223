#!/usr/bin/env python3
"""For how long the exchange remembers a name. Run it again after an hour, a day, a month: it keeps its names in a file.

Each run leaves one more name, of an order that it cancels; asks for all earlier ones; and with --fresh places the oldest
one again, which then counts as new.
"""

import json
import pathlib
import time

from exchange import Exchange, a_name, arguments

# So long the proxy takes "not found" for proof that an order never arrived.
ASSUMED_S = 3600


def age(name, now):
    hours = (now - name["at"]) / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"


def main():
    parser = arguments(__doc__)
    parser.add_argument("--memory", type=pathlib.Path, default="names.json", help="where its names are kept")
    options = parser.parse_args()
    names = json.loads(options.memory.read_text()) if options.memory.exists() else []
    with Exchange(options) as exchange:
        now = time.time()
        for name in names:
            found = exchange.detail(client_oid=name["name"])
            exchange.shows(f"Is an order found by its name after {age(name, now)}?", str(found),
                           f"yes, up to {ASSUMED_S // 3600} h; later nothing is concluded from it",
                           found.code == 0 or now - name["at"] > ASSUMED_S)
        if names and options.fresh:
            oldest = names.pop(0)
            again = exchange.place(oldest["name"], fresh=True)
            exchange.shows(f"Is the name taken after {age(oldest, now)}?", f"placed again: {again}",
                           "nothing: the proxy itself remembers it for 90 days, and as long as the order may be open")
        name = a_name()
        placed = exchange.place(name)
        exchange.shows("A name for the next run", f"{name}: {placed}", "that it is run again", placed.code == 0)
        options.memory.write_text(json.dumps([*names, {"name": name, "at": now}]))


if __name__ == "__main__":
    main()
