"""OGC API - Processes, Part 1: Core 1.0 (OGC 18-062r2), on the same ledger and descriptions.

Here is only translation: what is offered follows from the operations, an execution becomes a job
of `wps_processes.jobs_service`, and every status is rendered from the job's row in the ledger.
"""
