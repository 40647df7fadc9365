"""Learners update a policy from one moment of a run at a time. Extra `train`: numpy, torch.

`moments` says what a learner is given, `learner` what it does with it; `recurrent`, `actor_critic`,
`transformer`, `causal_lm` and `tabular` are learners; `boundary` checks any learner or trainer for
what must not cross a boundary. Import the module that you need: torch takes seconds.
"""
