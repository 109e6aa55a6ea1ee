"""WPS 1.0.0, the only place that knows PyWPS.

PyWPS speaks the protocol: it reads requests, and describes. What it computes, queues or counts
itself is not used: an Execute becomes a job of `wps_processes.jobs_service`, and is answered from
the job's row in the ledger.
"""
