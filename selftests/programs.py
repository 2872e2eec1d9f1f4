#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Real programs, unmodified, on two hosts with the module on: they work, all their connections are encrypted, and a known
string of what they say is nowhere on the wire. openssh on its port is left alone.
"""

import os
import subprocess
import sys

from lib import net, ulp
from lib.capture import Capture
from lib.data import CANARY, payload, recv_all
from lib.harness import FAMILIES, HEAVY, check, defer, equal, main, skip, test, until
from lib.programs import directory, listens, needs, output, server, stop

SIZE = (20 if HEAVY else 4) * 1000 * 1000


class Hosts:
    """Client in a, server in b; watch() starts the capture."""

    def __init__(self, family=4):
        pair = net.pair()
        self.client, self.server = pair.a, pair.b
        self.address = pair.address("b", family)
        self.url = "http://%s" % (self.address if family == 4 else "[%s]" % self.address)
        if ulp.loaded():
            ulp.enable(pair.a, pair.b)
            self.before = {ns: ulp.counters(ns) for ns in (pair.a, pair.b)}
        if not ulp.PLAIN:
            defer(Capture(pair.a, "veth0").verify)

    def all_encrypted(self, at_least=1):
        """Every connection that the client opened so far."""
        if ulp.PLAIN:
            return
        for ns, side in ((self.client, "Active"), (self.server, "Passive")):
            now = ulp.counters(ns)
            done = now[side + "Encrypted"] - self.before[ns][side + "Encrypted"]
            check(done >= at_least, "%d encrypted on the side of %s" % (done, side))
            for name in now:
                if name.startswith("Fallback") or name in ("HandshakeFailed", "FrameAuthFailed", "Truncated"):
                    equal(now[name], self.before[ns][name], name)
            equal(now["PlaintextBlocked"], self.before[ns]["PlaintextBlocked"], "PlaintextBlocked")


NGINX = """
daemon off; worker_processes 2; pid {dir}/pid; error_log {dir}/error.log; user root;
events {{ worker_connections 200; }}
http {{
  access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; sendfile {sendfile}; tcp_nopush on; keepalive_timeout 5;
  server {{ listen 8080; listen [::]:8080; root {dir}; }}
}}
"""


def start_nginx(host, sendfile):
    (nginx,) = needs("nginx")
    path = directory()
    with open(path + "/nginx.conf", "w") as file:
        file.write(NGINX.format(dir=path, sendfile=sendfile))
    with open(path + "/file", "wb") as file:
        file.write(payload(SIZE))
    with open(path + "/small", "wb") as file:
        file.write(CANARY)
    server(host.server, [nginx, "-c", path + "/nginx.conf", "-e", path + "/error.log"], 8080)


@test(family=FAMILIES, sendfile=("on", "off"), timeout=120)
def nginx_and_curl(family, sendfile):
    (curl,) = needs("curl")
    host = Hosts(family)
    start_nginx(host, sendfile)
    status, out, err = output(host.client, [curl, "-sS", "-g", host.url + ":8080/file"])
    equal((status, err), (0, ""), "curl")
    check(out == payload(SIZE), "file of %d bytes" % len(out))
    urls = [host.url + ":8080/small"] * 20
    status, out, err = output(host.client, [curl, "-sS", "-g", "--parallel"] + urls)
    equal((status, err, out), (0, "", CANARY * 20), "parallel requests")
    host.all_encrypted(2)


@test(timeout=120)
def python_http_server_and_curl():
    (curl,) = needs("curl")
    host = Hosts()
    path = directory()
    with open(path + "/file", "wb") as file:
        file.write(payload(SIZE // 4))
    server(host.server, [sys.executable, "-m", "http.server", "--directory", path, "8081"], 8081)
    status, out, err = output(host.client, [curl, "-sS", host.url + ":8081/file"])
    equal((status, err), (0, ""), "curl")
    check(out == payload(SIZE // 4), "file of %d bytes" % len(out))
    host.all_encrypted()


@test(timeout=180)
def redis_and_its_benchmark():
    redis, cli, benchmark = needs("redis-server", "redis-cli", "redis-benchmark")
    host = Hosts()
    path = directory()
    options = ["--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "", "--dir", path]
    server(host.server, [redis] + options, 6379)
    to = ["-h", host.address]
    equal(output(host.client, [cli] + to + ["set", "key", CANARY.decode()])[:2], (0, b"OK\n"))
    equal(output(host.client, [cli] + to + ["get", "key"])[:2], (0, CANARY + b"\n"))
    count = "20000" if HEAVY else "2000"
    command = [benchmark] + to + ["-n", count, "-c", "20", "-P", "4", "-d", "200", "-t", "set,get,lrange_100", "-q"]
    status, out, err = output(host.client, command, 150)
    equal(status, 0, err)
    check(out.count(b"requests per second") >= 2, "benchmark: %r" % out[-200:])
    host.all_encrypted(20)


@test(reverse=(False, True), streams=("1", "4"), timeout=120)
def iperf3(reverse, streams):
    (iperf,) = needs("iperf3")
    host = Hosts()
    server(host.server, [iperf, "-s", "-1", "-p", "5201"], 5201)
    command = [iperf, "-c", host.address, "-p", "5201", "-n", "%dM" % (SIZE // 1000000), "-P", streams]
    status, out, err = output(host.client, command + (["-R"] if reverse else []))
    equal(status, 0, "%s %s" % (out[-300:], err))
    host.all_encrypted(1 + int(streams))


@test(family=FAMILIES, timeout=90)
def netcat_half_close(family):
    """The client ends its half with -N; the server's answer still comes."""
    (nc,) = needs("nc")
    host = Hosts(family)
    listener = host.server.socket(family)
    defer(listener.close)
    listener.bind((host.address, 0))
    listener.listen()
    port = str(listener.getsockname()[1])
    client = host.client.command([nc, "-N", host.address, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    defer(stop, client)
    client.stdin.write(payload(100000))
    client.stdin.close()
    other, _ = listener.accept()
    defer(other.close)
    check(recv_all(other) == payload(100000), "request, up to its end")
    other.sendall(CANARY * 100)
    other.close()
    equal(client.stdout.read(), CANARY * 100)
    equal(client.wait(20), 0)
    host.all_encrypted()


@test(timeout=90)
def netcat_on_both_sides():
    (nc,) = needs("nc")
    host = Hosts()
    receiver = host.server.command([nc, "-l", "-N", "4444"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    defer(stop, receiver)
    until(lambda: listens(host.server, 4444), 20, "nc listening")
    status, _, err = output(host.client, [nc, "-N", host.address, "4444"], data=payload(200000))
    equal((status, err), (0, ""))
    check(receiver.stdout.read() == payload(200000), "data")
    host.all_encrypted()


def offers(host):
    if not ulp.loaded():
        return []
    return [ulp.counters(ns)[side + "Offered"] for ns in (host.client, host.server) for side in ("Active", "Passive")]


@test(timeout=120)
def openssh_is_left_alone_on_its_port():
    sshd, keygen, ssh = needs("sshd", "ssh-keygen", "ssh")
    host = Hosts()
    path = directory()
    os.chmod(path, 0o700)
    for name in ("host", "user"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", path + "/" + name], check=True)
    os.replace(path + "/user.pub", path + "/authorized")
    os.makedirs("/run/sshd", exist_ok=True)
    options = ["AuthorizedKeysFile=%s/authorized" % path, "StrictModes=no", "PermitRootLogin=yes", "PidFile=none", "UsePAM=no"]
    command = [sshd, "-D", "-f", "/dev/null", "-h", path + "/host", "-p", "22"]
    server(host.server, command + ["-o" + option for option in options], 22)
    before = offers(host)
    quiet = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes", "LogLevel=ERROR"]
    command = [ssh, "-F", "none", "-i", path + "/user"] + ["-o" + option for option in quiet]
    status, out, err = output(host.client, command + ["root@" + host.address, "echo", "hello"])
    if status and "account" in err:
        skip("ssh: " + err.strip())
    equal((status, out), (0, b"hello\n"), err)
    equal(offers(host), before, "offers")


@test(timeout=60)
def program_that_fell_back_is_readable_by_everyone():
    """The control: with the module off on the server, the same request is on the wire in the clear."""
    (curl,) = needs("curl")
    pair = net.pair()
    if ulp.loaded():
        ulp.enable(pair.a)
        ulp.enable(pair.b, connect=0, listen=0)
    path = directory()
    with open(path + "/file", "wb") as file:
        file.write(CANARY)
    server(pair.b, [sys.executable, "-m", "http.server", "--directory", path, "8082"], 8082)
    capture = Capture(pair.a, "veth0")
    url = "http://%s:8082/file" % pair.address("b", 4)
    equal(output(pair.a, [curl, "-sS", url])[:2], (0, CANARY), "curl")
    capture.stop()
    check(capture.seen > 0, "canary on the wire")


if __name__ == "__main__":
    main()
