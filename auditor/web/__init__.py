"""The desk in a browser: pages over the rules of `monastery.auditor.desk`.

`app` says what is where; `guard` stands before all of it; `pages` and `people` answer; `live` tells
open pages what changes; `office` asks the clerk, one at a time. `decoded`, `patches` and `text`
turn what an agent wrote into what is shown, and nothing of it into what acts. No page has anything
that a `StepView` or a `Reasons` has not.
"""
