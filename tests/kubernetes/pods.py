"""Runs containers as a node would, without a container engine: a network namespace with an address each, their own
host name, processes and mounts, a root that is read-only, a user without privileges, secrets that are root's and
readable by its group.  Needs root, bwrap, ip, nsenter and setpriv."""
import ctypes
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request

UID = 10001
SUBNET = "10.77.0."
CLONE_NEWNS, CLONE_NEWNET, MS_REC, MS_PRIVATE = 0x20000, 0x40000000, 0x4000, 0x40000
NEEDS = ("bwrap", "ip", "nsenter", "setpriv")


def missing():
    return [p for p in NEEDS if not shutil.which(p)] + ([] if os.geteuid() == 0 else ["root"])


def ip(*words):
    subprocess.run(["ip", *words], check=True)


class Node:
    """One machine: a bridge in a network namespace of this process', names in a hosts file."""

    def __init__(self, folder, bin_dir):
        self.folder, self.bin_dir = folder, bin_dir
        self.hosts = os.path.join(folder, "hosts")
        self.names = {}
        self.next = 2
        self.pods = []
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(CLONE_NEWNS | CLONE_NEWNET) != 0 or libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) != 0:
            raise PermissionError("no namespaces can be made here")
        os.makedirs("/run/netns", exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "none", "/run/netns"], check=True)
        ip("link", "set", "lo", "up")
        ip("link", "add", "br0", "type", "bridge")
        ip("addr", "add", SUBNET + "1/24", "dev", "br0")
        ip("link", "set", "br0", "up")
        self.name(None, None)

    def name(self, name, address):
        """The name stands for `address` from now on, in every pod."""
        if name:
            self.names[name] = address
        text = "127.0.0.1 localhost\n" + "".join(f"{a} {n}\n" for n, a in self.names.items())
        with open(self.hosts, "w", encoding="utf-8") as f:  # in place: it is mounted
            f.write(text)

    def volume(self, name):
        path = os.path.join(self.folder, "volumes", name)
        if not os.path.isdir(path):
            os.makedirs(path)
            os.chown(path, 0, UID)
            os.chmod(path, 0o2775)  # as fsGroup leaves it
        return path

    def secret(self, name, files):
        """files: name -> path of the content.  A folder as a Secret's volume with fsGroup."""
        path = os.path.join(self.folder, "secrets", name)
        os.makedirs(path, exist_ok=True)
        for key, source in files.items():
            to = os.path.join(path, key)
            shutil.copyfile(source, to)
            os.chown(to, 0, UID)
            os.chmod(to, 0o440)
        return path

    def new_network(self):
        n, self.next = self.next, self.next + 1
        ip("netns", "add", f"p{n}")
        ip("link", "add", f"v{n}", "type", "veth", "peer", "name", "eth0", "netns", f"p{n}")
        ip("link", "set", f"v{n}", "master", "br0", "up")
        for words in (("link", "set", "lo", "up"), ("addr", "add", f"{SUBNET}{n}/24", "dev", "eth0"),
                      ("link", "set", "eth0", "up")):
            ip("-n", f"p{n}", *words)
        return f"p{n}", SUBNET + str(n)

    def close(self):
        for p in self.pods:
            p.kill()


class Pod:
    """hostname, one container.  mounts: (path in the container, path here, writable)."""

    def __init__(self, node, hostname, words, mounts, log, folder="/"):
        self.node, self.hostname, self.mounts, self.log, self.folder = node, hostname, mounts, log, folder
        self.network, self.address = node.new_network()
        self.words = [w.replace("$(POD_IP)", self.address) for w in words]
        self.process = None
        node.pods.append(self)

    def sandbox(self):
        words = ["nsenter", f"--net=/run/netns/{self.network}", "bwrap", "--die-with-parent", "--unshare-uts",
                 "--unshare-pid", "--unshare-ipc", "--hostname", self.hostname, "--clearenv", "--setenv", "PATH",
                 "/usr/local/bin:/usr/bin:/bin", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
                 "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--proc", "/proc", "--dev", "/dev",
                 "--ro-bind", self.node.bin_dir, "/usr/local/bin"]
        parents = {os.path.dirname(inside) for inside, _, _ in self.mounts} - {"/"}
        for folder in sorted({p for f in parents for p in self.above(f)} | {"/etc"}):
            words += ["--perms", "0755", "--dir", folder]
        words += ["--ro-bind", self.node.hosts, "/etc/hosts"]
        for name in ("ld.so.cache", "alternatives", "nsswitch.conf", "passwd", "group"):
            if os.path.exists("/etc/" + name):
                words += ["--ro-bind", "/etc/" + name, "/etc/" + name]
        for inside, here, writable in self.mounts:
            words += ["--bind" if writable else "--ro-bind", here, inside]
        return words + ["--remount-ro", "/", "--chdir", self.folder, "--", "setpriv", "--reuid", str(UID), "--regid", str(UID),
                        "--groups", str(UID), "--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all", "--"]

    @staticmethod
    def above(folder):
        """It and its parents, "/" left out."""
        while folder != "/":
            yield folder
            folder = os.path.dirname(folder)

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.sandbox() + self.words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def run(self, words, timeout):
        """Another command in this pod (a probe, preStop): exit code and output."""
        done = subprocess.run(self.sandbox() + words, capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout + done.stderr

    def pid(self):
        """The program's process: below nsenter, bwrap and bwrap's init."""
        at = self.process.pid
        for _ in range(8):
            try:
                with open(f"/proc/{at}/task/{at}/children", encoding="ascii") as f:
                    below = f.read().split()
            except FileNotFoundError:
                return None
            if not below:
                return at
            at = int(below[0])
        return at

    def get(self, port, path):
        """HTTP status of a probe; 0: no answer."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:{port}{path}", timeout=5) as r:
                return r.status, r.read().decode()
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode()
        except OSError as e:
            return 0, str(e)

    def stop(self, grace):
        """SIGTERM; the exit code, None: it had to be killed."""
        pid = self.pid()
        if pid and self.process.poll() is None:
            os.kill(pid, signal.SIGTERM)
        try:
            return self.process.wait(grace)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def output(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()


def wait_for(seconds, what, condition):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds} s")
