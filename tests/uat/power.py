#!/usr/bin/env python3
"""Whether the order journal outlives a loss of power: what was told to a caller, or executed, is in it afterwards.

For two machines: the proxy runs on the one that loses its power, this script and the stand-in exchange on the other.

    crypto-proxy sandbox --listen 192.0.2.1:9100 --env-file-out sandbox.env --executed executed.jsonl
    power.py drive --url http://192.0.2.2:9000 --told told.txt      # until the proxy is gone: pull the plug meanwhile
    power.py judge --url http://192.0.2.2:9000 --told told.txt --executed executed.jsonl      # once it is back
"""

import argparse
import http.client
import itertools
import json
import os
import pathlib
import sys
import threading
import urllib.error
import urllib.request
import uuid

ORDER = {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1000", "quantity": "0.0001"}
OPEN = urllib.request.build_opener(urllib.request.ProxyHandler({})).open


def ask(url, path, body=None):
    headers = {"X-Proxy-Token": os.environ["CRYPTO_PROXY_TOKEN"], "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with OPEN(urllib.request.Request(f"{url}{path}", data, headers), timeout=15) as answer:
        return json.load(answer)


def drive(options):
    """Eight at once place orders, and write down each name once its answer is there."""
    run, lock = uuid.uuid4().hex[:12], threading.Lock()
    with options.told.open("a") as told:

        def place(caller):
            for number in itertools.count():
                name = f"power-{run}-{caller}-{number}"
                try:
                    answer = ask(options.url, "/proxy/private", {"method": "private/create-order",
                                                                 "params": {**ORDER, "client_oid": name}})
                except urllib.error.HTTPError as error:
                    error.close()
                    continue
                except (OSError, http.client.HTTPException, ValueError):
                    return
                if answer["body"].get("code") == 0:
                    with lock:
                        told.write(f"{name}\n")
                        told.flush()
                        os.fsync(told.fileno())

        callers = [threading.Thread(target=place, args=(caller,)) for caller in range(8)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    print(f"the proxy is gone; {len(options.told.read_text().split())} names were told to be executed")


def judge(options):
    """Nothing that was told or executed is unknown to the journal, or free to be sent again."""
    told = options.told.read_text().split()
    executed = [json.loads(line)["client_oid"] for line in options.executed.read_text().splitlines()]
    states, lost = {}, []
    for name in dict.fromkeys([*told, *executed]):
        try:
            state = ask(options.url, f"/orders/{name}")["attempts"][0]["state"]
        except urllib.error.HTTPError as error:
            error.close()
            state = f"unknown to the journal (HTTP {error.code})"
        states[state] = states.get(state, 0) + 1
        if state not in ("answered", "executed", "unknown", "running"):
            lost.append(f"{name}: {state}")
    twice = len(executed) - len(set(executed))
    print(f"{len(told)} told, {len(executed)} executed at the exchange; the journal says: {states}")
    print(f"assumes: each of them is known; {len(lost)} are lost, {twice} were executed twice")
    if lost or twice or not told:
        sys.exit(f"NOT AS THE PRODUCT ASSUMES: {lost[:20]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("drive", "judge"))
    parser.add_argument("--url", default=os.environ.get("CRYPTO_PROXY_URL", "http://127.0.0.1:9000"))
    parser.add_argument("--told", type=pathlib.Path, required=True, help="the names that were told to be executed")
    parser.add_argument("--executed", type=pathlib.Path, help="the stand-in's own file")
    options = parser.parse_args()
    {"drive": drive, "judge": judge}[options.what](options)


main()
