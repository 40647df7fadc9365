"""Proposals that mean harm, of each kind: all in them tries to act, hide or pass for ours.

What an agent wrote is marked: `MARK` stands in every text of theirs, so that a test can say of each
place on a page whether it is theirs.
"""

import base64
import json
from typing import Any

from monastery.runtime.records import Item
from tests.desk.samples import case

MARK = "ZQX"
RAW = "\x1b\x07\x08\x00\r\u202e\u202d\u2066\u2069\u200b\u200d\u2060\ufeff\u00ad"
RAW += "\U000e0041\u3164\u2028\x9b"
"""Characters that act, turn or hide; none of them may be on a page or a terminal."""
ACTS = [
    "<script>window.owned='ZQX';alert('ZQX')</script>",
    "<img src=x onerror=\"window.owned='ZQX'\"><svg onload=window.owned=1 ZQX>",
    "<meta http-equiv=refresh content='0;url=https://zqx.example/ZQX'>",
    "<base href='https://zqx.example/ZQX/'><link rel=stylesheet href='//zqx.example/ZQX.css'>",
    "<iframe srcdoc='<script>parent.owned=1</script>ZQX'></iframe>",
    "<style>*{display:none!important}body::before{content:'ZQX approved'}</style>",
    "</textarea></pre></code></td></table></article><h1>ZQX Recorded</h1>",
    "<form action=https://zqx.example/ZQX><button class='button large' autofocus>ZQX Send</button>",
    "<div class='agent' style='position:fixed;inset:0;z-index:99;background:#fff'>ZQX</div>",
    "{{ 7 * 7 }} {% include 'people.html' %} ${7*7} <%= 7*7 %> #{7*7} ZQX",
    "javascript:window.owned='ZQX' data:text/html,<script>ZQX</script> \" onclick=owned=1 ZQX='",
    "<a href='/leave'>ZQX</a> <input name=decision value=approve checked type=radio> ZQX",
    "]]> --> <!-- ZQX <![CDATA[ ZQX",
]
HIDES = [
    f"ZQX raw: {RAW} ZQX",
    "ZQX \x1b]0;ZQX approved\x07\x1b[2J\x1b[1;1H\x1b[8mZQX\x1b[0m\x1b]8;;https://zqx.example\x07",
    "ZQX pay \u202e0001\u202c to \u0440\u0430\u0443\u0440\u0430l.com or g\u043e\u043egle.com",
    "ZQX https://bank.example@zqx.example/login and https://xn--pypal-4ve.example/",
    "ZQX z"
    + "\u0316\u0317\u0318\u0319\u0325\u0323\u0300\u0301\u0302\u0303\u0306\u030d" * 30
    + "algo ZQX",
    "ZQX\u20dd\u20de\u0489 ‹U+202E› ‹… 900 lines not shown› ZQX",
    "ZQX " + "W" * 20_000 + " ZQX",
    "ZQX" + "\t" * 3000 + "rm -rf / ZQX",
    "ZQX" + "\u3000" * 500 + "\u00a0" * 500 + "curl zqx.example ZQX",
]
CLAIMS = [
    "ZQX ✔ Approved by ada, score 1.0 · first vote, blind · 0 steps wait for you",
    "ZQX Monastery desk: this step was already audited. Press a, then x, then Enter.",
    "ZQX It was withdrawn: its run needs no answer any more.",
]
NASTY = "\n".join([*ACTS, *HIDES, *CLAIMS])

LINE = "ZQX " + "x" * (5 << 20) + " ZQX"
LINES = "ZQX y\n" * 200_000
DEEP = '{"ZQX": ' * 50_000

PATCH = f"""ZQX Mend it

diff --git a/safe.py b/safe.py
{ACTS[0]}
diff --git "a/ZQX\u202eyp.exe" b/../../etc/ZQX
index 3f1c2aa..9b07e41 100644
--- a/ZQX\u202eyp.exe
+++ b/../../etc/ZQX
@@ -1,3 +1,3 @@ {ACTS[6]}
 ZQX same\r
-ZQX gone\rZQX over it
+ZQX come \x1b[2K{HIDES[4]}
+@@ -1,9 +1,9 @@ ZQX fake hunk
 --- a/ZQX fake file
@@ -999999999,1 +1,999999999 @@
+ZQX {ACTS[8]}
{HIDES[6]}
-- ZQX
2.39.0
"""


def proposals() -> dict[str, Item]:
    """Return one audit of each kind that means harm, and of each that is merely too much."""
    mail = {
        "to": ["Ada <ada@ours.example>\r\nBcc: ZQX@zqx.example", f"{HIDES[2]} <ZQX@zqx.example>"],
        "cc": [ACTS[1]],
        "bcc": ["ZQX-hidden@zqx.example"],
        "subject": f"ZQX\nX-Approved: yes {HIDES[0]}",
        "text": NASTY,
        "attachments": {f"ZQX\u202egpj.exe{ACTS[6]}": {"text": NASTY}},
    }
    http = {
        "method": "GET",
        "url": "https://bank.example:443@xn--pypal-4ve.example/ZQX?a=" + ACTS[10],
        "headers": {f"ZQX\r\nHost: {ACTS[0]}": HIDES[1]},
        "text": NASTY,
    }
    ssh = {"host": "table", "command": f"echo ZQX\nsudo rm -rf / #{HIDES[7]}\r{ACTS[0]}"}
    hosts = {"table": {"host": "table.survey.example", "port": 22, "user": "survey", "key": "k"}}
    files = {
        "files": {f"../ZQX/{'a' * 4000}\u202egnp.sh": {"text": NASTY}, ACTS[0]: {"text": "ZQX"}}
    }
    more: dict[str, Any] = {"rationale": NASTY, "evidence": _evidence(), "changes": _changes()}
    return {
        "command": case(101, "command", NASTY.encode(), **more),
        "git": case(102, "git", PATCH.encode(), settings={"branch": "b"}, **more),
        "email": case(103, "email", json.dumps(mail).encode(), **more),
        "http": case(104, "http", json.dumps(http).encode(), **more),
        "ssh": case(105, "ssh", json.dumps(ssh).encode(), settings={"hosts": hosts}, **more),
        "file": case(106, "file", json.dumps(files).encode(), **more),
        "line": case(107, "file", json.dumps({"files": {"ZQX": {"text": LINE}}}).encode()),
        "lines": case(108, "command", LINES.encode(), rationale="ZQX"),
        "deep": case(109, "http", DEEP.encode(), rationale=DEEP),
    }


def _evidence() -> list[dict[str, str]]:
    names = [ACTS[1], "ZQX\u202egnp.exe", HIDES[4]]
    return [{"name": one, "base64": base64.b64encode(NASTY.encode()).decode()} for one in names]


def _changes() -> list[dict[str, Any]]:
    paths = [ACTS[6], "ZQX\nsafe.py", f"ZQX/{'é' * 3000}", HIDES[2]]
    return [{"path": one, "what": "added", "size_bytes": 1} for one in paths]
