"""The rules of the desk: who may take a question, what one sees of it, what counts as a vote.

Nothing here reads a clock, a file or the network. The rows come through the port in `book`; the
time is an argument. `queue` hands out questions and `clerk` takes ballots, each in one turn of the
book; `rules` says who may, `ballots` what may be said, `views` what is seen, and when; `door` whom
a secret lets in; `study` what researchers see of those who judge.
"""
