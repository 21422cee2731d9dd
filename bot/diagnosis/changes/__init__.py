"""What changed before the symptoms: shown beside the verdict, and never part of it.

`before.changes_before` chooses and sorts; `objects` and `nodes` find what changed in the API's objects and on nodes.
"""
