"""Plans as people use them: proposed, decided, carried out. Terminal and Slack call the same use cases."""

from bot.incidents.plans.service import PlanMode, PlanService, PlanSettings, Proposal, new_plan_id

__all__ = ["PlanMode", "PlanService", "PlanSettings", "Proposal", "new_plan_id"]
