"""The programs that try to use something up; each is run in a box."""

FORKS = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""
SPINS = """
import os
for _ in range(3):
    os.fork()
while True:
    pass
"""
MEMORY = """
held = []
while True:
    held.append(bytearray(b"x" * (1 << 20)))
"""
MEMORY_FILES = """
import os
held = []
for folder in ("/tmp", "/dev/shm", "/run"):
    try:
        with open(folder + "/full", "wb") as file:
            while True:
                file.write(bytes(1 << 20))
    except OSError:
        pass
while True:
    held.append(bytearray(b"x" * (1 << 20)))
"""
DISK = """
import errno, os
try:
    for number in range(10 ** 6):
        file = open("/work/full%d" % number, "wb", buffering=0)
        try:
            while file.write(bytes(1 << 20)):
                pass
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
except OSError as error:
    disk = os.statvfs("/work")
    print(error.strerror, (disk.f_bavail * disk.f_frsize) >> 10, "KiB left")
"""
WORK_INODES = """
import os
count = 0
try:
    while True:
        os.close(os.open("/work/%d" % count, os.O_CREAT | os.O_WRONLY))
        count += 1
except OSError as error:
    print(count, error.strerror)
"""
INODES = """
import os
for folder in ("/tmp", "/run"):
    count = 0
    try:
        while True:
            os.close(os.open("%s/%d" % (folder, count), os.O_CREAT | os.O_WRONLY))
            count += 1
    except OSError as error:
        print(folder, count, error.strerror, flush=True)
"""
INODES_SHM = """
import os
count = 0
while True:
    os.close(os.open("/dev/shm/%d" % count, os.O_CREAT | os.O_WRONLY))
    count += 1
"""
FILES = """
import os, resource, time
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
for _ in range(60):
    try:
        if os.fork() == 0:
            break
    except OSError:
        break
held = []
while True:
    try:
        held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        time.sleep(60)
"""
SOCKETS = """
import os, socket
held = []
for number in range(2000):
    try:
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(0.2)
        door.connect(os.environ["MONASTERY_SOCKET"])
        door.send(b"garbage\\n" * 50)
        held.append(door)
    except OSError:
        held = held[-20:]
"""
LINE = """
import os, socket
door = socket.socket(socket.AF_UNIX)
door.settimeout(60)
door.connect(os.environ["MONASTERY_SOCKET"])
sent = 0
try:
    for _ in range(64):
        door.sendall(b"x" * (1 << 20))
        sent += 1
except OSError as error:
    print("cut off after", sent, "MiB")
"""
DEEP = """
import os, socket
for text in (b"[" * 200000, b'{"a":' * 40000, b'{"what": "propose", "sizes": [1e999]}',
             b'{"what": "propose", "sizes": [NaN]}', b"\\xff\\xfe", b"{" + b'"k":1,' * 40000):
    door = socket.socket(socket.AF_UNIX)
    door.settimeout(60)
    door.connect(os.environ["MONASTERY_SOCKET"])
    try:
        door.sendall(text + b"\\n")
        print("refused" if b'"error"' in door.recv(4096) else "taken", flush=True)
    except OSError:
        print("refused, and cut off", flush=True)
"""
SLOW = """
import os, socket, time
held = []
for _ in range(60):
    door = socket.socket(socket.AF_UNIX)
    door.connect(os.environ["MONASTERY_SOCKET"])
    door.send(b'{"what": "prop')
    held.append(door)
time.sleep(60)
"""
KILLS = """
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for number in (15, 19, 9):
    try:
        os.kill(1, number)
    except OSError:
        pass
if os.fork() == 0:
    os.kill(-1, 9)
os.wait()
"""
