"""Jobs as batch/v1 Jobs of a Kubernetes cluster, whose scheduler and quotas do the rest.

settings.py   what the administrator chose, from the environment
manifest.py   a job of the ledger as a Job, with what it may touch and nothing else
api.py        the few requests to the API server that are needed, and what it answers in our words
watch.py      one list and watch for all Jobs, and one for their pods
conditions.py what a Job and its pod say: why it waits, and how it ended
runner.py     runs jobs so; attempt.py sees one through, from its Job to its end
pod.py        the program of a job's pod; callbacks.py the service's route for it
"""
