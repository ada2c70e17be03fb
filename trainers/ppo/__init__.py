"""Stage `ppo`: reward model (or another reward) + PPO on one backbone, resumable to the bit.

Read in this order: stage (spec, resume, validation, what is kept), algorithm (one iteration), rollouts (episodes),
backbone (the one model), maths (the formulas), rewards, ranks (several processes).
"""
