"""The lab's Slack workspace as a page in the browser."""
