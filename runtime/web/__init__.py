"""The cached web: a copy of pages on this machine that agents may search and read.

A ZIM file or a folder. A program of its own reads it (`reader`), since ZIM files come from
strangers and are read by a library in C++; the runtime speaks with that program (`cached`) and
imports nothing else of this package.
"""
