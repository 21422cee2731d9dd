"""What Slack refuses: block types, limits, unknown fields. Pure functions."""

from bot.lab.slack.validate.message import validate_message
from bot.lab.slack.validate.problem import Problem, refuse
from bot.lab.slack.validate.view import validate_view

__all__ = ["Problem", "refuse", "validate_message", "validate_view"]
