"""What an update costs against the length of the run: time and memory, ours beside the usual ways.

    python benchmarks/learner.py [--network gru|transformer] [--lengths 10,100,1000] [--json]

One run of made-up tokens, in segments of 100 (gru) or 128 (transformer), every one measured; the
gradient of its mean loss is computed once, on one thread. Each figure is of a process of its own:
processor seconds, so that what else this machine does matters less, and the most memory that was
held above what an update of two segments holds. Compare ratios, not seconds.

segment   ours: a backward for each segment, the state cut at the boundary
together  ours, several segments side by side, where states are of one size (gru)
full      the whole run read at once, one graph and one backward
torch     the same with the backward pass of torch.nn.GRU in place of ours (gru)
rows      one row for each segment, with all that came before it: what most trainers are given

What would take more than --limit processor seconds, by the length before it, is left out.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

WAYS = {
    "gru": ("segment", "together", "full", "torch", "rows"),
    "transformer": ("segment", "full", "rows"),
}
SEGMENT = {"gru": 100, "transformer": 128}
LENGTHS = {"gru": [10, 100, 1000, 10_000, 100_000], "transformer": [1024, 4096, 8192]}
GROWTH = {"segment": 1.0, "together": 1.0, "full": 1.0, "torch": 1.0, "rows": 2.0}
"""With which power of the length the time of a GRU grows; a transformer's does one quicker."""


def measure(network: str, way: str, length: int) -> dict[str, float]:
    """Compute one gradient; return its seconds and bytes."""
    import numpy as np
    import torch

    from monastery.policies.learners.moments import Moment, Segment
    from monastery.policies.learners.networks import Network, Recurrent, State
    from monastery.policies.learners.policy_gradient import PolicyGradient
    from monastery.policies.learners.transformer import Transformer
    from monastery.runtime.credit import Earned

    class Usual(Recurrent):
        def forward(self, inputs: torch.Tensor, state: State = None) -> tuple[torch.Tensor, State]:
            features, last = self.core(
                self.encoder(inputs), None if state is None else state.unsqueeze(0)
            )
            return features, last.squeeze(0)

    torch.set_num_threads(1)
    torch.manual_seed(0)
    made: Network
    if network == "gru":
        kind = Usual if way == "torch" else Recurrent
        vocabulary, made = 256, kind(actions=256, vocabulary=256, width=128)
    else:
        vocabulary, made = 8192, Transformer(vocabulary=8192, width=256, layers=4, heads=4)
    random = np.random.default_rng(0)

    def run(tokens: int) -> Iterator[Moment]:
        while tokens > 0:
            size = max(2, min(SEGMENT[network], tokens))
            sampled = [place >= size // 2 for place in range(size)]
            read = random.integers(vocabulary, size=size).tolist()
            yield Moment.of(Segment.from_tokens(read, sampled, Earned(0.5, 0.5)))
            tokens -= size

    def rows(tokens: int) -> Iterator[Moment]:
        """Give each segment after all that came before it, which is read and not trained on."""
        inputs, before = np.zeros(0, np.int64), 0
        for moment in run(tokens):
            (segment,) = moment.alternatives
            inputs = np.concatenate([inputs, segment.inputs])
            actions = np.concatenate([np.full(before, -1), segment.actions])
            yield Moment.of(Segment(inputs, actions, segment.earned))
            before = len(inputs)

    def whole(tokens: int) -> Iterator[Moment]:
        """Give the run as one segment."""
        segments = [moment.alternatives[0] for moment in run(tokens)]
        inputs = np.concatenate([segment.inputs for segment in segments])
        actions = np.concatenate([segment.actions for segment in segments])
        yield Moment.of(Segment(inputs, actions, segments[0].earned))

    given = {"full": whole, "torch": whole, "rows": rows}.get(way, run)
    learner = PolicyGradient(made)

    def once(tokens: int) -> None:
        learner.begin()
        if way == "together":
            learner.learn_all(run(tokens), batch_inputs=1024)
        else:
            for moment in given(tokens):
                if way == "rows":
                    learner.begin()
                learner.learn(moment)
        learner.gather()

    once(min(length, 2 * SEGMENT[network]))
    learner.gradient()
    held, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    once(length)
    seconds = time.process_time() - began
    return {
        "seconds": round(seconds, 3),
        "bytes": 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held),
    }


def table(network: str, lengths: list[int], limit: float) -> list[dict[str, Any]]:
    """Measure each way at each length, each in a process of its own."""
    found: list[dict[str, Any]] = []
    for way in WAYS[network]:
        power = GROWTH[way] + (network == "transformer")
        last: dict[str, Any] | None = None
        for length in sorted(lengths):
            if last is not None:
                expected = last["seconds"] * (length / last["length"]) ** power
                if expected > limit and last["seconds"] > 0.5:
                    break
            command = [sys.executable, __file__, "--network", network]
            done = subprocess.run(
                [*command, "--one", way, "--lengths", str(length)], capture_output=True, check=True
            )
            last = {"way": way, "length": length, **json.loads(done.stdout)}
            found.append(last)
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return found


def tell(network: str, found: list[dict[str, Any]]) -> None:
    """Print the table."""
    print(f"{network}, segments of {SEGMENT[network]} tokens; processor seconds and MB above two")
    lengths = sorted({one["length"] for one in found})
    print("way       " + "".join(f"{length:>18,}" for length in lengths))
    for way in WAYS[network]:
        cells = {one["length"]: one for one in found if one["way"] == way}
        row = [
            f"{cells[length]['seconds']:.2f} s {cells[length]['bytes'] / 1e6:5.0f} MB"
            if length in cells
            else "-"
            for length in lengths
        ]
        print(f"{way:10}" + "".join(f"{cell:>18}" for cell in row))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--network", choices=list(WAYS), default="gru")
    parser.add_argument("--lengths", help="tokens, separated by commas")
    parser.add_argument("--limit", type=float, default=120.0, help="processor seconds [120]")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    lengths = [int(one) for one in asked.lengths.split(",")] if asked.lengths else None
    if asked.one:
        assert lengths is not None
        print(json.dumps(measure(asked.network, asked.one, lengths[0])))
    else:
        found = table(asked.network, lengths or LENGTHS[asked.network], asked.limit)
        if asked.json:
            print(json.dumps(found, indent=1))
        else:
            tell(asked.network, found)
