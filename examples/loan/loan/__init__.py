"""Applications for loans, summaries of them, and who learns what from which reward."""
