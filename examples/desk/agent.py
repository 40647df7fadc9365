"""Write invoices, one a step; the first with a sum that is wrong."""

import json
import sys

from monastery_box import history, propose  # type: ignore[import-not-found]  # the box has it

ITEMS = {"Paper": 40, "Ink": 25}
DRAFTS = [("invoice-1.txt", 60), ("invoice-2.txt", 65)]


def main() -> int:
    """Propose what was not proposed yet; return how many invoices are lacking."""
    for name, total in DRAFTS[len(history()) :]:
        lines = [*(f"{item}: {price}" for item, price in ITEMS.items()), f"Total: {total}"]
        invoice = {"files": {name: {"text": "\n".join(lines) + "\n"}}}
        outcome = propose("file", json.dumps(invoice), "All items of the order are on it.")
        print(f"{name}: {outcome['status']} {outcome['feedback'] or ''}", flush=True)
        if outcome["status"] == "done":
            return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
