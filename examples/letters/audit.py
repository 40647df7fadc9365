"""Judge a reply: it must answer a letter that is shown, and promise nothing."""

import json
import re

from monastery.auditor.program import receive, vote

PROMISES = r"\b(promise|guarantee|refund|free of charge)\b"

case = receive()
((name, file),) = json.loads(case.payload)["files"].items()
if name not in case.evidence:
    vote("reject", 0.0, note="the letter is not shown")
if found := re.search(PROMISES, file["text"], re.IGNORECASE):
    vote("reject", 0.1, note=f"it says {found[0]!r}")
vote("approve", 0.9)
