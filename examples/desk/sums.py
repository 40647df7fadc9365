"""Judge an invoice: its total must be the sum of its items."""

import json

from monastery.auditor.program import receive, vote

case = receive()
for name, file in json.loads(case.payload)["files"].items():
    *items, total = [int(line.partition(": ")[2]) for line in file["text"].splitlines()]
    if sum(items) != total:
        vote("reject", 0.0, note=f"{name}: the items come to {sum(items)}, the total is {total}")
vote("approve", 1.0)
