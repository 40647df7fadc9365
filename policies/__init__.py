"""Policies are the models that think: an API model, a local network, a table, a script.

The agent in the box reaches its policy only through the gateway, one JSON object in and one out,
recorded. `scripted` answers from a file, `provider` asks a model elsewhere. A policy that cannot
answer says so in an ``error`` object that the agent can read, or fails; the run goes on.
`learners` train policies from audited runs.
"""
