"""Hosts that are network namespaces, and the Ethernet switch between them, which can be told to lose,
delay, reorder and repeat frames, each way by itself.

The device of a host is a TAP: what it sends is read here, and what is written here it receives.  So
the kernel's own TCP is at both ends, and no kernel module (netem, a firewall) is needed."""
import ctypes
import fcntl
import heapq
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from typing import NamedTuple

FRAME_MAX = 65536
MTU = 9000  # fewer frames for a program to carry
TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
PR_SET_PDEATHSIG = 1
INSIDE = "WEFT_TEST_NETWORK"  # set in the process that has its own namespaces


class Link(NamedTuple):
    """What happens to a frame."""
    delay_s: float = 0
    jitter_s: float = 0
    loss: float = 0  # chances
    repeats: float = 0


class Switch:
    """Carries frames on a thread of its own.  Rules are replaced as a whole, by any thread."""

    def __init__(self, random):
        self.random, self.link = random, Link()
        self.port, self.cuts, self.late = {}, frozenset(), []  # late: (when, serial, fd, frame)
        self.serial, self.ends = 0, False
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ends = True
        self.thread.join()
        for fd in self.port:
            os.close(fd)

    def plug(self, fd, mac):
        self.port = {**self.port, fd: mac}

    def cut(self, sender, receiver):
        self.cuts = self.cuts | {(sender.fd, receiver.fd)}

    def heal(self):
        self.cuts = frozenset()

    def deliver(self, fd, frame):
        try:
            os.write(fd, frame)
        except OSError:
            pass  # its queue is full: lost, as on any switch

    def carry(self, sender, receiver, frame):
        link = self.link
        if (sender, receiver) in self.cuts or self.random.random() < link.loss:
            return
        for _ in range(1 + (self.random.random() < link.repeats)):
            if not link.delay_s and not link.jitter_s:
                self.deliver(receiver, frame)
                continue
            self.serial += 1
            when = time.monotonic() + link.delay_s + self.random.uniform(0, link.jitter_s)
            heapq.heappush(self.late, (when, self.serial, receiver, frame))

    def deliver_late(self):
        while self.late and self.late[0][0] <= time.monotonic():
            _, _, fd, frame = heapq.heappop(self.late)
            self.deliver(fd, frame)
        return max(0, self.late[0][0] - time.monotonic()) if self.late else 0.05

    def run(self):
        while not self.ends:
            readable, _, _ = select.select(list(self.port), [], [], self.deliver_late())
            for fd in readable:
                frame = os.read(fd, FRAME_MAX)
                is_for_all = frame[0] & 1
                for other, mac in self.port.items():
                    if other != fd and (is_for_all or frame[:6] == mac):
                        self.carry(fd, other, frame)


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Host:
    def __init__(self, switch, number):
        self.name, self.address = f"host{number}", f"10.9.0.{number + 1}"
        mac = bytes([2, 0, 0, 0, 0, number + 1])
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        tap = f"tap{number}"
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH14x", tap.encode(), IFF_TAP | IFF_NO_PI))
        ip("netns", "add", self.name)
        ip("link", "set", tap, "netns", self.name)
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", tap, "address", mac.hex(":"), "mtu", str(MTU), "up")
        self.ip("addr", "add", self.address + "/24", "dev", tap)
        switch.plug(self.fd, mac)

    def ip(self, *words):
        ip("-n", self.name, *words)

    def start(self, words, log):
        """A process on this host; it ends with us."""
        return subprocess.Popen(["ip", "netns", "exec", self.name, *words], stdout=log, stderr=log,
                                stdin=subprocess.DEVNULL)


def can_have_hosts():
    """Enters namespaces of our own, with all that this program starts: whatever happens to it, no
    process, device or mount is left.  False: they are not to be had."""
    if os.environ.get(INSIDE):
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)
        ip("link", "set", "lo", "up")
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        return True
    unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() == 0:
        os.makedirs("/run/netns", exist_ok=True)
    probe = subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, check=False)
    if probe.returncode != 0 or not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return False
    os.environ[INSIDE] = "1"
    os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])
    return False
