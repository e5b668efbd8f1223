#!/usr/bin/env python3
"""Orders exactly once, in a storm: many callers place named orders through the daemon at a stand-in that loses answers, while
the daemon is killed and frozen again and again, its disk is full, and its clock steps. Every caller repeats a doubtful order
under its name until it is certain.

The judge is the stand-in's own file of what it executed. Each name stands in it at most once; what was answered stands there;
what was given up after `refused` or `not_sent` does not; and no order was called so that had been executed by then.

    storm.py BINARY [--orders 2000] [--callers 32] [--seed 1] [--kill-every 4] [--disk DIRECTORY] [--clock LIBRARY]
"""

import argparse
import collections
import pathlib
import random
import signal
import struct
import sys
import tempfile
import threading
import time

from ground import Ground

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
# From this share of certain orders on nothing is disturbed any more, and then no answer is lost: what is doubtful gets certain.
CALM, STILL = 0.9, 0.99
# Nothing of an order can arrive any more after some two minutes; a clock that is wrong makes it three. Then it is settled
# within one. An order that never arrived is tried again, and may be lost again, until all is still.
UNCERTAIN_AFTER_S = 900


class Storm(Ground):
    def __init__(self, options, folder):
        super().__init__(options.binary, folder)
        self.options = options
        self.state = pathlib.Path(options.disk or folder) / "state"
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.step = folder / "step"
        self.step_by(0)
        self.lock, self.done = threading.Lock(), threading.Event()
        self.words, self.disturbances, self.last = collections.Counter(), collections.Counter(), {}
        # When it was called refused or not sent, last.
        self.not_there_at = {}
        self.faults(FAULTS, options.seed)
        self.start()

    def start(self):
        steps = {"LD_PRELOAD": str(self.options.clock), "STEPPED_BY": str(self.step)} if self.options.clock else {}
        self.process = self.daemon(self.state, **steps)

    def disturb(self):
        """Kills the daemon, freezes it, fills its disk or steps its clock, as long as most orders are not certain."""
        dice = random.Random(self.options.seed)
        while not self.done.wait(self.options.kill_every * dice.uniform(0.5, 1.5)):
            if len(self.last) > CALM * self.options.orders:
                break
            also = [self.fill] * bool(self.options.disk) + [self.step_clock] * bool(self.options.clock)
            dice.choices([self.kill, self.freeze, *also], [6, 3, *[2 for _ in also]])[0](dice)
        self.step_by(0)
        while not self.done.wait(0.5):
            if len(self.last) > STILL * self.options.orders:
                self.faults([])
                return

    def kill(self, _dice):
        self.disturbances["kill -9"] += 1
        self.process.kill()
        self.process.wait()
        self.start()

    def freeze(self, dice):
        self.disturbances["SIGSTOP"] += 1
        self.process.send_signal(signal.SIGSTOP)
        self.done.wait(dice.uniform(0.2, 4))
        self.process.send_signal(signal.SIGCONT)

    def fill(self, dice):
        """Takes the last byte of the disk, for a while; half of the time the daemon dies meanwhile."""
        self.disturbances["full disk"] += 1
        ballast = self.state.parent / "ballast"
        with open(ballast, "wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
        self.done.wait(dice.uniform(0.5, 2))
        if dice.random() < 0.5:
            self.kill(dice)
            self.done.wait(dice.uniform(0.5, 2))
        ballast.unlink()

    def step_clock(self, dice):
        """To some other time; now and then to one that the exchange takes no call of, for a short while."""
        self.disturbances["step of the clock"] += 1
        self.step_by(dice.uniform(-25, 25))
        if dice.random() < 0.2:
            self.step_by(dice.choice([-1, 1]) * dice.uniform(61, 120))
            self.done.wait(dice.uniform(0.5, 2))
            self.step_by(0)

    def step_by(self, seconds):
        # Written over: the process has the file mapped.
        with open(self.step, "r+b" if self.step.exists() else "w+b") as file:
            file.write(struct.pack("q", int(seconds * 1e9)))

    def place(self, dice, name):
        """Asks for an order once; the last word, or None where it is not certain yet."""
        outcome, code, again = self.order(name)
        while outcome == "down" and not self.done.wait(0.1):
            outcome, code, again = self.order(name)
        word = f"{outcome}{'' if code is None else f' {code}'}{' again' if again else ''}"
        with self.lock:
            self.words[word] += 1
        if (outcome, code) in (("answered", 0), ("refused", 204)):
            return "executed"
        if outcome in ("refused", "not_sent"):
            # By now it has not been executed: this caller makes one call at a time.
            with self.lock:
                self.not_there_at[name] = time.time() * 1000
            if dice.random() < GIVEN_UP:
                return "given up"
            self.done.wait(0.1)
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
            names, ends = doubtful, ends or time.monotonic() + UNCERTAIN_AFTER_S
            self.done.wait(0.5)
        with self.lock:
            self.last.update((name, "uncertain") for name in names)

    def run(self):
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

    def judge(self, took):
        lines, times = self.lines(), self.times()
        told = collections.Counter(self.last.values())
        wrong = [f"{name} was executed {count} times" for name, count in times.items() if count > 1]
        for name, word in self.last.items():
            if word == "executed" and not times[name]:
                wrong.append(f"{name} was told to be executed, and is not there")
            if word == "given up" and times[name]:
                wrong.append(f"{name} was told not to have been sent, and is there")
        for line in lines:
            name, at = line["client_oid"], self.not_there_at.get(line["client_oid"], 0)
            if line["executed_ms"] < at:
                wrong.append(f"{name} was executed {at - line['executed_ms']:.0f} ms before it was called refused or not_sent")
        wrong += [f"{name} stayed uncertain" for name, word in self.last.items() if word == "uncertain"]
        print(f"{len(self.last)} orders by {self.options.callers} callers in {took:.0f} s, seed {self.options.seed}: "
              + ", ".join(f"{count} {word}" for word, count in sorted(told.items())))
        print("answers: " + ", ".join(f"{count} {word}" for word, count in self.words.most_common()))
        print("disturbances: " + ", ".join(f"{count} {word}" for word, count in self.disturbances.most_common()))
        print(f"{len(lines)} executions of {len(times)} names at the exchange")
        for text in wrong[:20]:
            print(f"WRONG: {text}")
        print(f"{len(wrong)} things are wrong")
        return not wrong and len(self.last) > 0

    def stop(self):
        self.done.set()
        self.process.kill()
        self.process.wait()
        super().stop()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kill-every", type=float, default=4)
    parser.add_argument("--disk", help="a small file system for the state directory, to be filled")
    parser.add_argument("--clock", help="the library of clock.c, to step the daemon's clock")
    parser.add_argument("--keep", help="a directory for the files of the run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(options.keep or folder)
        folder.mkdir(parents=True, exist_ok=True)
        storm = Storm(options, folder)
        try:
            good = storm.run()
        finally:
            storm.stop()
    sys.exit(0 if good else 1)


main()
