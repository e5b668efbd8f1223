"""What the tests of orders stand on: a stand-in exchange that writes down what it executes, a daemon before it, a caller."""

import collections
import http.client
import json
import os
import socket
import subprocess
import time

TOKEN = "invented-token-of-an-order-0123456789"


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Ground:
    """A stand-in in this folder. The real exchange would refuse a second order of a name; this one executes it, or nothing
    could be seen."""

    def __init__(self, binary, folder):
        self.binary, self.folder = binary, folder
        self.executed, self.port = folder / "executed.jsonl", free_port()
        self.stand_in = subprocess.Popen(
            [binary, "sandbox", "--listen", "127.0.0.1:0", "--env-file-out", folder / "sandbox.env",
             "--executed", self.executed],
            stdout=subprocess.PIPE, text=True, cwd=folder)
        self.upstream = self.stand_in.stdout.readline().split("http://")[1].split(";")[0].strip()
        self.command("/sandbox/state", {"names": "again"})

    def command(self, path, body):
        connection = http.client.HTTPConnection(self.upstream, timeout=10)
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()

    def faults(self, faults, seed=1):
        self.command("/sandbox/script", {"target": "private/create-order", "seed": seed, "sometimes": faults})

    def lines(self):
        """What was executed."""
        return [json.loads(line) for line in self.executed.read_text().splitlines()]

    def times(self):
        """How often each name was executed."""
        return collections.Counter(line["client_oid"] for line in self.lines())

    def daemon(self, state, *before, **environment):
        """A daemon that keeps its state there; started by the command `before`."""
        pair = dict(line.split("=", 1) for line in (self.folder / "sandbox.env").read_text().split())
        environment = dict(os.environ, CRYPTO_PROXY_TOKEN=TOKEN, CRYPTO_PROXY_LISTEN=f"127.0.0.1:{self.port}",
                           STATE_DIRECTORY=str(state), **pair, **environment)
        with open(self.folder / "daemon.log", "a") as log:
            return subprocess.Popen([*before, self.binary, "serve"], env=environment, cwd=self.folder, stdout=log, stderr=log)

    def await_ready(self):
        for _ in range(200):
            if self.ask("private/user-balance", {})[0] == "answered":
                return
            time.sleep(0.05)
        raise SystemExit("the daemon does not answer: " + (self.folder / "daemon.log").read_text()[-2000:])

    def ask(self, method, params):
        """The outcome, the exchange's code, and whether it is the answer to an earlier call."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("POST", "/proxy/private", json.dumps({"method": method, "params": params}),
                               {"Content-Type": "application/json", "X-Proxy-Token": TOKEN})
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except ConnectionRefusedError:
            return "down", None, False
        except (OSError, http.client.HTTPException, ValueError):
            return "lost", None, False
        finally:
            connection.close()
        inner = body.get("body") if isinstance(body.get("body"), dict) else {}
        return (answer.headers.get("X-Proxy-Outcome"), inner.get("code"),
                answer.headers.get("X-Proxy-Replayed") == "true")

    def order(self, name):
        """An order that is filled at once: no exchange lets an account have thousands that rest."""
        return self.ask("private/create-order", {"instrument_name": "BTC_USD", "side": "BUY", "type": "LIMIT",
                                                 "price": "1000", "quantity": "0.0001", "client_oid": name,
                                                 "time_in_force": "IMMEDIATE_OR_CANCEL"})

    def stop(self):
        self.stand_in.kill()
        self.stand_in.wait()
