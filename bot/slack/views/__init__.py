"""What the bot says in Slack, as pure functions from values to messages, dialogues and the Home.

Everything foreign is escaped, bounded and redacted here, and every limit of Slack's holds whatever is passed in.
"""

from bot.slack.views.answers import (
    help_,
    incident_list,
    refused,
    status,
    unknown_namespace,
    unknown_pod,
    watch_changed,
)
from bot.slack.views.details import details_modal, loading_modal, not_it_modal, problem_modal
from bot.slack.views.evidence import evidence_file
from bot.slack.views.homes import home
from bot.slack.views.knowledge import affected_versions, known_issue, known_issue_list, playbook_list
from bot.slack.views.models import Approval, HomeModel, StatusModel
from bot.slack.views.threads import failed, opening, progress, shared
from bot.slack.views.verdicts import same_fault, seen_from, verdict

__all__ = [
    "Approval",
    "HomeModel",
    "StatusModel",
    "affected_versions",
    "details_modal",
    "evidence_file",
    "failed",
    "help_",
    "home",
    "incident_list",
    "known_issue",
    "known_issue_list",
    "loading_modal",
    "not_it_modal",
    "opening",
    "playbook_list",
    "problem_modal",
    "progress",
    "refused",
    "same_fault",
    "seen_from",
    "shared",
    "status",
    "unknown_namespace",
    "unknown_pod",
    "verdict",
    "watch_changed",
]
