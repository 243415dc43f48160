"""Imported only by the fork server, so that its forks need not ask again."""

from bench.util.environment import machine

machine()
