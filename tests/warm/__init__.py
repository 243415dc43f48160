"""Processes that start warm: forked from a server that has imported what they need.

A worker process and each process of a method import scipy, pandas and torch for seconds before
they do anything, and the suite starts hundreds of both. With `Warm` in place they are forked from
a server instead. All else is as in a sweep: each is a process of its own, with its own environment,
working folder, process group, log and pipes, and can be killed. What a fork cannot show (start-up
itself, variables that libraries read on import) is asked of processes that start cold:
`pytest.mark.cold`, and `tests.warm.stand_in.cold`.
"""
