"""Benchmarks against other frameworks: `bash scripts/bench.sh [NAME] [--quick]`.

`run.py` is the command. Each benchmark is a module with a `Bench` (or two): cases, contenders, measures. A
contender is a function that runs in a process of its own (`worker.py`), so that imports, memory and threads are its
own. `results.py` keeps what was measured, `summary.py` makes medians and ratios of it, `render.py` writes
docs/benchmarks.md.
"""
