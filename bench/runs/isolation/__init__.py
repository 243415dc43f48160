"""One process per fit: a method runs where no test label is, and nothing of it outlives the fit.

`MethodProcess` is the harness's end, `bench.runs.isolation.child` the method's, which is forked
from a server that has imported what fits need and has opened no data. Images cross as handles of
the decoded cache, under names that tell nothing; training labels cross, test labels do not; of an
evaluation the method hears the monitored number alone.

This protects against mistakes: a cache that outlives a fit, a label in reach by accident. It does
not stop a program that means to cheat and opens the database by its path: `bench audit` and a
reader of its code find that.
"""

from bench.runs.isolation.messages import Account, Facts, MethodFailed, Start
from bench.runs.isolation.process import MethodDied, MethodProcess, trace_running

__all__ = [
    "Account",
    "Facts",
    "MethodDied",
    "MethodFailed",
    "MethodProcess",
    "Start",
    "trace_running",
]
