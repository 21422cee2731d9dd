"""The worker: a child process in which diagnoses are made, so that the bot itself only waits and answers."""

from bot.incidents.worker.client import DiagnosisWorker, WorkerError, open_worker

__all__ = ["DiagnosisWorker", "WorkerError", "open_worker"]
