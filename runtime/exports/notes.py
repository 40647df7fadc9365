"""Notes: what whoever trains on an export must know, for the terminal and for a README beside it.

Settings are those of TRL 1.16 (`trl/trainer/grpo_config.py`), verl 0.9.1
(`verl/trainer/config/ppo_trainer.yaml`) and prime-rl (`docs/algorithms.md`), read in November 2026.
"""

from collections.abc import Sequence

LOUD = (
    "A row's reward is for that row's own step. The file cannot keep a trainer from carrying it"
    " further; its settings can."
)
_BREAKS = "What breaks the boundary:"

_EVERYWHERE = (
    "Return-to-go, discounts, a critic asked about the next step: a step would be paid for what"
    " came after it. Train with the column `advantage` as it is.",
    "One advantage for a whole run (`episode_id`), which most trainers' multi-turn and step-wise"
    " modes broadcast. A row is a sample of its own.",
    "A baseline or a normalisation over rows of different `group_id`, which are different steps.",
    "Keeping rows by how their run, or a later step, came out. Rows without a reward were not"
    " measured: they are not 0.",
    "A ratio or a mask of a whole sequence, if you put rows of several steps into one.",
    "Clipping the norm of a gradient that several rows share: one's reward scales the others'.",
    "The mean over a row's tokens, where a segment has several rows: sum over tokens.",
)

_SETTINGS: dict[str, tuple[str, ...]] = {
    "trl": (
        "`python train.py MODEL --output FOLDER` trains on these rows with TRL's own loss and keeps"
        " to all of this. What breaks it, in trainers of your own:",
        "`scale_rewards` (group, batch), `num_generations` and"
        ' `multi_objective_aggregation="normalize_then_sum"`: advantages are computed anew over'
        " rows. Take the column `advantage`.",
        '`importance_sampling_level="sequence"`, `loss_type` luspo or vespo,'
        " `off_policy_mask_threshold`: whole sequences.",
        '`loss_type` grpo, bnpo, dapo: the mean over a row or a batch; "dr_grpo" sums.',
        "`max_grad_norm` above 0, `top_entropy_quantile` below 1: rows of a batch hang together.",
        "`rollout_func`, `environment_factory` with a run as one rollout: one advantage for all.",
    ),
    "verl": (
        "verl rolls out by itself: have an agent loop (`AgentLoopBase`) give back `prompt_ids`,"
        " `completion_ids`, `completion_mask` and `logprobs` of its row, and the advantage as"
        " `reward_score`, and register an estimator (`register_adv_est`) that hands that on to the"
        " tokens of the mask. What breaks the boundary:",
        "`algorithm.adv_estimator`: gae (with `gamma` and `lam`, and a critic) is a return; grpo,"
        " rloo, gdpo and opo compare all samples of a `uid`; reinforce_plus_plus whitens a batch.",
        "`algorithm.norm_adv_by_std_in_grpo`, `algorithm.filter_groups.enable`,"
        " `algorithm.use_kl_in_reward`; `data.max_prompt_length` drops rows with longer prompts.",
        "`actor_rollout_ref.actor.policy_loss.loss_mode=gspo`: sequence ratios;"
        " `algorithm.rollout_correction` at the level of sequences.",
        "`actor_rollout_ref.actor.loss_agg_mode`: token-mean and seq-mean-token-mean; take"
        " seq-mean-token-sum-norm. `grad_clip`: above all gradients.",
        "A multi-turn agent loop that plays a run as one sample: one advantage for all of it.",
    ),
    "prime-rl": (
        "`python batch.py OUTPUT_DIR` hands these rows to a trainer with the file system transport,"
        " in the place of the orchestrator, whose advantages, filters and length penalties are then"
        " not used. What breaks the boundary, where you use it:",
        "`orchestrator.advantage` and `orchestrator.train.algo`: the group's mean is taken over"
        " rollouts of one example, and one number is broadcast over all turns of a rollout.",
        "`orchestrator.filters` (zero_advantage, repetition, gibberish) drop rollouts after they"
        " were scored; so do difficulty thresholds and curricula.",
        "`orchestrator.length_penalty`: a reward that no audit gave.",
        "The loss divides by the tokens of the batch: rows of long batches count less.",
    ),
    "prm800k": (
        "A score is of one step, told before anybody knew what came of it. What breaks that:",
        "Relabelling steps after the first bad one, or by the run's end (`finish_reason`).",
        "Training on `rating` as if labelled steps were all steps: weigh each by 1/`probability`.",
        "Ranking runs by the product or the minimum of a reward model's step scores: a step is then"
        " chosen for what followed it.",
    ),
    "preferences": (
        "Each pair is of one moment. What breaks the boundary:",
        "Pairs made across steps or runs, or from how runs ended.",
        "A loss on what the agent fed in between: `chosen` and `rejected` hold all messages since"
        " the first call, and only those of role `assistant` are the policy's.",
        "Leaving out `weight`, where steps are audited with different probabilities.",
    ),
}

PROMISE = (
    "A file can promise I1 at most: no reward has a gradient at the outputs of another step. That"
    " nothing is trained through what was computed before the boundary (I2) it cannot: a trainer"
    " reads a row's whole prompt anew and trains through it."
)


def warnings(to: str) -> list[str]:
    """Return what to beware of where this format is read, a line each: advice, then a list."""
    lead, *others = _SETTINGS.get(to, (_BREAKS,))
    return [lead, *(f"* {one}" for one in (*others, *_EVERYWHERE))]


def readme(to: str, files: Sequence[str], doubts: Sequence[str]) -> str:
    """Return the page that stands beside an export."""
    lead, *others = warnings(to)
    lines = [f"# Audited think segments, for {to}", ""]
    lines += ["Files: " + ", ".join(f"`{name}`" for name in files) + ".", ""]
    if doubts:
        lines += ["## Look at this first", "", *(f"* {one}" for one in doubts), ""]
    lines += ["## What breaks the boundary", "", LOUD, lead, "", *others, "", PROMISE, ""]
    lines += [
        "`metadata.json` counts `segments` (all that ended in a proposal, audited or not): a sum"
        " over measured ones estimates that over all without bias when it is divided by that"
        " number, as advantages hold the weight 1/probability.",
        "",
    ]
    return "\n".join(lines)
