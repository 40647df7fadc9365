"""Learners update a policy from one moment of a run at a time. Extra `train`: numpy, torch.

`moments` says what a learner is given, `learner` what it does with it. `policy_gradient`,
`actor_critic` and `tabular` are learners; `networks`, `transformer` and `causal_lm` are what the
first two train; `online` trains a model while it acts. `boundary` checks any learner or trainer for
what must not cross a boundary. Import the module that you need: torch takes seconds.
"""
