"""How a checkpoint comes to be: one module a stage, each run as its own process by `python -m trainers NAME spec.json`."""
