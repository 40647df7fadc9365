"""Hostile payloads of the kind ``git``: refused, or done exactly as they read."""

import base64
import subprocess
import zlib

import pytest
import trio
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from monastery.runtime.errors import BadPayload
from monastery.runtime.executors import git_binary, git_patch
from tests.executors.world import Make, Repo, Steps

PATCH = """\
diff --git a/a.txt b/a.txt
index 4cb29ea..7de0d1f 100644
--- a/a.txt
+++ b/a.txt
@@ -1,3 +1,3 @@
 one
-two
+2
 three
"""


def new_file(path: str, mode: str = "100644", *, quoted: str | None = None) -> str:
    """Return a patch that makes one file, its name spelled as it is or as told."""
    a, b = ((quoted and f'"{side}/{quoted}"') or f"{side}/{path}" for side in "ab")
    return (
        f"diff --git {a} {b}\nnew file mode {mode}\nindex 0000000..587be6b\n"
        f"--- /dev/null\n+++ {b}\n@@ -0,0 +1 @@\n+x\n"
    )


def binary(content: bytes, *, size: int | None = None, name: str | None = None) -> str:
    """Return a patch that makes the binary file ``x``, as git prints it or told otherwise."""
    packed = zlib.compress(content)
    rows = []
    for start in range(0, len(packed), 52):
        part = packed[start : start + 52]
        length = chr(ord("A") + len(part) - 1 if len(part) <= 26 else ord("a") + len(part) - 27)
        rows.append(length + base64.b85encode(part, pad=True).decode())
    told = name or git_binary.object_name(content, 40)
    return (
        f"diff --git a/x b/x\nnew file mode 100644\nindex {'0' * 40}..{told}\nGIT binary patch\n"
        f"literal {len(content) if size is None else size}\n" + "\n".join(rows) + "\n\n"
    )


def changed(old: str, new: str) -> str:
    """Return the honest patch with one part of it replaced."""
    assert old in PATCH
    return PATCH.replace(old, new)


SEEDS = [
    PATCH,
    new_file("x"),
    new_file("a b/c"),
    new_file("", quoted=r"sch\303\266n"),
    "diff --git a/a.txt b/c.txt\nsimilarity index 50%\nrename from a.txt\nrename to c.txt\n"
    "--- a/a.txt\n+++ b/c.txt\n@@ -1 +1,2 @@\n one\n+1\n",
    "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100755\n",
    "diff --git a/a.txt b/a.txt\ndeleted file mode 100644\nindex 4cb29ea..0000000\n--- a/a.txt\n"
    "+++ /dev/null\n@@ -1,3 +0,0 @@\n-one\n-two\n-three\n",
]
BAD_PATHS = [
    "../x",
    "a/../../x",
    "/etc/passwd",
    ".git/config",
    ".GIT/config",
    ".Git/hooks/pre-commit",
    "sub/.git/config",
    ".git./config",
    ".git /config",
    ".git...  /config",
    ".git::$INDEX_ALLOCATION/config",
    ".git:x",
    "git~1/config",
    "GIT~2/config",
    ".g\u200cit/config",
    "\uff0egit/config",
    ".git",
    "a//b",
    "./a",
    "a/.",
    "a\\b",
    "..\\x",
    "a\u202eb",
    "a\x7fb",
    "a\x1bb",
    "a\rb",
    "x.",
    "x ",
    "y" * 256,
    "/".join(["y" * 200] * 6),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=ascii)
def test_path_is_refused(make: Make, path: str) -> None:
    """No file may be named outside the repository, inside ``.git``, or so that nobody sees it."""
    executor = make("git", repository=".")
    with pytest.raises(BadPayload):
        executor.check(b"m\n" + new_file(path).encode())


@pytest.mark.parametrize(
    "quoted",
    [
        r"..\057x",
        r"\056git/config",
        r"\056\056/x",
        r"a\tb",
        r"a\nb",
        r"a\000b",
        r"a\\b",
        r"a\377b",
        r"a\q",
        r"a\8",
        "a\\",
        r"a\400b",
        r".g\342\200\214it/x",
    ],
)
def test_quoted_path_is_refused(make: Make, quoted: str) -> None:
    """Escapes in a quoted name hide nothing."""
    with pytest.raises(BadPayload):
        make("git", repository=".").check(b"m\n" + new_file("", quoted=quoted).encode())


HOSTILE = {
    "symlink": new_file("link", "120000"),
    "submodule": new_file("sub", "160000"),
    "folder mode": new_file("sub", "040000"),
    "setuid": new_file("x", "104755"),
    "group writable": new_file("x", "100664"),
    "mode in octal of another width": new_file("x", "0100644"),
    "symlink by index": changed(" 100644\n", " 120000\n"),
    "symlink by new mode": changed("index", "old mode 100644\nnew mode 120000\nindex").replace(
        " 100644\n---", "\n---"
    ),
    "old mode alone": changed("index", "old mode 100644\nindex"),
    "mode twice": changed("index", "old mode 100644\nnew mode 100755\nindex"),
    "mode that stays": "diff --git a/a.txt b/a.txt\nold mode 100644\nnew mode 100644\n",
    "plus names another": changed("+++ b/a.txt", "+++ b/src/b.py"),
    "minus names another": changed("--- a/a.txt", "--- a/src/b.py"),
    "both name another": changed("--- a/a.txt\n+++ b/a.txt", "--- a/src/b.py\n+++ b/src/b.py"),
    "title names another": changed("git a/a.txt b/a.txt", "git a/c.txt b/c.txt"),
    "title names two": changed("git a/a.txt b/a.txt", "git a/a.txt b/c.txt"),
    "title with a stamp": changed("+++ b/a.txt\n", "+++ b/a.txt\t2020-01-01\n"),
    "other prefix": changed("+++ b/a.txt", "+++ c/a.txt"),
    "no prefix": PATCH.replace("a/a.txt", "a.txt").replace("b/a.txt", "a.txt"),
    "null for an old file": changed("--- a/a.txt", "--- /dev/null"),
    "null for a new file": changed("+++ b/a.txt", "+++ /dev/null"),
    "new and deleted": changed("index", "new file mode 100644\ndeleted file mode 100644\nindex"),
    "rename without lines": "diff --git a/a.txt b/c.txt\nsimilarity index 100%\n",
    "rename from alone": ("diff --git a/a.txt b/c.txt\nsimilarity index 100%\nrename from a.txt\n"),
    "rename out": (
        "diff --git a/a.txt b/../c\nsimilarity index 100%\nrename from a.txt\nrename to ../c\n"
    ),
    "rename into git": (
        "diff --git a/a.txt b/.git/config\nsimilarity index 100%\n"
        "rename from a.txt\nrename to .git/config\n"
    ),
    "rename besides the title": (
        "diff --git a/a.txt b/a.txt\nsimilarity index 100%\nrename from a.txt\nrename to c.txt\n"
    ),
    "rename besides the sides": (
        "diff --git a/a.txt b/c.txt\nsimilarity index 50%\nrename from a.txt\nrename to c.txt\n"
        "--- a/a.txt\n+++ b/d.txt\n@@ -1 +1 @@\n-one\n+1\n"
    ),
    "rename besides title and sides": (
        "diff --git a/a.txt b/d.txt\nsimilarity index 50%\nrename from a.txt\nrename to c.txt\n"
        "--- a/a.txt\n+++ b/d.txt\n@@ -1 +1 @@\n-one\n+1\n"
    ),
    "old rename words": (
        "diff --git a/a.txt b/c.txt\nsimilarity index 100%\nrename old a.txt\nrename new c.txt\n"
    ),
    "copy": "diff --git a/a.txt b/c.txt\nsimilarity index 100%\ncopy from a.txt\ncopy to c.txt\n",
    "rewrite": changed("index", "dissimilarity index 90%\nindex"),
    "header twice": changed("index", "index 4cb29ea..7de0d1f 100644\nindex"),
    "file twice": PATCH + PATCH,
    "file twice by rename": PATCH
    + "diff --git a/a.txt b/c.txt\nsimilarity index 100%\nrename from a.txt\nrename to c.txt\n",
    "text between files": PATCH + "by the way\n" + new_file("x"),
    "text at the end": PATCH + "-- \n2.39.5\n",
    "blank at the end": PATCH + "\n",
    "old patch at the end": PATCH + "--- src/b.py\n+++ src/b.py\n@@ -1 +1 @@\n-print('b')\n+x\n",
    "short hunk": changed("+1,3", "+1,4"),
    "long hunk": changed("+1,3", "+1,2"),
    "long hunk swallows a file": changed("-1,3 +1,3", "-1,4 +1,4") + new_file("x"),
    "empty hunk": changed("@@ -1,3", "@@ -0,0 +0,0 @@\n@@ -1,3"),
    "no hunk": "".join(PATCH.splitlines(keepends=True)[:4]),
    "no change": "".join(PATCH.splitlines(keepends=True)[:2]),
    "title alone": "diff --git a/a.txt b/a.txt\n",
    "counts beyond": changed("-1,3", "-1,99999999999999999999"),
    "arabic digits": changed("-1,3", "-1,\u0663"),
    "negative count": changed("-1,3", "-1,-3"),
    "other words for the end": changed("+2\n", "+2\n\\ No end of line\n"),
    "combined diff": PATCH.replace("diff --git a/a.txt b/a.txt", "diff --cc a.txt").replace(
        "@@", "@@@"
    ),
    "binary without bytes": (
        "diff --git a/x b/x\nindex 1234567..89abcde 100644\nBinary files a/x and b/x differ\n"
    ),
    "binary of another name": binary(b"x", name="1" * 40),
    "binary of short name": binary(b"x", name="1234567"),
    "binary of no name": binary(b"", name="0" * 40),
    "binary of another size": binary(b"x", size=2),
    "binary of smaller size": binary(b"xyz", size=2),
    "binary bomb": binary(b"x", size=10**11),
    "binary bomb that is real": binary(bytes(80 << 20)),
    "binary bombs in a row": "".join(
        binary(bytes(40 << 20)).replace("/x", f"/x{number}") for number in range(2)
    ),
    "binary that swallows a file": binary(b"x").rstrip("\n") + "\n" + new_file("y"),
    "binary line of another length": binary(b"x").replace("\nI", "\nz"),
    "binary line that is not base 85": binary(b"x").replace("\nIc", "\nI,"),
    "mail": "From 1234 Mon Sep 17 00:00:00 2001\n" + PATCH.replace("diff --git ", "Index: "),
    "cut off": PATCH[:-1],
    "cut in a hunk": PATCH[:-8] + "\n",
    "crlf throughout": PATCH.replace("\n", "\r\n"),
    "cr in the title": changed("git a/a.txt b/a.txt", "git a/a.txt b/a.txt\r"),
    "quote in a plain name": new_file('a"b'),
    "quoted on one side": changed("+++ b/a.txt", '+++ "b/a.txt'),
    "quoted with a tail": changed("+++ b/a.txt", '+++ "b/a.txt"x'),
}


@pytest.mark.parametrize("patch", [*SEEDS, binary(b"x"), binary(bytes(1000))], ids=range(9))
def test_honest_patch_is_taken(make: Make, patch: str) -> None:
    """The patches that the hostile ones are made from are good: it is the twist that is refused."""
    make("git", repository=".").check(b"m\n" + patch.encode())


@pytest.mark.parametrize("name", HOSTILE)
def test_patch_is_refused(make: Make, name: str) -> None:
    """A patch that git might read otherwise than a person is refused, with the reason in a line."""
    with pytest.raises(BadPayload) as caught:
        make("git", repository=".").check(b"m\n" + HOSTILE[name].encode())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\n\n",
        b"only a message\n",
        PATCH.encode(),
        b"\n \n" + PATCH.encode(),
        b"\nTitle on the second line\n" + PATCH.encode(),
        b"x" * 201 + b"\n" + PATCH.encode(),
        b"m\n" + b"y" * 70_000 + b"\n" + PATCH.encode(),
        b"m\n\nMonastery-Step: r.2\n" + PATCH.encode(),
        b"m\n\n  monastery-step : r.2\n" + PATCH.encode(),
        b"m\n\nMONASTERY-STEP: r.2\n" + PATCH.encode(),
        b"m\rMonastery-Step: r.2\n" + PATCH.encode(),
        b"m\x1b[2J\n" + PATCH.encode(),
        b"m\0\n" + PATCH.encode(),
        b"m\xff\n" + PATCH.encode(),
        b"m\n" + PATCH.encode().replace(b"+2", b"+\xff"),
        b"m\n" + PATCH.encode().replace(b"+2", b"+\0"),
        b"\xff\xfe" + ("m\n" + PATCH).encode("utf-16-le"),
        b"m\n diff --git a/x b/x\n",
    ],
    ids=range(19),
)
def test_payload_is_refused(make: Make, payload: bytes) -> None:
    """What is no message and patch, or forges the runtime's own line, is refused."""
    with pytest.raises(BadPayload) as caught:
        make("git", repository=".").check(payload)
    assert "\n" not in str(caught.value)


def test_delta_bomb_is_refused(make: Make) -> None:
    """A delta of endless tiny copies does not fill the memory."""
    copies = 1 << 20  # each of one byte, of a file of one byte
    code = b"\x01" + b"\x80\x80\x40" + b"\x90\x01" * copies
    patch = binary(code, name="2" * 40).replace("literal", "delta")
    with pytest.raises(BadPayload, match="pieces"):
        make("git", repository=".").check(b"m\n" + patch.encode())


SCRAPS = [
    *sorted({line for seed in SEEDS for line in seed.split("\n")}),
    "+++ b/.git/config",
    "--- /dev/null",
    "rename to ../x",
    "\\ No newline at end of file",
    "@@ -1 +1 @@",
    "new file mode 120000",
    "copy from a.txt",
    "copy to y",
    "GIT binary patch",
    "literal 0",
    "HcmV?d00001",
]


@st.composite
def mutants(draw: st.DrawFn) -> str:
    """Patches with lines taken out, doubled, swapped or put in, and now and then one character."""
    seeds = draw(st.lists(st.sampled_from(SEEDS), min_size=1, max_size=3, unique=True))
    lines = "".join(seeds).split("\n")
    for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
        at = draw(st.integers(0, len(lines) - 1))
        how = draw(st.sampled_from(["out", "double", "put", "swap", "char"]))
        if how == "out" and len(lines) > 1:
            del lines[at]
        elif how == "double":
            lines.insert(at, lines[at])
        elif how == "put":
            lines.insert(at, draw(st.sampled_from(SCRAPS)))
        elif how == "swap":
            lines[at] = draw(st.sampled_from(SCRAPS))
        elif how == "char" and lines[at]:
            place = draw(st.integers(0, len(lines[at]) - 1))
            char = draw(st.sampled_from(' \t\r"\\/.,0189ab+-@'))
            lines[at] = lines[at][:place] + char + lines[at][place + 1 :]
    return "\n".join(lines)


@settings(max_examples=400, deadline=None)
@given(mutants())
def test_git_reads_what_check_read(patch: str) -> None:
    """In any patch that is accepted, git finds the same files and counts, or refuses it."""
    try:
        changes = git_patch.parse(patch)
    except BadPayload:
        return
    done = subprocess.run(
        ["git", "apply", "--numstat", "-z", "-"],
        input=patch.encode(),
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        return
    seen = [tuple(entry.split("\t")) for entry in done.stdout.decode().split("\0") if entry]
    assert seen == [
        (str(change.added), str(change.removed), change.new or change.old) for change in changes
    ]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(mutants())
def test_only_named_paths_change(repo: Repo, make: Make, step: Steps, patch: str) -> None:
    """Whatever check accepts, the commit changes the paths it names and nothing else anywhere."""
    assume(patch.startswith(git_patch.TITLE))  # else its beginning is part of the message
    executor = make("git", repository="repo")
    payload = b"m\n" + patch.encode()
    try:
        executor.check(payload)
    except BadPayload:
        return
    repo.git("update-ref", "-d", "refs/heads/monastery")
    before = {path: path.read_bytes() for path in repo.path.iterdir() if path.is_file()}
    outcome = trio.run(executor.execute, step("git", payload))
    assert {path: path.read_bytes() for path in repo.path.iterdir() if path.is_file()} == before
    if outcome.status == "done":
        named = {path for change in git_patch.parse(patch) for path in change.paths}
        raw = repo.git("diff", "--name-only", "--no-renames", "-z", "main", "monastery")
        assert set(raw.split("\0")[:-1]) == named
    else:
        assert repo.git("branch", "--list", "monastery") == ""
