"""A model on this machine, by transformers: in a process of its own, with all its tokens recorded.

`policy` is the runtime's end and `worker` the process; `conversations` and `answers` turn an API's
requests into a conversation and what was sampled into the API's answers, `tool_calls` finds the
tools that a text calls, and `generation` samples. Only `worker` and `generation` know torch.
"""
