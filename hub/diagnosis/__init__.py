"""Why a server does not start, in words for its user.

starts.py      the most telling thing about a start, from the pod and its events
scheduling.py  why no node takes the pod
findings.py    what is found, and the words for it
pod_facts.py   what a pod says of itself
"""

from hub.diagnosis.findings import Finding, Surroundings
from hub.diagnosis.pod_facts import asked_for
from hub.diagnosis.starts import ENDING, diagnose, pulled_size, refused, unanswered

__all__ = [
    "ENDING",
    "Finding",
    "Surroundings",
    "asked_for",
    "diagnose",
    "pulled_size",
    "refused",
    "unanswered",
]
