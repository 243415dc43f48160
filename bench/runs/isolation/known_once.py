"""Imported by the fork server alone: what it finds out here, no process of a method asks again."""

from bench.util.environment import machine

machine()
