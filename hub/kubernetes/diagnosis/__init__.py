"""Why a server does not start, in words for its user.

starts.py      the most telling thing about a start, from the pod and its events
scheduling.py  why no node takes the pod
findings.py    what is found, and the words for it
kube/pods.py   what a pod says of itself
"""

from hub.kubernetes.diagnosis.findings import Finding, Surroundings
from hub.kubernetes.diagnosis.starts import ENDING, diagnose, pulled_size, refused, unavailable
from kube.pods import asked_for

__all__ = [
    "ENDING",
    "Finding",
    "Surroundings",
    "asked_for",
    "diagnose",
    "pulled_size",
    "refused",
    "unavailable",
]
