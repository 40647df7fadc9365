"""Auditors judge how reasonable a proposal looks, without executing it.

`command` asks a program on the host, which may look around in a fork of the frozen box; `program`
helps to write one in Python; `person` asks a person through the desk. All show the same case, and
hold the answer to the same rules (`votes`): an answer that breaks them is no measurement, never a
zero. `keeper` sees to it that nothing of a program is left behind.

What votes say about those who gave them: `agreement` beyond chance, `known` items, `intervals`,
what is true from votes alone (`dawid_skene`), strengths from preferences (`bradley_terry`), how far
reasons move them (`persuasion`), and a `panel` of auditors, which puts them together.
"""
