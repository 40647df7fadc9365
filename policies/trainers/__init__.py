"""Programs for other trainers, laid beside an export and run where that trainer is installed.

Each stands alone: it imports its trainer and nothing of this package.
"""
