#!/usr/bin/env python3
"""Orders exactly once, in a storm: many callers place named orders through the daemon at a stand-in that loses answers, while
the daemon is killed and frozen again and again. Every caller repeats a doubtful order under its name until it is certain.

The judge is the stand-in's own file of what it executed. Each name stands in it at most once; what was answered stands there;
what was given up after `refused` or `not_sent` does not.

    storm.py BINARY [--orders 2000] [--callers 32] [--seed 1] [--kill-every 4]
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

TOKEN = "invented-token-of-a-storm-0123456789"
FAULTS = [
    {"probability": 0.02, "do": "cut", "when": "after"},
    {"probability": 0.02, "do": "cut", "when": "before"},
    {"probability": 0.02, "do": "cut", "when": "within"},
    {"probability": 0.005, "do": "hang"},
    {"probability": 0.005, "do": "hang", "when": "after"},
    {"probability": 0.01, "do": "reset", "when": "late", "late_ms": 3000},
    {"probability": 0.02, "do": "reply", "when": "after", "status": 502, "content_type": "text/html", "body": "<html>"},
    {"probability": 0.02, "do": "reply", "status": 502, "content_type": "text/html", "body": "<html>"},
    {"probability": 0.02, "do": "code", "code": 50001},
    {"probability": 0.01, "do": "code", "code": 50001, "when": "after"},
    {"probability": 0.02, "do": "code", "code": 42901},
]
GIVEN_UP = 0.3  # Of the orders that are certain not to have been sent, so many are not tried again.


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Storm:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.executed = folder / "executed.jsonl"
        self.port, self.daemon = free_port(), None
        self.lock, self.done = threading.Lock(), threading.Event()
        self.words, self.last = collections.Counter(), {}
        self.stand_in = subprocess.Popen(
            [options.binary, "sandbox", "--listen", "127.0.0.1:0", "--env-file-out", folder / "sandbox.env",
             "--executed", self.executed],
            stdout=subprocess.PIPE, text=True, cwd=folder)
        self.upstream = self.stand_in.stdout.readline().split("http://")[1].split(";")[0].strip()
        # The exchange would refuse a second order of the same name; this one executes it, or nothing could be seen.
        self.command("/sandbox/state", {"names": "again"})
        self.command("/sandbox/script", {"target": "private/create-order", "seed": options.seed, "sometimes": FAULTS})

    def command(self, path, body):
        connection = http.client.HTTPConnection(self.upstream, timeout=10)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()

    def start(self):
        environment = dict(os.environ, CRYPTO_PROXY_TOKEN=TOKEN, CRYPTO_PROXY_LISTEN=f"127.0.0.1:{self.port}",
                           STATE_DIRECTORY=str(self.folder / "state"), **self.pair())
        self.log = open(self.folder / "daemon.log", "a")
        self.daemon = subprocess.Popen([self.options.binary, "serve"], env=environment, cwd=self.folder,
                                       stdout=self.log, stderr=self.log)

    def pair(self):
        lines = (self.folder / "sandbox.env").read_text().split()
        return dict(line.split("=", 1) for line in lines)

    def disturb(self):
        """Kills the daemon, or freezes it for a while, as long as most orders are not certain."""
        dice = random.Random(self.options.seed)
        while not self.done.wait(self.options.kill_every * dice.uniform(0.5, 1.5)):
            if len(self.last) > 0.9 * self.options.orders:
                continue
            if dice.random() < 0.3:
                self.daemon.send_signal(signal.SIGSTOP)
                self.done.wait(dice.uniform(0.2, 4))
                self.daemon.send_signal(signal.SIGCONT)
                continue
            self.daemon.kill()
            self.daemon.wait()
            with self.lock:
                self.words["kill -9"] += 1
            self.start()

    def ask(self, method, params):
        """The outcome, the exchange's code, and whether it is the answer to an earlier call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", "/proxy/private", json.dumps({"method": method, "params": params}),
                               {"Content-Type": "application/json", "X-Proxy-Token": TOKEN})
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return "lost", None, False
        finally:
            connection.close()
        inner = body.get("body") if isinstance(body.get("body"), dict) else {}
        return (answer.headers.get("X-Proxy-Outcome"), inner.get("code"),
                answer.headers.get("X-Proxy-Replayed") == "true")

    def place(self, dice, name):
        """Asks for an order once; the last word, or None where it is not certain yet."""
        params = {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT", "price": "1000", "quantity": "0.0001",
                  "client_oid": name}
        outcome, code, again = self.ask("private/create-order", params)
        word = f"{outcome}{'' if code is None else f' {code}'}{' again' if again else ''}"
        with self.lock:
            self.words[word] += 1
        if (outcome, code) in (("answered", 0), ("refused", 204)):
            return "executed"
        if outcome in ("refused", "not_sent") and dice.random() < GIVEN_UP:
            return "given up"
        return None

    def work(self, number):
        """Places this caller's orders, and asks again for those that are doubtful until all are certain."""
        dice = random.Random(self.options.seed * 1000 + number)
        names = [f"s{self.options.seed}-{number}-{count}" for count in range(self.options.orders // self.options.callers)]
        ends = None
        while names and (ends is None or time.monotonic() < ends):
            doubtful = []
            for name in names:
                word = self.place(dice, name)
                if word is None:
                    doubtful.append(name)
                else:
                    with self.lock:
                        self.last[name] = word
            # Nothing of an order can arrive any more after some two minutes; then it is settled within one.
            names, ends = doubtful, ends or time.monotonic() + 300
            self.done.wait(0.5)
        with self.lock:
            self.last.update((name, "uncertain") for name in names)

    def run(self):
        self.start()
        self.await_ready()
        disturbing = threading.Thread(target=self.disturb)
        disturbing.start()
        began = time.monotonic()
        workers = [threading.Thread(target=self.work, args=(number,)) for number in range(self.options.callers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.done.set()
        disturbing.join()
        took = time.monotonic() - began
        return self.judge(took)

    def await_ready(self):
        for _ in range(200):
            if self.ask("private/user-balance", {})[0] == "answered":
                return
            time.sleep(0.05)
        raise SystemExit("the daemon does not answer")

    def judge(self, took):
        lines = [json.loads(line) for line in self.executed.read_text().splitlines()]
        times = collections.Counter(line["client_oid"] for line in lines)
        told = collections.Counter(self.last.values())
        wrong = [f"{name} was executed {count} times" for name, count in times.items() if count > 1]
        for name, word in self.last.items():
            if word == "executed" and not times[name]:
                wrong.append(f"{name} was told to be executed, and is not there")
            if word == "given up" and times[name]:
                wrong.append(f"{name} was told not to have been sent, and is there")
            if word == "uncertain":
                wrong.append(f"{name} stayed uncertain")
        print(f"{len(self.last)} orders by {self.options.callers} callers in {took:.0f} s, seed {self.options.seed}: "
              + ", ".join(f"{count} {word}" for word, count in sorted(told.items())))
        print("answers: " + ", ".join(f"{count} {word}" for word, count in self.words.most_common()))
        print(f"{len(lines)} executions of {len(times)} names at the exchange")
        for text in wrong[:20]:
            print(f"WRONG: {text}")
        return not wrong and len(self.last) > 0

    def stop(self):
        self.done.set()
        for process in (self.daemon, self.stand_in):
            if process is not None:
                process.kill()
                process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-every", type=float, default=4)
    parser.add_argument("--keep", help="a directory for the files of the run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(options.keep or folder)
        (folder / "state").mkdir(mode=0o700, parents=True, exist_ok=True)
        storm = Storm(options, folder)
        try:
            good = storm.run()
        finally:
            storm.stop()
    sys.exit(0 if good else 1)


main()
