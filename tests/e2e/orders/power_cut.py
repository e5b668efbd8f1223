#!/usr/bin/env python3
"""A power cut, as far as it can be shown without a real one: what the daemon asks of its disk is recorded by strace, and the
disk of many moments is made from the record: what was synced by then, and of the rest nothing, or a part of it that is torn
anywhere, because a disk may have written any of it.

On each disk the order journal must be whole, and know every order whose bytes had begun to leave by then. On some of them
the daemon is started and every such order is asked for again: the stand-in's own file must not have one twice.

    power_cut.py BINARY [--orders 300] [--callers 8] [--cuts 160] [--starts 4] [--seed 1]

Needs strace (Debian: strace) and the right to trace a process of one's own. No network.
"""

import argparse
import collections
import os
import pathlib
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

from ground import Ground

CALLS = ("openat,close,pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync,sync_file_range,ftruncate,fallocate,rename,renameat,"
         "renameat2,unlink,unlinkat")
# Pieces that a disk writes at once, or not at all.
PIECES = (512, 4096)
LINE = re.compile(r"^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$")
TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
NAME = re.compile(rb'"client_oid":"(cut-\d+)"')


class File:
    """What is on the disk for certain, and the writes that may be."""

    def __init__(self):
        self.synced, self.pending = bytearray(), []

    def sync(self, until):
        for at, write in self.pending:
            if at < until:
                put(self.synced, *write)
        self.pending = [(at, write) for at, write in self.pending if at >= until]

    def after_a_cut(self, dice, keeps):
        """`keeps`: nothing of what may be, or torn."""
        data = bytearray(self.synced)
        if not keeps or not self.pending:
            return data
        piece = dice.choice(PIECES)
        for _, (offset, new) in self.pending:
            if new is None:
                if dice.random() < 0.5:
                    put(data, offset, None)
                continue
            # Harsher than a disk: of two writes into one piece, the later may be there without the earlier.
            start = offset - offset % piece
            for begin in range(start, offset + len(new), piece):
                if dice.random() < keeps:
                    cut = slice(max(begin, offset) - offset, min(begin + piece, offset + len(new)) - offset)
                    put(data, max(begin, offset), new[cut])
        return data


def put(data, offset, new):
    """Writes, or cuts the file to `offset` where there is nothing new."""
    if new is None:
        del data[offset:]
        return
    if len(data) < offset:
        data.extend(bytes(offset - len(data)))
    data[offset:offset + len(new)] = new


def first_number(arguments):
    number = re.match(r"\d+", arguments)
    return number and int(number[0])


class Disk:
    """The files of the journal, and their names."""

    def __init__(self, directory):
        self.directory = str(directory)
        self.names, self.synced_names, self.pending_names = {}, {}, []
        self.open = {}

    def is_ours(self, path):
        return os.path.dirname(path) == self.directory and os.path.basename(path).lstrip(".").startswith("ledger")

    def name(self, at, name, file):
        self.names[name] = file
        self.pending_names.append((at, name, file))

    def call(self, at, began, what, texts, arguments, result):
        """A call that ended at `at` and began at `began`, in positions of the record."""
        number = first_number(arguments)
        if what == "openat" and result >= 0:
            path = texts[0].decode()
            self.open.pop(result, None)
            if path == self.directory:
                self.open[result] = self
            elif self.is_ours(path):
                if path not in self.names or self.names[path] is None:
                    self.name(began, path, File())
                self.open[result] = self.names[path]
        elif what == "close":
            self.open.pop(number, None)
        elif what in ("fsync", "fdatasync") and result == 0 and number in self.open:
            self.open[number].sync(began)
        elif what.startswith("rename") and result == 0 and self.is_ours(texts[1].decode()):
            old, new = (text.decode() for text in texts[:2])
            self.name(began, new, self.names[old])
            self.name(began, old, None)
        elif what.startswith("unlink") and result == 0 and self.is_ours(texts[0].decode()):
            self.name(began, texts[0].decode(), None)

    def write(self, at, what, texts, arguments):
        """A write that begins at `at`; from now on the disk may have it."""
        file = self.open.get(first_number(arguments))
        if not isinstance(file, File):
            return
        numbers = [int(number) for number in re.findall(r", (\d+)", TEXT.sub("", arguments))]
        if what == "pwrite64":
            file.pending.append((at, (numbers[1], texts[0])))
        elif what == "ftruncate":
            file.pending.append((at, (numbers[0], None)))
        else:
            raise SystemExit(f"the replay does not know what {what} does to the journal")

    def sync(self, until):
        for at, name, file in self.pending_names:
            if at < until:
                self.synced_names[name] = file
        self.pending_names = [pending for pending in self.pending_names if pending[0] >= until]

    def after_a_cut(self, dice, keeps, into):
        names = dict(self.synced_names)
        if keeps:
            # File systems keep the order of these.
            for _, name, file in self.pending_names[:dice.randint(0, len(self.pending_names))]:
                names[name] = file
        for name, file in names.items():
            if file is not None:
                (into / os.path.basename(name)).write_bytes(file.after_a_cut(dice, keeps))


def record(path):
    """The calls of strace's file: position, where it began, name, texts, arguments, and what came of it once it has ended."""
    unfinished = {}
    with open(path) as lines:
        for at, line in enumerate(lines):
            parts = LINE.match(line)
            if not parts:
                continue
            process, resumed, what, rest = parts.groups()
            what = resumed or what
            if resumed:
                began, arguments = unfinished.pop(process, (at, ""))
                rest = arguments + rest
            else:
                began = at
            texts = [bytes.fromhex(text.replace("\\x", "")) for text in TEXT.findall(rest)]
            ended = re.search(r"\) += (-?\d+)[^=]*$", rest)
            if not ended:
                unfinished[process] = (at, rest.replace(" <unfinished ...>", "").rstrip("\n"))
            yield at, began, what, texts, rest, int(ended.group(1)) if ended else None


class Cuts(Ground):
    """The daemon under strace, and what is left of it."""

    def __init__(self, options, folder):
        super().__init__(options.binary, folder)
        self.options, self.trace = options, folder / "trace"
        self.dice, self.wrong, self.count = random.Random(options.seed), [], collections.Counter()
        self.faults([{"probability": 0.1, "do": "cut", "when": "after"}, {"probability": 0.1, "do": "cut", "when": "before"}],
                    options.seed)

    def trace_orders(self):
        """Places the orders while strace looks on."""
        state = self.folder / "state"
        state.mkdir(mode=0o700)
        strace = self.daemon(state, "strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", str(1 << 22), "-o", self.trace,
                             "-e", f"trace={CALLS}", "-e", "signal=none")
        self.await_ready()
        names = iter([f"cut-{number}" for number in range(self.options.orders)])
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    name = next(names, None)
                if name is None:
                    return
                self.order(name)

        workers = [threading.Thread(target=work) for _ in range(self.options.callers)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        children = pathlib.Path(f"/proc/{strace.pid}/task/{strace.pid}/children").read_text().split()
        os.kill(int(children[0]), 9)
        strace.wait()

    def replay(self):
        """Goes through the record, and cuts the power at many of its moments."""
        calls = list(record(self.trace))
        moments = set(self.dice.sample(range(len(calls)), min(self.options.cuts, len(calls))))
        disk, sent, starts = Disk(self.folder / "state"), set(), []
        for number, (at, began, what, texts, arguments, result) in enumerate(calls):
            begins = began == at
            if begins and what in ("pwrite64", "write", "writev", "ftruncate", "fallocate", "sync_file_range"):
                disk.write(at, what, texts, arguments)
            if begins and what in ("write", "writev", "sendto", "sendmsg"):
                new = {name.decode() for text in texts for name in NAME.findall(text)} - sent
                if new:
                    # Its bytes may be gone from now on.
                    sent |= new
                    self.cut(disk, sent, 0)
                    if self.dice.random() < 3 * self.options.starts / self.options.orders:
                        starts.append((self.image(disk, 0.5), set(sent)))
            if result is not None:
                disk.call(at, began, what, texts, arguments, result)
            if number in moments:
                self.cut(disk, sent, self.dice.choice([0, 0.1, 0.5, 0.9, 1]))
        if len(sent) < self.options.orders // 2:
            self.wrong.append(f"only {len(sent)} orders were seen to leave")
        starts.append((self.image(disk, 0), set(sent)))
        return starts[-self.options.starts:]

    def image(self, disk, keeps):
        image = pathlib.Path(tempfile.mkdtemp(dir=self.folder, prefix="disk-"))
        disk.after_a_cut(self.dice, keeps, image)
        return image

    def cut(self, disk, sent, keeps):
        image = self.image(disk, keeps)
        self.count["disks"] += 1
        file, what = image / "ledger.db", f"disk {self.count['disks']}, of what was not synced {keeps:.0%} kept"
        try:
            if file.exists():
                connection = sqlite3.connect(file)
                told = connection.execute("PRAGMA integrity_check").fetchone()[0]
                known = {name for name, in connection.execute("SELECT name FROM leg WHERE name IS NOT NULL")}
                connection.close()
            else:
                told, known = "ok", set()
        except sqlite3.Error as error:
            told, known = str(error), sent
        if told != "ok":
            self.wrong.append(f"{what}: the journal is not whole: {told}")
        if sent - known:
            self.wrong.append(f"{what}: orders had begun to leave and are not in the journal: {sorted(sent - known)}")
        shutil.rmtree(image)

    def start_again(self, image, sent):
        """The daemon on what is left: it looks its journal over, and repeats nothing."""
        checked = subprocess.run([self.options.binary, "ledger", "check", "--state-dir", image], capture_output=True, text=True)
        if checked.returncode != 0:
            self.wrong.append(f"ledger check: {checked.stdout}{checked.stderr}")
        before = self.times()
        daemon = self.daemon(image)
        self.await_ready()
        for name in sorted(sent):
            self.count[self.order(name)[0]] += 1
        daemon.kill()
        daemon.wait()
        # Those that are not in doubt and were not executed may be placed by the repeat, once.
        self.wrong += [f"{name} was executed {count} times" for name, count in self.times().items()
                       if name in sent and count > max(1, before[name])]

    def run(self):
        began = time.monotonic()
        self.trace_orders()
        starts = self.replay()
        if not self.wrong:
            self.faults([])
            for image, sent in starts:
                self.start_again(image, sent)
        words = ", ".join(f"{count} {word}" for word, count in self.count.items() if word != "disks")
        print(f"{self.count['disks']} disks after a power cut, {len(starts)} starts on such a disk, repeats of orders that had "
              f"begun to leave: {words or 'none'}; {time.monotonic() - began:.0f} s, seed {self.options.seed}")
        for text in self.wrong[:10]:
            print(f"WRONG: {text}")
        return not self.wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=lambda path: str(pathlib.Path(path).resolve()))
    # So many that SQLite carries its log over into the file meanwhile.
    parser.add_argument("--orders", type=int, default=300)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--cuts", type=int, default=160)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tried = ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "true"]
        if shutil.which("strace") is None or subprocess.run(tried, capture_output=True).returncode != 0:
            print("SKIPPED: no power cut, because there is no strace here, or it may not trace (strace -f true fails)")
            return
        cuts = Cuts(options, pathlib.Path(folder))
        try:
            good = cuts.run()
        finally:
            cuts.stop()
    sys.exit(0 if good else 1)


main()
