"""The worker: a child process in which diagnoses are made, so that the bot itself only waits and answers."""

from bot.incidents.worker.client import IDLE_S, DiagnosisWorker, Inspected, WorkerError, open_worker

__all__ = ["IDLE_S", "DiagnosisWorker", "Inspected", "WorkerError", "open_worker"]
