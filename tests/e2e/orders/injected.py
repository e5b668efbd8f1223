#!/usr/bin/env python3
"""What the kernel can do to a running daemon between an order's entry and its sending, made by strace at the call that meets it.

The fence: the daemon stands still right after the entry is on the disk, and goes on when the order is too old to be sent. It
must not be sent, and its caller must learn that. A disk that fails: errors of writes and syncs, now and then or always, and
syncs that take 700 ms. Orders are refused and not sent, cancellations and reads go. Afterwards each name goes once.

    injected.py BINARY [fence] [disk]

Needs strace (Debian: strace) and the right to trace a process of one's own. No network. About ten seconds.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from ground import Ground

# A process that stood still for longer is said to have stalled; the contract says 2 s.
STALL_S = 2.5
SYNCS = "fsync,fdatasync"
DISKS = {
    "no-sync-works": f"{SYNCS}:error=EIO",
    "no-write-works": "pwrite64:error=EIO",
    "some-writes-fail": "pwrite64:error=EIO:when=3+4",
    "no-room-now-and-then": "pwrite64:error=ENOSPC:when=2+3",
    "slow": f"{SYNCS}:delay_enter=700000",
}


class Injected(Ground):
    def __init__(self, binary, folder):
        super().__init__(binary, folder)
        self.state, self.wrong = folder / "state", []
        self.state.mkdir(mode=0o700)
        self.process = self.daemon(self.state)
        self.await_ready()
        self.check("an order goes", self.order("before")[:2], ("answered", 0))

    def check(self, what, got, *expected):
        if got not in expected:
            self.wrong.append(f"{what}: {got}")

    def inject(self, what):
        """From now on this is done to the calls that write the journal or sync it."""
        # Who asks the journal is answered once what is known by now is written.
        subprocess.run([self.binary, "orders", "--state-dir", self.state], check=True, capture_output=True)
        strace = subprocess.Popen(
            ["strace", "-f", "-p", str(self.process.pid), "-P", self.state / "ledger.db-wal", "-P", self.state / "ledger.db",
             "-o", os.devnull, "-e", f"trace={SYNCS},pwrite64", "-e", f"inject={what}"], stderr=subprocess.PIPE, text=True)
        line = strace.stderr.readline()
        if "attached" not in line:
            sys.exit(f"strace says {line}")
        return strace

    def until_answered(self, name):
        """The last word to an order that is asked for until it is not refused, for ten seconds."""
        ends = time.monotonic() + 10
        while (told := self.order(name))[0] != "answered" and time.monotonic() < ends:
            time.sleep(0.1)
        return told

    def fence(self):
        strace, told = self.inject(f"{SYNCS}:signal=SIGSTOP:when=1"), []
        asking = threading.Thread(target=lambda: told.append(self.order("frozen")))
        asking.start()
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat")
        ends = time.monotonic() + 10
        while stat.read_text().rsplit(") ", 1)[1][0] not in "Tt":
            if time.monotonic() > ends:
                sys.exit("the daemon does not stop")
            time.sleep(0.02)
        # The length of the stall is what is tested.
        time.sleep(STALL_S)
        end(strace)
        self.process.send_signal(signal.SIGCONT)
        asking.join()
        outcome, times = told[0][0], self.times()["frozen"]
        print(f"an order whose daemon stood still for {STALL_S} s right after its entry: {outcome}, executed {times} times")
        self.check("its outcome", outcome, "not_sent", "refused")
        self.check("its executions", times, 0)
        self.check("its name again", self.until_answered("frozen")[:2], ("answered", 0))

    def disk(self, name, what):
        strace = self.inject(what)
        names = [f"{name}-{number}" for number in range(4)]
        told = [self.order(one)[0] for one in names]
        print(f"{name}: " + ", ".join(told))
        # Where some calls work, an order may go.
        self.check(f"{name}: outcomes", set(told), {"refused"}, {"refused", "answered"})
        self.check(f"{name}: executions", [self.times()[one] for one in names], [int(one == "answered") for one in told])
        self.check(f"{name}: an order that was executed", self.order("before")[0], "answered", "unknown")
        self.check(f"{name}: a cancellation", self.ask("private/cancel-order", {"client_oid": "before"})[0], "answered")
        self.check(f"{name}: a read", self.ask("private/get-open-orders", {})[:2], ("answered", 0))
        end(strace)
        for one in names:
            self.check(f"{name}: afterwards", self.until_answered(one)[:2], ("answered", 0))

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        twice = [name for name, times in self.times().items() if times > 1]
        self.check("executed twice", twice, [])
        checked = subprocess.run([self.binary, "ledger", "check", "--state-dir", self.state], capture_output=True, text=True)
        self.check("ledger check", checked.returncode, 0)
        super().stop()


def end(strace):
    strace.send_signal(signal.SIGTERM)
    strace.communicate()


def main():
    binary, wanted = str(pathlib.Path(sys.argv[1]).resolve()), sys.argv[2:] or ["fence", "disk"]
    tried = ["strace", "-f", "-o", os.devnull, "true"]
    if shutil.which("strace") is None or subprocess.run(tried, capture_output=True).returncode != 0:
        print("SKIPPED: no fence and no failing disk, because there is no strace here, or it may not trace (strace -f true fails)")
        return
    with tempfile.TemporaryDirectory() as folder:
        injected = Injected(binary, pathlib.Path(folder))
        try:
            if "fence" in wanted:
                injected.fence()
            if "disk" in wanted:
                for name, what in DISKS.items():
                    injected.disk(name, what)
        finally:
            injected.stop()
    for text in injected.wrong:
        print(f"WRONG: {text}")
    sys.exit(1 if injected.wrong else 0)


main()
